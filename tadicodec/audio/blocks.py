"""Audio of any length in constant memory: read, resampled and written block by block."""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile
import soxr

from tadicodec.audio.files import WRITABLE, check_extension
from tadicodec.audio.recording import Source, open_recording
from tadicodec.errors import InputError, reason
from tadicodec.outputs import cause_of_failure, check_output, temporary, write_all

WAV_HEADER = struct.Struct("<4sI4s4sIHHIIHH4sI")
LARGEST = (1 << 32) - WAV_HEADER.size  # bytes a WAV header can announce


def read_wave_blocks(source: Source, sample_rate: int) -> Iterator[np.ndarray]:
    """Blocks [n] float32 at `sample_rate`, the mean of the channels; together what `resample(read_audio(...))` gives.

    Raises:
        InputError: as `files.read_audio`, whose warnings come with the last block.
    """
    with open_recording(source) as recording:
        convert = Resampler(recording.sample_rate, sample_rate)
        for block in recording.mono():
            yield convert(block)
        recording.warn()
    yield convert.finish()


class Resampler:
    """Changes the sample rate of blocks as they come; together they give exactly ceil(N * to / from) samples."""

    def __init__(self, from_rate: int, to_rate: int) -> None:
        self.rates = (from_rate, to_rate)
        self.taken = self.given = 0
        self.soxr = None
        if from_rate != to_rate:
            self.soxr = soxr.ResampleStream(from_rate, to_rate, 1, dtype="float32", quality="HQ")

    def __call__(self, block: np.ndarray) -> np.ndarray:
        """The next block [n] -> the samples [m] that can be given with it."""
        self.taken += len(block)
        made = block if self.soxr is None else self.soxr.resample_chunk(block)
        self.given += len(made)
        return made

    def finish(self) -> np.ndarray:
        """The samples that are still to come after the last block."""
        from_rate, to_rate = self.rates
        left = -(-self.taken * to_rate // from_rate) - self.given
        if self.soxr is None:
            return np.zeros(0, np.float32)
        made = self.soxr.resample_chunk(np.zeros(0, np.float32), last=True)[:left]
        return np.pad(made, (0, left - len(made)))  # soxr rounds, so it may be one sample short


def write_wave_blocks(path: str | Path, blocks: Iterable[np.ndarray], sample_rate: int, overwrite: bool = False) -> int:
    """Write blocks [n] as `files.write_audio` writes their sum, whole or not at all; returns the number of samples.

    Raises:
        InputError: as `files.write_audio`.
    """
    check_extension(Path(path).suffix)
    check_output(path, overwrite)
    target = Path(os.path.realpath(path))
    form, subtype = WRITABLE[Path(path).suffix.lower()]
    regular = not target.exists() or target.is_file()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = temporary(target.parent) if regular else target
        try:
            with (
                explained_failure(path, partial),
                soundfile.SoundFile(partial, "w", sample_rate, channels=1, subtype=subtype, format=form) as file,
            ):
                count = sum(write_block(file, block) for block in blocks)
            if regular:
                os.replace(partial, target)
        except BaseException:
            if regular:
                partial.unlink(missing_ok=True)
            raise
    except BrokenPipeError:
        raise
    except OSError as error:
        raise InputError(f"cannot write {path}: {reason(error)}") from error
    return count


@contextmanager
def explained_failure(path: str | Path, partial: Path) -> Iterator[None]:
    """What fails while the context is open says why: libsndfile calls a full disk a "System error.", so the system is
    asked about the folder."""
    try:
        yield
    except soundfile.LibsndfileError as error:
        cause = cause_of_failure(partial.parent) or reason(error)
        raise InputError(f"cannot write {path}: {cause}") from error


def write_block(file: soundfile.SoundFile, block: np.ndarray) -> int:
    """Write a block [n] to a file, clipped to [-1, 1]; returns n."""
    file.write(clipped(block))
    return len(block)


def send_wave_blocks(stream: BinaryIO, blocks: Iterable[np.ndarray], samples: int, sample_rate: int) -> None:
    """Write blocks [n], `samples` in all, as a WAV file to a stream that need not be seekable, each when it comes."""
    size = 2 * samples
    if size > LARGEST:
        raise InputError("more than 4 GB of samples do not fit a WAV file; write .flac")
    write_all(
        stream,
        WAV_HEADER.pack(
            b"RIFF",
            size + WAV_HEADER.size - 8,
            b"WAVE",
            b"fmt ",
            16,
            1,
            1,
            sample_rate,
            2 * sample_rate,
            2,
            16,
            b"data",
            size,
        ),
    )
    for block in blocks:
        write_all(stream, pcm(block, sample_rate))


def pcm(block: np.ndarray, sample_rate: int) -> bytes:
    """A block [n] as 16-bit samples, little-endian, rounded as libsndfile rounds them."""
    buffer = io.BytesIO()
    with soundfile.SoundFile(
        buffer, "w", sample_rate, channels=1, subtype="PCM_16", format="RAW", endian="LITTLE"
    ) as file:
        file.write(clipped(block))
    return buffer.getvalue()


def clipped(block: np.ndarray) -> np.ndarray:
    """A block [n] as float32 in [-1, 1]. Raises InputError unless it has one dimension and is finite."""
    if block.ndim != 1 or not np.isfinite(block).all():
        raise InputError("only a one-dimensional wave of finite samples can be written")
    return np.clip(block, -1.0, 1.0).astype(np.float32)
