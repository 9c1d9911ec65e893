"""What a file's own bytes say about its recording: where it lies, how much was announced, and what follows.

libsndfile reads as much as a header announces and as much as is there, whichever is less, and says neither. A header
written into a pipe announces nothing, one of a broken copy too much; other players read both.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from mmap import ACCESS_READ, mmap
from typing import BinaryIO, NamedTuple

from tadicodec.audio.mpeg import counted, is_mp3, seconds_of, with_length

RIFF, RIFX, W64 = (b"RIFF", b"RF64", b"BW64"), (b"RIFX", b"FORM"), b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\0\0"
AU, FLAC, OGG = b".snd", b"fLaC", b"OggS"
SIXTEEN_BITS = 3  # an encoding of AU
FLAC_START = b"fLaC\x00\x00\x00\x22"
PAGE = struct.Struct("<4sBBqIIIB")  # of Ogg: magic, version, flags, position, serial, number, checksum, segments
FIRST, LAST = 2, 4  # flags of Ogg pages
UNKNOWN = 0xFFFFFFFF
STREAMED = 0x7FFF0000  # sizes from here on that the file does not have were written before the size was known
NEGLIGIBLE = 0.05  # seconds behind the recording: padding and tags of old players
ANOTHER = "another recording follows in the same file and is not read"
CUT = "its end is missing: {seconds} s are there"
DAMAGED = "parts of it are damaged and left out: {seconds} s are there"
Bytes = bytes | mmap


@dataclass(frozen=True)
class Marks:
    """Where a recording lies in its file, and what of the file is not in it.

    The recording is `prefix` and then bytes start .. stop (None: to the end) with `patches` (offset -> bytes) laid over
    them. `notes` say what is missing; `{seconds}` in them stands for how much was read.
    """

    prefix: bytes = b""
    start: int = 0
    stop: int | None = None
    patches: dict[int, bytes] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def plain(self) -> bool:
        """Whether the recording is simply the file."""
        return not self.prefix and not self.start and self.stop is None and not self.patches


class Chunk(NamedTuple):
    """A named part of a RIFF or AIFF file: its bytes start .. stop."""

    name: bytes
    start: int  # of its contents
    size: int  # announced


@contextmanager
def contents(stream: BinaryIO) -> Iterator[Bytes]:
    """All bytes of a seekable stream as a sequence, of which only what is looked at is read."""
    if isinstance(stream, io.BytesIO):
        yield stream.getvalue()
        return
    with mmap(stream.fileno(), 0, access=ACCESS_READ) as data:
        yield data


def read_marks(data: Bytes) -> Marks:
    """What the bytes of a file say about the recording in it. A file of an unknown kind says nothing."""
    head = data[:16]
    try:
        if head.startswith((*RIFF, *RIFX)) or head == W64:
            return chunk_marks(data)
        if head.startswith(AU):
            offset, announced, encoding, rate, channels = struct.unpack(">5I", data[4:24])
            bytes_a_second = 2 * rate * channels if encoding == SIXTEEN_BITS else 0
            return Marks(notes=tuple(shortage(announced, len(data) - offset, bytes_a_second)))
        if head.startswith(FLAC):
            return flac_marks(data)
        if head.startswith(OGG):
            return ogg_marks(data)
        if is_mp3(data):
            return mp3_marks(data)
    except (struct.error, OverflowError):  # it ends within a header: whoever decodes it will say so
        pass
    return Marks()


def cut_mp4(data: Bytes) -> bool:
    """Whether a file is an mp4 or m4a without its index, which recorders write last."""
    return data[4:8] == b"ftyp" and data.find(b"moov", 8) < 0


# chunks: WAV, RF64, Wave64, AIFF --------------------------------------------------------------------------------------


def chunks(data: Bytes, start: int) -> Iterator[Chunk]:
    """The chunks from byte `start` on, up to what is no chunk."""
    wide, form = data[:16] == W64, "<4sI" if data[:4] in RIFF else ">4sI"
    width, align = (24, 8) if wide else (8, 2)
    while start + width <= len(data):
        if wide:
            name, length = struct.unpack("<4s12xQ", data[start : start + width])
            length -= width
        else:
            name, length = struct.unpack(form, data[start : start + width])
        if length < 0 or not name.isascii() or not name.decode().isprintable() or name in (*RIFF, *RIFX):
            return
        yield Chunk(name, start + width, length)
        start += width + length + -length % align


def chunk_marks(data: Bytes) -> Marks:
    """The marks of a RIFF or AIFF file: walks to its samples and looks behind them."""
    rate, long = 0.0, None
    for chunk in chunks(data, 40 if data[:16] == W64 else 12):
        if chunk.name == b"ds64":
            long = struct.unpack("<Q", data[chunk.start + 8 : chunk.start + 16])[0]
        elif chunk.name in (b"fmt ", b"COMM"):
            rate = bytes_per_second(data, chunk)
        elif chunk.name in (b"data", b"SSND"):
            announced = long if chunk.size == UNKNOWN and long else chunk.size
            return sample_marks(data, chunk._replace(size=announced), rate)
    announced = struct.unpack("<I", data[4:8])[0]  # not WAV: AVI, for one
    return Marks(notes=tuple(shortage(announced, len(data) - 8, 0)) if data[:4] == b"RIFF" else ())


def bytes_per_second(data: Bytes, chunk: Chunk) -> float:
    """How many bytes of the recording a second has, as its format chunk says."""
    if chunk.name == b"COMM":  # of AIFF: the rate is an 80-bit float
        channels, _, bits, exponent, mantissa = struct.unpack(">hIhHQ", data[chunk.start : chunk.start + 18])
        return channels * ((bits + 7) // 8) * mantissa * 2.0 ** ((exponent & 0x7FFF) - 16383 - 63)
    order = ">" if data[:4] == b"RIFX" else "<"
    _, _, rate, average, block = struct.unpack(order + "HHIIH", data[chunk.start : chunk.start + 14])
    return float(average or rate * block)


def sample_marks(data: Bytes, samples: Chunk, rate: float) -> Marks:
    """The marks of a file whose samples are this chunk, at so many bytes a second."""
    there, behind = len(data) - samples.start, samples.start + samples.size
    if samples.size > there:
        return Marks(notes=() if samples.size >= STREAMED else tuple(shortage(samples.size, there, rate)))
    if intact(data, behind):
        return Marks()
    if samples.size == 0:  # written into a pipe, which cannot be gone back in to fill the size in
        wide = data[:16] == W64
        return Marks() if wide else Marks(patches={4: b"\xff" * 4, samples.start - 4: b"\xff" * 4})
    heads = data[behind : behind + 16], data[behind + 1 : behind + 17]
    if any(head.startswith((*RIFF, *RIFX)) or head == W64 for head in heads):
        return Marks(stop=behind, notes=(ANOTHER,))
    rest = (len(data) - behind) / rate if rate else 0.0
    if rest <= NEGLIGIBLE:
        return Marks(stop=behind)
    told = f"its header announces {samples.size / rate:.2f} s; {rest:.2f} s more follow, which are not read"
    return Marks(stop=behind, notes=(told,))


def intact(data: Bytes, behind: int) -> bool:
    """Whether only whole chunks, or nothing, follow from byte `behind` on. Not every writer pads to an even place."""
    for start in {behind, behind + behind % 2}:
        end = start
        for chunk in chunks(data, start):
            end = chunk.start + chunk.size
        if abs(end - len(data)) <= 1:
            return True
    return False


def shortage(announced: int, there: int, rate: float) -> list[str]:
    """What to say of `there` bytes where `announced` were, at so many bytes a second (0: unknown)."""
    if announced in (0, UNKNOWN) or there >= announced:
        return []
    share = f"{100 * there / announced:.0f} %"
    seconds = f"{there / rate:.2f} of {announced / rate:.2f} s ({share})" if rate else share
    return [f"it ends early: {seconds} are there"]


# FLAC, Ogg, mp3 -------------------------------------------------------------------------------------------------------


def flac_marks(data: Bytes) -> Marks:
    """The marks of a FLAC file; where one is glued to another, decoders stop at the first one's length."""
    place = data.find(FLAC_START, 4)
    return Marks() if place < 0 else Marks(stop=place, notes=(ANOTHER,))


