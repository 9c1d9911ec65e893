"""Token files (.tdc): one utterance as a header, 14-bit codes and a checksum. Knows bytes, not models.

    magic 89 54 44 43 | version u8 | header length u32 | header, JSON in UTF-8
    | codes, 14 bits each, most significant first, zero bits up to a whole byte
    | the embedded speaker prompt, if the header announces one | CRC-32 of everything before, u32

Integers are big-endian. The header's keys are the fields of `header.Header`. This is version 1; version 2 holds the
same in fewer bits (`squeezed`).
"""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch

from tadicodec.config import CODE_BITS
from tadicodec.entropy.coder import Named
from tadicodec.entropy.payload import Costs
from tadicodec.errors import InputError
from tadicodec.guards import arguments
from tadicodec.guards.streams import read_bounded
from tadicodec.outputs import write_bytes
from tadicodec.speech import Prompt, Speech
from tadicodec.tdc.code_packing import pack_codes, unpack_codes
from tadicodec.tdc.faults import ContainerError, CorruptedFile, ForeignFile, NewerVersion, TruncatedFile
from tadicodec.tdc.header import Header
from tadicodec.tdc.saved_prompt import prompt_from_bytes, prompt_to_bytes
from tadicodec.tdc.squeezed import SQUEEZED, Listener, Opening, SqueezedReader, to_squeezed

MAGIC = b"\x89TDC"  # a first byte above 127, so that nothing takes it for text
VERSION = 1  # of flat files
FIXED = struct.Struct(">4sBI")
BEFORE = 5  # bytes of magic and version
LARGEST = 1 << 28  # bytes of a file: half a year of codes
LONGEST_HEADER = 1 << 20  # bytes; an hour of transcript is a tenth of it


class Checksum:
    """CRC-32 of the bytes so far, as the last four of a file hold it."""

    SIZE = 4

    def __init__(self, data: bytes = b"") -> None:
        self.value = zlib.crc32(data)

    def add(self, data: bytes) -> None:
        """Go on with the bytes that follow."""
        self.value = zlib.crc32(data, self.value)

    def bytes(self) -> bytes:
        """The four bytes that close the file, most significant first."""
        return self.value.to_bytes(self.SIZE, "big")


@dataclass(frozen=True)
class TokenFile:
    """All of a .tdc file of `size` bytes: header, codes [T] int64, and the bytes of the embedded prompt (empty without
    one). Of a squeezed file, also the bits of its parts, and the name of its coder ("" where it needs no model)."""

    header: Header
    codes: np.ndarray
    prompt_data: bytes
    size: int
    costs: Costs | None = None
    coder: str = ""

    @property
    def speech(self) -> Speech:
        """The utterance, as a batch that holds it alone."""
        return Speech(
            codes=torch.from_numpy(self.codes)[None],
            lengths=torch.tensor([self.header.codes]),
            samples=torch.tensor([self.header.samples]),
            text=(self.header.text,),
            model=self.header.model,
            weights=self.header.weights,
            sample_rate=self.header.sample_rate,
        )

    @property
    def prompt(self) -> Prompt | None:
        """The embedded prompt, or None. Raises CorruptedFile when its bytes are no prompt."""
        if not self.prompt_data:
            return None
        try:
            return prompt_from_bytes(self.prompt_data)
        except InputError as error:
            raise CorruptedFile(f"embedded prompt: {error}") from error


def write_tokens(
    path: str | Path,
    speech: Speech,
    prompt: Prompt | str | None = None,
    overwrite: bool = False,
    squeeze: Listener | bool = False,
    coder: Named = None,
) -> None:
    """Write one utterance to a .tdc file, whole or not at all.

    speech: a batch that holds one utterance; `speech[i]` is one of a larger batch. prompt: a prompt is embedded; a
    string is stored as the hash of a prompt that the receiver already has. squeeze: code text and codes by their
    probability; give the Codec, which knows when the words are spoken (True: without it, which takes more bits). coder:
    the folder of the speech language model that squeezes (None: the bundled one); who reads the file needs it, too.

    Raises:
        InputError: more than one utterance, codes that do not fit the samples, or a path that cannot be written.
    """
    write_bytes(path, to_bytes(speech, prompt, squeeze, coder), overwrite)


