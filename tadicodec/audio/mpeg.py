"""The frames of an mp3 recording: where they begin, when other bytes come before them, and how many there are."""

from __future__ import annotations

import re
import struct
from mmap import mmap
from typing import NamedTuple

SEARCHED = 1 << 20  # bytes in which a recording has to begin
IN_A_ROW = 3  # frames that must follow one another: two can be chance in other data
SYNC = re.compile(rb"\xff[\xe2\xe3\xf2\xf3\xfa\xfb]")  # layer III of MPEG 2.5, 2 and 1
KBITS = {
    3: (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),  # MPEG 1
    2: (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
TAG, OLD_TAG, OLD_TAG_SIZE = b"ID3", b"TAG", 128
TRAILERS = (OLD_TAG, b"APETAGEX", b"LYRICS")  # what old players put at the end
LENGTHS = (b"Xing", b"Info", b"VBRI")
SIXTY_FOUR = {3: 5, 2: 8, 0: 8}  # the index of 64 kbit/s: a frame that holds a length
FILMS = (b"\x1a\x45\xdf\xa3", b"\x30\x26\xb2\x75", b"FLV", b"\0\0\1\xba", b"\x47")  # Matroska, ASF, FLV, MPEG
ATOMS = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")  # mp4
HAS_FRAMES = 1  # a flag of such a frame
Bytes = bytes | mmap


class Frames(NamedTuple):
    """What was found in an mp3 recording.

    `frames` of sound from byte `start` on; `announced`: how many a frame before them says there are, which is not
    counted (None: there is none); `junk`: bytes that come first and are no tag; `damaged`: whether other bytes lie
    between.
    """

    frames: int
    start: int
    announced: int | None
    junk: int
    damaged: bool


def is_mp3(data: Bytes) -> bool:
    """Whether mp3 frames begin in the first megabyte, and not those of a film's sound."""
    if data[:4].startswith(FILMS) or data[4:8] in ATOMS:
        return False
    return first_frame(data, behind_tags(data, 0)) is not None


def counted(data: Bytes) -> Frames:
    """Walk over all frames of an mp3 recording (see `is_mp3`) and count them."""
    tags = behind_tags(data, 0)
    start = first_frame(data, tags) or 0
    size = frame_size(data[start : start + 4])
    announced, place = length_in(data[start : start + size]), start
    frames, damaged = (0 if announced is None else -1), False
    while place + 4 <= len(data):
        size = frame_size(data[place : place + 4])
        if size:
            frames += place + size <= len(data)
            place += size
            continue
        behind = behind_tags(data, place)
        if behind == place:
            following = next_frame(data, place)
            damaged |= following is not None and not data[place : place + 8].startswith(TRAILERS)
            behind = len(data) if following is None else following
        place = behind
    return Frames(frames, start, announced, start - tags, damaged)


def behind_tags(data: Bytes, place: int) -> int:
    """The end of the ID3 tags that begin at a place, or the place itself where none do. Their size is 28 bits in four
    bytes."""
    while data[place : place + 3] == TAG and len(data) > place + 10:
        a, b, c, d = data[place + 6 : place + 10]
        place += 10 + ((a & 127) << 21 | (b & 127) << 14 | (c & 127) << 7 | d & 127)
    return place


def first_frame(data: Bytes, start: int) -> int | None:
    """The place of the first of several frames in a row within a megabyte of `start`; None where there is none."""
    part = data[start : start + SEARCHED]
    return next((start + sync.start() for sync in SYNC.finditer(part) if frames_from(part, sync.start())), None)


def next_frame(data: Bytes, start: int) -> int | None:
    """The place of the next of several frames in a row, however far away; None where there is none."""
    for sync in SYNC.finditer(data, start):
        if frames_from(data, sync.start()):
            return sync.start()
    return None


def seconds_of(data: Bytes, found: Frames, frames: int) -> float:
    """How long so many of these frames are, in seconds."""
    header = data[found.start : found.start + 4]
    version = (header[1] >> 3) & 3
    return frames * (1152 if version == 3 else 576) / RATES[version][(header[2] >> 2) & 3]


def frames_from(data: Bytes, place: int) -> bool:
    """Whether several frames of one kind follow one another from a place on."""
    kind = None
    for _ in range(IN_A_ROW):
        header = data[place : place + 4]
        size = frame_size(header)
        if not size or (kind is not None and kind != constant(header)):
            return False
        kind = constant(header)
        place += size
    return True


def constant(header: bytes) -> tuple[int, int]:
    """Version, layer and sample rate in a frame's header: what all frames of a recording share."""
    return header[1] & 0xFE, header[2] & 0x0C


def frame_size(header: bytes) -> int:
    """The size in bytes of the frame with this header; 0 where it is none."""
    if len(header) < 4 or not SYNC.match(header):
        return 0
    version, bits, rate = (header[1] >> 3) & 3, header[2] >> 4, (header[2] >> 2) & 3
    if not 1 <= bits <= 14 or rate == 3:
        return 0
    kbits = KBITS[3 if version == 3 else 2][bits - 1]
    return (144 if version == 3 else 72) * 1000 * kbits // RATES[version][rate] + ((header[2] >> 1) & 1)


def length_in(frame: bytes) -> int | None:
    """The number of frames that a first frame without sound announces; 0 if it does not say, None if it has sound."""
    for name in LENGTHS:
        place = frame.find(name, 0, 64)
        if place >= 0:
            skipped = 14 if name == b"VBRI" else 8
            known = name == b"VBRI" or (len(frame) > place + 7 and frame[place + 7] & HAS_FRAMES)
            number = frame[place + skipped : place + skipped + 4]
            return struct.unpack(">I", number)[0] if known and len(number) == 4 else 0
    return None


def with_length(data: Bytes, found: Frames) -> bytes:
    """A frame without sound, in the format of these, that announces how many they are."""
    first = data[found.start : found.start + 4]
    version, mono = (first[1] >> 3) & 3, first[3] >> 6 == 3
    head = bytes((first[0], first[1] | 1, SIXTY_FOUR[version] << 4 | first[2] & 0x0C, first[3]))
    side = (17 if mono else 32) if version == 3 else (9 if mono else 17)
    count = found.frames + (0 if found.announced is None else 1)  # the frame that announced less counts as sound, too
    frame = head + bytes(side) + b"Xing" + struct.pack(">II", HAS_FRAMES, count)
    return frame.ljust(frame_size(head), b"\0")
