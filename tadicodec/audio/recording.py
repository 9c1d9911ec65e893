"""A recording opened for reading, by whichever library reads it; and what of the file could not be read."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol

import numpy as np
import soundfile

from tadicodec.audio.ffmpeg import FfmpegError, available, open_ffmpeg
from tadicodec.audio.marks import CUT, DAMAGED, Marks, contents, cut_mp4, read_marks
from tadicodec.audio.quiet import QuietFile
from tadicodec.errors import InputError, InputWarning
from tadicodec.guards import arguments
from tadicodec.guards.streams import read_bounded

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

LOWEST_RATE, HIGHEST_RATE = 1000, 768_000  # Hz; a header outside is damaged or hostile
BLOCK = 1 << 18  # samples: a header's length is not believed
SMALL = 1 << 12  # samples read at once
SLACK = 0.25  # seconds by which a length may fall short of the announced one: encoders' delays, rounded durations
LARGEST = 1 << 31  # bytes of a recording from a pipe, which is held in memory: three hours of stereo
NEVER = 1 << 62  # samples: what libsndfile says of a FLAC that was written into a pipe
LOUD = 2.0  # of full scale; decoders of lossy formats overshoot by less

ADVICE = "convert it to wav, flac, ogg or mp3"
OR_INSTALL = ", or install ffmpeg or tadicodec[formats], which read m4a, mp4, webm, wma, amr and films"

Source = str | Path | BinaryIO


class Sound(Protocol):
    """A file as a library reads it. `samples` are announced per channel (None: nothing is); `damaged`: whether parts
    were left out."""

    format: str
    subtype: str
    sample_rate: int
    channels: int
    samples: int | None

    @property
    def damaged(self) -> bool:
        """Whether something had to be left out, as far as it was read."""

    def blocks(self) -> Iterator[np.ndarray]:
        """Blocks [n, channels] float32 to the end."""

    def close(self) -> None:
        """Give back what is open, but not the stream."""


class Recording:
    """A recording that is read once, with `mono`. After that, `notes` say what of the file is not in it."""

    def __init__(self, name: str, stream: BinaryIO, sound: Sound, notes: tuple[str, ...] = ()) -> None:
        self.name, self.stream, self.sound, self.notes = name, stream, sound, list(notes)
        self.sample_rate, self.channels, self.samples = sound.sample_rate, sound.channels, sound.samples
        self.format, self.subtype = sound.format, sound.subtype

    def mono(self) -> Iterator[np.ndarray]:
        """Blocks [n] float32 to the end, the mean of the channels; at least one.

        Raises:
            InputError: no samples, or samples that are not finite.
        """
        read, peak = 0, 0.0
        for block in self.blocks():
            wave = block.mean(axis=1, dtype=np.float32)
            if not np.isfinite(wave).all():
                raise InputError(f"{self.name} holds NaN or infinite samples; export it again as 16-bit PCM")
            peak = max(peak, float(np.abs(wave).max()))
            read += len(wave)
            yield wave
        if not read:
            raise InputError(f"{self.name} holds no samples; record or export it again")
        self.conclude(read, peak)

    def blocks(self) -> Iterator[np.ndarray]:
        """Blocks [n, channels] to the end. Where libsndfile stops at damage, ffmpeg goes on behind it, if there is
        one."""
        read = 0
        for block in self.sound.blocks():
            read += len(block)
            yield block
        if not (self.sound.damaged and isinstance(self.sound, SoundFileSound) and available()):
            return
        try:
            other = open_ffmpeg(self.stream)
        except FfmpegError:
            return
        try:
            if (other.sample_rate, other.channels) == (self.sample_rate, self.channels):
                yield from without_first(other.blocks(), read)
        finally:
            other.close()

    def conclude(self, read: int, peak: float) -> None:
        """Complete the notes after `read` samples whose largest was `peak`."""
        seconds = read / self.sample_rate
        announced = None if self.samples is None else self.samples / self.sample_rate
        if announced is not None and seconds < announced - SLACK:
            share = f"{100 * seconds / announced:.0f} %"
            what = "it is damaged" if self.sound.damaged or DAMAGED in self.notes else "it ends early"
            self.notes = [note for note in self.notes if note not in (DAMAGED, CUT)]  # this one says more
            self.notes.append(f"{what}: {seconds:.2f} of {announced:.2f} s ({share}) could be read")
        elif self.sound.damaged:
            self.notes.append(DAMAGED)
        if peak > LOUD:
            self.notes.append(f"its samples reach {peak:.3g} where 1 is full scale; they may be wrongly scaled")
        self.notes = [note.replace("{seconds}", f"{seconds:.2f}") for note in self.notes]

    def warn(self) -> None:
        """Say what `notes` say, as warnings of the class InputWarning."""
        for note in self.notes:
            warnings.warn(f"{self.name}: {note}", InputWarning, stacklevel=3)


def without_first(blocks: Iterator[np.ndarray], count: int) -> Iterator[np.ndarray]:
    """Blocks without the first `count` samples."""
    for block in blocks:
        if len(block) > count:
            yield block[count:]
        count = max(count - len(block), 0)


class SequentialFile(QuietFile):
    """A sound file that is read from its beginning to its end.

    The library's own reads end with a seek to where they are, which decodes the place again: inexactly in mp3.
    """

    def seekable(self) -> bool:
        return False


class SoundFileSound:
    """A file as libsndfile reads it."""

    def __init__(self, stream: BinaryIO, marks: Marks) -> None:
        # libsndfile would take .mp3 and .raw from the name; a descriptor has none
        plain = marks.plain and not isinstance(stream, io.BytesIO)
        stream.seek(0)
        self.file = SequentialFile(stream.fileno() if plain else View(stream, marks), closefd=False)
        self.damaged = False
        self.sample_rate, self.channels = self.file.samplerate, self.file.channels
        self.samples = None if self.file.frames >= NEVER else self.file.frames
        self.format, self.subtype = self.file.format, self.file.subtype

    def blocks(self) -> Iterator[np.ndarray]:
        """Blocks [n, channels] until the samples end, whatever the header promised, or until damage."""
        while len(block := self.gathered()):
            yield block
            if self.damaged:
                return

    def gathered(self) -> np.ndarray:
        """The next samples [n, channels], in small reads: of one that meets damage, nothing comes."""
        reads = []
        for _ in range(BLOCK // SMALL):
            try:
                reads.append(self.file.read(SMALL, dtype="float32", always_2d=True))
            except soundfile.LibsndfileError:
                self.damaged = True
                break
            if len(reads[-1]) < SMALL:
                break
        return np.concatenate(reads) if reads else np.zeros((0, self.channels), np.float32)

    def close(self) -> None:
        """Give back what libsndfile holds, but not the stream."""
        self.file.close()


class View(io.RawIOBase):
    """The part of a stream that `marks` tell, with their patches, as a file of its own that can only be read."""

    def __init__(self, stream: BinaryIO, marks: Marks) -> None:
        self.stream, self.marks, self.place = stream, marks, 0
        end = stream.seek(0, io.SEEK_END) if marks.stop is None else marks.stop
        self.size = len(marks.prefix) + end - marks.start

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self.place, io.SEEK_END: self.size}[whence]
        self.place = max(base + offset, 0)
        return self.place

    def tell(self) -> int:
        return self.place

    def readinto(self, buffer: WriteableBuffer) -> int:
        target = memoryview(buffer).cast("B")
        count = max(min(len(target), self.size - self.place), 0)
        data = bytearray(self.marks.prefix[self.place : self.place + count])
        self.stream.seek(self.marks.start + max(self.place - len(self.marks.prefix), 0))
        data += self.stream.read(count - len(data))
        for offset, patch in self.marks.patches.items():
            for index, byte in enumerate(patch, start=offset - self.place):
                if 0 <= index < len(data):
                    data[index] = byte
        target[: len(data)] = data
        self.place += len(data)
        return len(data)


@contextmanager
def open_recording(source: Source, name: str | None = None) -> Iterator[Recording]:
    """Open a file or stream for reading, by its content, because a name can lie; with libsndfile or else with ffmpeg.

    Raises:
        InputError: missing, a folder, empty, or nothing that can be read as audio.
    """
    name = name or name_of(source)
    with open_bytes(source, name) as stream:
        with contents(stream) as data:
            marks, cut = read_marks(data), cut_mp4(data)
        if cut:
            raise InputError(f"{name} was cut off: the index at its end is missing, without which nobody can play it")
        sound = open_sound(name, stream, marks)
        try:
            if not LOWEST_RATE <= sound.sample_rate <= HIGHEST_RATE:
                raise InputError(f"{name} has a sample rate of {sound.sample_rate} Hz; that is no speech recording")
            yield Recording(name, stream, sound, marks.notes)
        finally:
            sound.close()


def open_sound(name: str, stream: BinaryIO, marks: Marks) -> Sound:
    """A stream as the library reads it that can. Raises InputError where none can."""
    sound, refusal = None, ""
    try:
        sound = SoundFileSound(stream, marks)
        if sound.samples != 0:
            return sound
    except soundfile.LibsndfileError as error:
        refusal = error.error_string.rstrip(".")
    if available():
        try:
            return open_ffmpeg(stream)
        except FfmpegError as error:
            refusal = str(error)
    elif sound is None:
        raise InputError(f"{name} is not audio that can be read ({refusal}); {ADVICE}{OR_INSTALL}")
    if sound is None:
        raise InputError(f"{name} is not audio that can be read ({refusal}); {ADVICE}")
    return sound


def open_bytes(source: Source, name: str) -> BinaryIO:
    """A regular file opened, or anything that cannot seek read into memory; never empty."""
    if not isinstance(source, str | Path):
        return filled(read_bounded(source, name, LARGEST), name)
    path = arguments.path("a recording", source)
    if path.is_dir():
        raise InputError(f"{path} is a folder; give an audio file")
    try:
        if path.exists() and not path.is_file():
            with open(path, "rb") as device:
                return filled(read_bounded(device, str(path), LARGEST), str(path))
        if path.stat().st_size == 0:
            raise InputError(f"{path} is empty (0 bytes); record or copy it again")
        return open(path, "rb", buffering=0)  # libsndfile reads from the descriptor, wherever that stands
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; check the path") from None
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error


def filled(data: bytes, name: str) -> io.BytesIO:
    """Bytes as a stream. Raises InputError where there are none."""
    if not data:
        raise InputError(f"{name} is empty (0 bytes)")
    return io.BytesIO(data)


def name_of(source: Source) -> str:
    """What messages call the source."""
    return str(source) if isinstance(source, str | Path) else "standard input"