def read_tokens(source: str | Path | BinaryIO, coder: Named = None) -> Speech:
    """Read the utterance of a .tdc file, by its path or from an open stream, as a batch that holds it alone.

    coder: the folder of the speech language model that squeezed it (None: the bundled one).

    Raises:
        InputError: the file is missing or a folder.
        ContainerError: it is truncated, foreign, newer or corrupted, or squeezed by another model; the message names
            the file.
    """
    return read_token_file(source, coder).speech


def read_prompt(source: str | Path | BinaryIO, coder: Named = None) -> Prompt | None:
    """Read the speaker prompt that a .tdc file carries; None if it has none. coder, raises: as `read_tokens`."""
    return read_token_file(source, coder).prompt


def read_token_file(source: str | Path | BinaryIO, coder: Named = None) -> TokenFile:
    """Read all of a .tdc file, by its path or from an open stream. coder, raises: as `read_tokens`."""
    if not isinstance(source, str | Path) and hasattr(source, "read"):
        return named("standard input", read_start(source, "standard input"), coder)
    source = arguments.path("a token file", source)
    try:
        with open(source, "rb") as file:
            return named(str(source), read_start(file, str(source)), coder)
    except FileNotFoundError:
        raise InputError(f"{source} does not exist; check the path") from None
    except IsADirectoryError:
        raise InputError(f"{source} is a folder; give a .tdc file") from None
    except OSError as error:
        raise InputError(f"cannot read {source}: {error.strerror or error}") from error


def read_start(file: BinaryIO, name: str) -> bytes:
    """All bytes of a .tdc file; of another, only those that show that it is none. Raises InputError where no end comes.

    name: what a message calls it.
    """
    start = file.read(len(MAGIC))
    return start + read_bounded(file, name, LARGEST) if MAGIC.startswith(start) else start


def named(name: str, data: bytes, coder: Named = None) -> TokenFile:
    """Parse the bytes of a .tdc file. Raises ContainerError, with the file's name in front of what is wrong."""
    try:
        return from_bytes(data, coder)
    except ContainerError as error:
        raise type(error)(f"{name}: {error}") from None


def to_bytes(
    speech: Speech, prompt: Prompt | str | None = None, squeeze: Listener | bool = False, coder: Named = None
) -> bytes:
    """One utterance, and what `write_tokens` says of prompts and squeezing, as the bytes of a .tdc file. Raises
    InputError."""
    if squeeze is False:
        header, codes, prompt_data = checked(speech, prompt)
        return flat_bytes(header, codes, prompt_data)
    return squeezed_bytes(speech, prompt, None if squeeze is True else squeeze, coder)[0]


def squeezed_bytes(
    speech: Speech, prompt: Prompt | str | None = None, listener: Listener | None = None, coder: Named = None
) -> tuple[bytes, Costs]:
    """As `to_bytes` of a squeezed file, and the bits that its text, timing and codes take. Raises InputError."""
    header, codes, prompt_data = checked(speech, prompt)
    data, costs = to_squeezed(header, codes, prompt_data, listener, speech, coder)
    return MAGIC + data, costs


def checked(speech: Speech, prompt: Prompt | str | None) -> tuple[Header, np.ndarray, bytes]:
    """The header, the codes [T] and the embedded prompt's bytes of one utterance. Raises InputError."""
    arguments.kind("what a token file holds", speech, Speech, "a Speech (codec.encode or Speech.from_codes)")
    if prompt is not None:
        arguments.kind("a token file's prompt", prompt, (Prompt, str), "a Prompt, or the hash of one as a string")
    if len(speech) != 1:
        raise InputError(f"a token file holds one utterance, not {len(speech)}; write speech[i] one by one")
    samples, length = int(speech.samples[0]), int(speech.lengths[0])
    codes = speech.codes[0, :length].cpu().numpy()
    if len(codes) != length:
        raise InputError(f"the length says {length} codes, but there are {len(codes)}")
    if len(codes) and not 0 <= codes.min() <= codes.max() < 1 << CODE_BITS:
        raise InputError(f"cannot be stored in a token file: codes must lie in 0..{(1 << CODE_BITS) - 1}")
    prompt_data = prompt_to_bytes(prompt) if isinstance(prompt, Prompt) else b""
    try:
        header = Header(
            model=speech.model,
            weights=speech.weights,
            samples=samples,
            sample_rate=speech.sample_rate,
            codes=length,
            text=speech.text[0],
            language=None,
            normaliser="none",
            prompt=prompt_source(prompt, len(prompt_data)),
        )
    except ValueError as error:
        raise InputError(f"cannot be stored in a token file: {error}") from error
    return header, codes, prompt_data