def ogg_marks(data: Bytes) -> Marks:
    """The marks of an Ogg file. Its pages count themselves and the last one says that it is; a second first one begins
    another recording."""
    numbers: dict[int, int] = {}
    size, flags, place = len(data), 0, 0
    damaged, began = False, True  # the first pages of all streams of one recording come together
    while place < size:
        page = data[place : place + PAGE.size]
        if len(page) < PAGE.size or not page.startswith(OGG):
            following = data.find(OGG, place + 1)
            damaged |= following > 0
            place = following if following > 0 else size
            continue
        _, _, flags, _, serial, number, _, segments = PAGE.unpack(page)
        if flags & FIRST and not began:
            return Marks(stop=place, notes=(ANOTHER,))
        began = began and bool(flags & FIRST)
        damaged |= number != numbers.get(serial, number)
        numbers[serial] = number + 1
        place += PAGE.size + segments + sum(data[place + PAGE.size : place + PAGE.size + segments])
    if place > size or not flags & LAST:
        return Marks(notes=(CUT,))
    return Marks(notes=(DAMAGED,) if damaged else ())


def mp3_marks(data: Bytes) -> Marks:
    """The marks of an mp3 file.

    Its frames count, not what the first one says: that may be missing, or speak of the first of several files put
    together, and libsndfile would stop there.
    """
    found = counted(data)
    notes = [f"the {found.junk} bytes before its first mp3 frame are no sound and are skipped"] if found.junk else []
    if found.announced is not None and abs(found.frames - found.announced) <= 1:
        return Marks(start=found.start if found.junk else 0, notes=tuple(notes))
    if found.damaged:
        notes.append(DAMAGED)
    elif found.announced:
        notes += shortage(found.announced, found.frames, 1 / seconds_of(data, found, 1))
    return Marks(prefix=with_length(data, found), start=found.start, notes=tuple(notes))
