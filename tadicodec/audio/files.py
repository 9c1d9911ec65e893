"""Audio files and streams to mono float waves, and back."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile

from tadicodec.audio.quiet import QuietFile
from tadicodec.errors import InputError
from tadicodec.outputs import send, write_bytes

READABLE = (".wav", ".flac", ".ogg", ".mp3", ".opus", ".aiff", ".aif")  # what a folder is searched for
WRITABLE = {
    ".wav": ("WAV", "PCM_16"),
    ".flac": ("FLAC", "PCM_16"),
    ".ogg": ("OGG", "VORBIS"),
    ".mp3": ("MP3", "MPEG_LAYER_III"),
}
LOWEST_RATE, HIGHEST_RATE = 1000, 768_000  # Hz; a header outside is damaged or hostile
BLOCK = 1 << 18  # samples: a header's length is not believed, and libsndfile's Vorbis writer fails on long calls

Source = str | Path | BinaryIO


@dataclass(frozen=True)
class AudioInfo:
    """What a file's header says: `samples` per channel at `sample_rate` Hz."""

    samples: int
    sample_rate: int
    channels: int
    format: str
    subtype: str

    @property
    def seconds(self) -> float:
        return self.samples / self.sample_rate


def read_audio(source: Source) -> tuple[np.ndarray, int]:
    """Read a file or a binary stream (wav, flac, ogg, mp3).

    Returns:
        wave [N] float32, the mean of the channels, and its sample rate in Hz.

    Raises:
        InputError: missing, a folder, empty, not audio, damaged, no samples, or samples that are not finite.
    """
    with open_audio(source) as file:
        blocks = [block.mean(axis=1, dtype=np.float32) for block in read_blocks(file, name_of(source))]
        sample_rate = file.samplerate
    if not blocks:
        raise InputError(f"{name_of(source)} holds no samples; record or export it again")
    wave = np.concatenate(blocks)
    if not np.isfinite(wave).all():
        raise InputError(f"{name_of(source)} holds NaN or infinite samples; export it again as 16-bit PCM")
    return wave, sample_rate


def inspect_audio(source: Source) -> AudioInfo:
    """Read only the header.

    Raises:
        InputError: as `read_audio`, as far as the header shows it.
    """
    with open_audio(source) as file:
        return AudioInfo(file.frames, file.samplerate, file.channels, file.format, file.subtype)


def write_audio(path: str | Path, wave: np.ndarray, sample_rate: int, overwrite: bool = False) -> None:
    """Write wave [N] as 16 bits in the format of the extension, whole or not at all; values are clipped to [-1, 1].

    Raises:
        InputError: unknown extension, existing file without `overwrite`, folder that cannot be written, NaN.
    """
    write_bytes(path, audio_bytes(wave, sample_rate, Path(path).suffix), overwrite)


def write_audio_stream(stream: BinaryIO, wave: np.ndarray, sample_rate: int) -> None:
    """Write wave [N] as a WAV file to a stream that need not be seekable."""
    send(stream, audio_bytes(wave, sample_rate, ".wav"))


def audio_bytes(wave: np.ndarray, sample_rate: int, extension: str) -> bytes:
    """Wave [N] as the bytes of a file with this extension."""
    check_extension(extension)
    if wave.ndim != 1 or not np.isfinite(wave).all():
        raise InputError("only a one-dimensional wave of finite samples can be written")
    form, subtype = WRITABLE[extension.lower()]
    clipped = np.clip(wave, -1.0, 1.0).astype(np.float32)
    buffer = io.BytesIO()
    try:
        with soundfile.SoundFile(buffer, "w", sample_rate, channels=1, subtype=subtype, format=form) as file:
            for start in range(0, len(clipped), BLOCK):
                file.write(clipped[start : start + BLOCK])
    except soundfile.LibsndfileError as error:
        raise InputError(f"cannot write {form} at {sample_rate} Hz: {error.error_string}") from error
    return buffer.getvalue()


def check_extension(extension: str) -> None:
    """Raises InputError unless files with this extension can be written."""
    if extension.lower() not in WRITABLE:
        raise InputError(f"cannot write {extension or 'audio without an extension'}; use {', '.join(WRITABLE)}")


@contextmanager
def open_audio(source: Source) -> Iterator[soundfile.SoundFile]:
    """Open for reading; by content, because a name can lie."""
    name = name_of(source)
    with open_bytes(source) as stream:
        # libsndfile would take .mp3 and .raw from the name; a descriptor has none
        handle = stream if isinstance(stream, io.BytesIO) else stream.fileno()
        try:
            file = QuietFile(handle, closefd=False)
        except soundfile.LibsndfileError as error:
            raise InputError(
                f"{name} is not audio that can be read ({error.error_string.rstrip('.')}); "
                "convert it to wav, flac, ogg or mp3"
            ) from error
        with file:
            if not LOWEST_RATE <= file.samplerate <= HIGHEST_RATE:
                raise InputError(f"{name} has a sample rate of {file.samplerate} Hz; that is no speech recording")
            yield file


def open_bytes(source: Source) -> BinaryIO:
    """A regular file opened, or anything that cannot seek read into memory; never empty."""
    if not isinstance(source, str | Path):
        return filled(source.read(), name_of(source))
    path = Path(source)
    if path.is_dir():
        raise InputError(f"{path} is a folder; give an audio file")
    try:
        if path.exists() and not path.is_file():
            return filled(path.read_bytes(), str(path))
        if path.stat().st_size == 0:
            raise InputError(f"{path} is empty (0 bytes); record or copy it again")
        return open(path, "rb")
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; check the path") from None
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error


def filled(data: bytes, name: str) -> io.BytesIO:
    if not data:
        raise InputError(f"{name} is empty (0 bytes)")
    return io.BytesIO(data)


def read_blocks(file: soundfile.SoundFile, name: str) -> Iterator[np.ndarray]:
    """Blocks [n, channels] until the samples end, whatever the header promised."""
    while True:
        try:
            block = file.read(BLOCK, dtype="float32", always_2d=True)
        except soundfile.LibsndfileError as error:
            raise InputError(
                f"{name} is damaged ({error.error_string.rstrip('.')}); copy or export it again"
            ) from error
        if not len(block):
            return
        yield block


def name_of(source: Source) -> str:
    """How messages call the source."""
    return str(source) if isinstance(source, str | Path) else "standard input"
