"""Squeezed token files, version 2 of the format: a header of a few bytes, and what `entropy.payload` writes.

    magic 89 54 44 43 | version u8 = 2 | way u8 | name of the coder, 4 bytes | samples, variable
    | if the way says so: size, variable, and JSON of what is not as usual
    | payload | the embedded speaker prompt, if that JSON announces one | CRC-32, u32

The checksum is that of what the file means: its bytes before the payload, the text, the codes and the prompt.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from typing import Any, Protocol

import numpy as np

from tadicodec.entropy.coder import NAME_BYTES, Coder, Named, coder_of, find_coder
from tadicodec.entropy.payload import Costs, PayloadReader, Way, squeeze
from tadicodec.entropy.timing import spoken
from tadicodec.errors import InputError
from tadicodec.guards.documents import parse_json
from tadicodec.speech import SAMPLES_PER_TOKEN, Speech
from tadicodec.tdc.faults import ContainerError, CorruptedFile, MissingCoder, TruncatedFile
from tadicodec.tdc.header import LONGEST_NUMBER, Header

SQUEEZED = 2  # version of the format
MORE = 0x40  # in the byte of the way: JSON follows the number of samples
LONGEST_MORE = 1 << 16  # bytes
DIGITS = 7  # bits of a number in each byte; the highest bit says that another follows
DAMAGED = "is damaged; copy the file again"
Read = Callable[[int], bytes]  # the next bytes of a stream: as many as asked for, or those that are left


class Listener(Protocol):
    """Who can tell when the bytes of a text are spoken: a Codec."""

    def byte_times(self, speech: Speech, text: bytes) -> np.ndarray | None:
        """The token at which each byte of a text [n] begins in one utterance; None where it cannot tell."""


def write_number(value: int) -> bytes:
    """A number from 0 on, 7 bits a byte, the lowest first."""
    data = bytearray()
    while value >> DIGITS:
        data.append(value & 0x7F | 0x80)
        value >>= DIGITS
    return bytes([*data, value])


def usual(coder: Coder | None) -> dict[str, Any]:
    """What a header says where no JSON says otherwise; coder None: no model is needed."""
    return {
        "model": "" if coder is None else coder.codec_name,
        "weights": "" if coder is None else coder.codec,
        "language": None,
        "normaliser": "none",
        "prompt": {"source": "none"},
    }


def to_squeezed(
    header: Header, codes: np.ndarray, prompt_data: bytes, listener: Listener | None, speech: Speech, model: Named
) -> tuple[bytes, Costs]:
    """One utterance as the bytes of a squeezed file, and what their parts cost in bits.

    header and codes [T] int64 as in a flat file, which `speech` holds, too; prompt_data is the embedded prompt.
    listener None: expected durations say when words are spoken.

    Raises:
        InputError: no such model, or a text that is too long.
    """
    coder = find_coder(model)
    times = None if listener is None or not header.text else listener.byte_times(speech, spoken(header.text))
    known = header.weights in ("", coder.codec)
    way, payload, costs = squeeze(coder, header.text, codes, times, known)
    own, needed = asdict(header), coder if way.modelled else None
    more = {key: own[key] for key, value in usual(needed).items() if own[key] != value}
    start = bytes([SQUEEZED, way.number | (MORE if more else 0)])
    start += (coder.name if way.modelled else bytes(NAME_BYTES)) + write_number(header.samples)
    if more:
        document = json.dumps(more, ensure_ascii=False, separators=(",", ":")).encode()
        if len(document) > LONGEST_MORE:
            raise InputError(f"the header is too long for a token file ({len(document)} bytes)")
        start += write_number(len(document)) + document
    check = checksum(start, header.text, codes, prompt_data)
    return start + payload + prompt_data + check.to_bytes(4, "big"), costs


def checksum(start: bytes, text: str | None, codes: np.ndarray, prompt_data: bytes) -> int:
    """The CRC-32 of what a squeezed file means. start: the bytes from the version up to the payload."""
    value = zlib.crc32(b"\0" if text is None else b"\1" + text.encode(), zlib.crc32(start))
    return zlib.crc32(prompt_data, zlib.crc32(codes.astype(">u2").tobytes(), value))


class Opening:
    """The bytes before the payload, from the byte of the way on: how it is written, the hash of its coder, the number
    of samples, and the JSON of what is not as usual ({} without). `start` are these bytes and the version.

    Raises:
        ContainerError: TruncatedFile or CorruptedFile.
    """

    def __init__(self, read: Read) -> None:
        self.read, self.start = read, bytes([SQUEEZED])
        (byte,) = self.take(1)
        self.coder = self.take(NAME_BYTES)
        try:
            self.way = Way.of(byte & ~MORE)
            self.samples = self.number(LONGEST_NUMBER)
            self.more = self.document() if byte & MORE else {}
        except ValueError as error:
            raise error if isinstance(error, ContainerError) else CorruptedFile(DAMAGED) from error

    @property
    def tokens(self) -> int:
        """The number of codes that are announced."""
        return -(-self.samples // SAMPLES_PER_TOKEN)

    def take(self, size: int) -> bytes:
        """The next bytes. Raises TruncatedFile."""
        data = self.read(size)
        if len(data) < size:
            raise TruncatedFile("ends inside the header; copy the file again")
        self.start += data
        return data

    def number(self, most: int) -> int:
        """What `write_number` wrote. Raises ValueError unless it is below `most`."""
        value = shift = 0
        while True:
            (byte,) = self.take(1)
            value |= (byte & 0x7F) << shift
            shift += DIGITS
            if value >= most or byte == 0 and shift > DIGITS:
                raise ValueError("too large, or longer than it need be")
            if byte < 0x80:
                return value

    def document(self) -> dict[str, Any]:
        """The JSON. Raises ValueError."""
        found = parse_json(self.take(self.number(LONGEST_MORE + 1)).decode())
        if not isinstance(found, dict):
            raise ValueError("not an object")
        return found


class SqueezedReader:
    """Reads a squeezed file from the byte of its way on, from a stream; the text is there at once, codes as they come.

    Raises:
        ContainerError: TruncatedFile, CorruptedFile, or MissingCoder where it was squeezed by other models.
    """

    def __init__(self, read: Read, model: Named = None) -> None:
        self.read, self.size = read, 0
        self.opening = opening = Opening(read)
        coder = self.find(model) if opening.way.modelled else None
        self.coder = "" if coder is None else coder.name.hex()
        more = {key: value for key, value in opening.more.items() if key in usual(None)}
        try:
            values = {**usual(coder), **more, "samples": opening.samples, "codes": opening.tokens, "text": None}
            header = Header(sample_rate=Speech.sample_rate, **values)
            self.payload = PayloadReader(coder, opening.way, opening.tokens, lambda: self.read(1))
            self.header = replace(header, text=self.payload.text)
        except InputError as error:
            raise TruncatedFile(f"{error}; copy the file again") from error
        except (ValueError, TypeError) as error:
            raise CorruptedFile(DAMAGED) from error

    def find(self, model: Named) -> Coder:
        """The coder that the file names. Raises MissingCoder."""
        try:
            return coder_of(self.opening.coder, model)
        except InputError as error:
            raise MissingCoder(str(error)) from error

    def codes(self) -> Iterator[int]:
        """Codes one by one; prompt and checksum are read after the last. Raises ContainerError."""
        found = []
        try:
            for code in self.payload.codes():
                found.append(code)
                yield code
            payload = self.payload.finish()
        except InputError as error:
            raise TruncatedFile(f"{error}; copy the file again") from error
        self.prompt_data = self.read(self.header.prompt_bytes)
        end = self.read(5)
        if len(end) < 4:
            raise TruncatedFile("bytes are missing at its end; copy the file again")
        codes = np.array(found, np.int64)
        if end != checksum(self.opening.start, self.header.text, codes, self.prompt_data).to_bytes(4, "big"):
            raise CorruptedFile("the checksum does not match: what was decoded is wrong; copy the file again")
        self.size = 4 + len(self.opening.start) + payload + len(self.prompt_data) + 4