def flat_bytes(header: Header, codes: np.ndarray, prompt_data: bytes) -> bytes:
    """The bytes of a flat file. Raises InputError where the text is too long."""
    head = header.to_json()
    if len(head) > LONGEST_HEADER:
        raise InputError(f"the text is too long for a token file ({len(head)} bytes of header); shorten it")
    body = FIXED.pack(MAGIC, VERSION, len(head)) + head + pack_codes(codes) + prompt_data
    return body + Checksum(body).bytes()


def prompt_source(prompt: Prompt | str | None, size: int) -> dict[str, str | int]:
    """What the header says about the prompt; `size` is the number of its bytes where it is embedded."""
    if prompt is None:
        return {"source": "none"}
    return {"source": "hash", "hash": prompt} if isinstance(prompt, str) else {"source": "embedded", "bytes": size}


def is_squeezed(data: bytes) -> bool:
    """Whether a file that begins so is a squeezed one."""
    return data[:BEFORE] == MAGIC + bytes([SQUEEZED])


def announced(data: bytes) -> int:
    """The number of samples that the bytes of a .tdc file announce, before anything is decoded. Raises
    ContainerError."""
    if is_squeezed(data):
        return Opening(io.BytesIO(data[BEFORE:]).read).samples
    start = FIXED.size + header_size(data[: FIXED.size])
    return parse_header(data[FIXED.size : start], start - FIXED.size).samples


def header_size(fixed: bytes) -> int:
    """The size of the JSON header, from the first bytes of a file. Raises ContainerError where it is none."""
    if not fixed.startswith(MAGIC[: len(fixed)]):
        raise ForeignFile("not a .tdc token file; make one with `tadicodec encode`")
    if len(fixed) < FIXED.size:
        raise TruncatedFile(f"only {len(fixed)} bytes, the rest is missing; copy the file again")
    _, version, size = FIXED.unpack(fixed)
    if version > SQUEEZED:
        raise NewerVersion(f"version {version} of the format, this program reads {SQUEEZED}; update tadicodec")
    if version != VERSION or size > LONGEST_HEADER:
        raise CorruptedFile("the header is damaged; copy the file again")
    return size


def parse_header(document: bytes, size: int) -> Header:
    """The JSON header, which should have `size` bytes. Raises ContainerError where it is short or damaged."""
    if len(document) < size:
        raise TruncatedFile("ends inside the header; copy the file again")
    try:
        return Header.from_json(document)
    except ValueError as error:
        raise CorruptedFile("the header is damaged; copy the file again") from error


def from_bytes(data: bytes, coder: Named = None) -> TokenFile:
    """Parse the bytes of a .tdc file. Nothing is allocated before the lengths agree with the bytes that are there, and
    nothing is decoded for longer than they last. coder: as `read_tokens`.

    Raises:
        ContainerError: TruncatedFile, ForeignFile, NewerVersion, CorruptedFile or MissingCoder.
    """
    if is_squeezed(data):
        reader = SqueezedReader(io.BytesIO(data[BEFORE:]).read, coder)
        codes = np.array(list(reader.codes()), np.int64)
        return TokenFile(reader.header, codes, reader.prompt_data, len(data), reader.payload.costs, reader.coder)
    start = FIXED.size + header_size(data[: FIXED.size])
    header = parse_header(data[FIXED.size : start], start - FIXED.size)
    end = start + header.code_bytes + header.prompt_bytes
    if end + Checksum.SIZE > len(data):
        raise TruncatedFile(f"{end + Checksum.SIZE - len(data)} bytes are missing; copy the file again")
    if data[end:] != Checksum(data[:end]).bytes():
        raise CorruptedFile("the checksum does not match; copy the file again")
    prompt_start = start + header.code_bytes
    try:
        codes = unpack_codes(data[start:prompt_start], header.codes)
    except ValueError as error:
        raise CorruptedFile(f"{error}; copy the file again") from error
    return TokenFile(header, codes, data[prompt_start:end], len(data))
