"""Audio encoded while it is made: each block of samples becomes the next bytes of a file that is being played
already."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Protocol

import numpy as np
import soundfile

from tadicodec.audio.blocks import WAV_HEADER, pcm
from tadicodec.errors import InputError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

LIBRARY = {  # name -> libsndfile's format and subtype, media type
    "flac": ("FLAC", "PCM_16", "audio/flac"),
    "opus": ("OGG", "OPUS", "audio/ogg"),
    "mp3": ("MP3", "MPEG_LAYER_III", "audio/mpeg"),
}
MEDIA = {"wav": "audio/wav", "pcm": "audio/pcm"} | {name: media for name, (_, _, media) in LIBRARY.items()}
UNKNOWN = 0xFFFFFFFF


class Outgoing(Protocol):
    """An encoder of one stream of mono samples."""

    def add(self, wave: np.ndarray) -> bytes:
        """Samples [n] in [-1, 1] -> the bytes that can be sent now, maybe none."""

    def finish(self) -> bytes:
        """The bytes that are left after the last samples."""


def outgoing(form: str, sample_rate: int) -> Outgoing:
    """The encoder of "wav", "flac", "opus", "mp3" or "pcm" (16 bits, little-endian, without a header).

    Raises:
        InputError: another format.
    """
    if form in LIBRARY:
        return LibraryStream(form, sample_rate)
    if form not in MEDIA:
        raise InputError(f"audio cannot be sent as {form!r}; choose one of {', '.join(MEDIA)}")
    return PcmStream(sample_rate, header=form == "wav")


class PcmStream(Outgoing):
    """Samples as they are. The header of a WAV says, as is usual in streams, that the length is not known."""

    def __init__(self, sample_rate: int, header: bool) -> None:
        self.sample_rate = sample_rate
        self.head = b""
        if header:
            form = (b"fmt ", 16, 1, 1, sample_rate, 2 * sample_rate, 2, 16)
            self.head = WAV_HEADER.pack(b"RIFF", UNKNOWN, b"WAVE", *form, b"data", UNKNOWN)

    def add(self, wave: np.ndarray) -> bytes:
        """Samples [n] as 16 bits, behind the header if it was not sent yet."""
        head, self.head = self.head, b""
        return head + pcm(wave, self.sample_rate)

    def finish(self) -> bytes:
        """The header, if there were no samples."""
        head, self.head = self.head, b""
        return head


class LibraryStream(Outgoing):
    """What libsndfile encodes, given as far as it has written it."""

    def __init__(self, form: str, sample_rate: int) -> None:
        name, subtype, _ = LIBRARY[form]
        self.target = StreamedFile()
        self.file = soundfile.SoundFile(self.target, "w", sample_rate, channels=1, format=name, subtype=subtype)

    def add(self, wave: np.ndarray) -> bytes:
        """What the encoder has ready after these samples [n]."""
        self.file.write(np.clip(wave, -1.0, 1.0).astype(np.float32))
        return self.target.take()

    def finish(self) -> bytes:
        """The end of the file."""
        self.file.close()
        return self.target.take()


class StreamedFile(io.RawIOBase):
    """A file of which only the end is still here.

    What was taken cannot be changed any more, such as the length in a header, which players do without.
    """

    def __init__(self) -> None:
        self.gone = self.place = 0
        self.here = bytearray()

    def take(self) -> bytes:
        """The bytes written since the last time."""
        taken = bytes(self.here)
        self.gone += len(taken)
        self.here.clear()
        return taken

    def write(self, data: ReadableBuffer) -> int:
        part = bytes(data)
        if self.place >= self.gone:
            start = self.place - self.gone
            self.here[start : start + len(part)] = part
        self.place += len(part)
        return len(part)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self.place, io.SEEK_END: self.gone + len(self.here)}[whence]
        self.place = base + offset
        return self.place

    def tell(self) -> int:
        return self.place

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        return 0
