"""A token file (.tdc) read while it is still being sent: the header first, then codes as they come."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
import torch
from torch import Tensor

from tadicodec.config import CODE_BITS
from tadicodec.entropy.coder import Named
from tadicodec.guards.streams import read_bounded
from tadicodec.tdc.container import (
    BEFORE,
    FIXED,
    LARGEST,
    Checksum,
    TokenFile,
    from_bytes,
    header_size,
    is_squeezed,
    parse_header,
)
from tadicodec.tdc.faults import CorruptedFile, TruncatedFile
from tadicodec.tdc.squeezed import SqueezedReader

WEIGHTS = 1 << np.arange(CODE_BITS - 1, -1, -1)
BLOCK = 1 << 16


class TokenStream:
    """The codes of one token file, from a stream of bytes. Its header (of a squeezed file, also its text) is read at
    once.

    coder: as `container.read_tokens`.

    Raises:
        ContainerError: as `container.from_bytes`. What is wrong at the end is found at the end.
    """

    def __init__(self, stream: BinaryIO, coder: Named = None) -> None:
        self.stream, self.head, self.coder = stream, b"", coder
        self.squeezed: SqueezedReader | None = None
        if is_squeezed(self.read_exactly(BEFORE)):
            self.squeezed = SqueezedReader(self.read_exactly, coder)
            self.header = self.squeezed.header
            return
        self.read_exactly(FIXED.size - BEFORE)
        size = header_size(self.head)
        self.header = parse_header(self.read_exactly(size), size)
        self.flat_size = FIXED.size + size + self.header.code_bytes + self.header.prompt_bytes + Checksum.SIZE

    @property
    def size(self) -> int:
        """The number of bytes of the file; of a squeezed one, once its codes are read."""
        return self.flat_size if self.squeezed is None else self.squeezed.size

    @property
    def code_bits(self) -> float | None:
        """Bits of a squeezed file's codes that were read; None of a flat one."""
        return None if self.squeezed is None else self.squeezed.payload.costs.speech

    def read_exactly(self, size: int) -> bytes:
        """The next `size` bytes, or fewer where the stream ends."""
        data = b""
        while len(data) < size and (more := self.stream.read(size - len(data))):
            data += more
        self.head += data
        return data

    def read_whole(self) -> TokenFile:
        """All of the file at once, for one that carries its prompt behind the codes."""
        return from_bytes(self.head + read_bounded(self.stream, "the token file", LARGEST), self.coder)

    def codes(self) -> Iterator[Tensor]:
        """Codes [n] int64 as they come; the checksum is compared after the last."""
        if self.squeezed is not None:
            yield from (torch.tensor([code]) for code in self.squeezed.codes())
            return
        checksum, left, codes = Checksum(self.head), self.header.code_bytes, Unpacker(self.header.codes)
        while left:
            data = read_available(self.stream, left)
            if not data:
                raise TruncatedFile(f"{left + Checksum.SIZE} bytes are missing; copy the file again")
            checksum.add(data)
            left -= len(data)
            yield codes.push(data)
        self.check_end(checksum)

    def check_end(self, checksum: Checksum) -> None:
        """Read what follows the codes. Raises TruncatedFile or CorruptedFile unless it is their checksum."""
        end = self.read_exactly(Checksum.SIZE + 1)
        if len(end) < Checksum.SIZE:
            raise TruncatedFile(f"{Checksum.SIZE - len(end)} bytes are missing; copy the file again")
        if end != checksum.bytes():
            raise CorruptedFile(
                "the checksum does not match: some of what was decoded may be wrong; copy the file again"
            )


class Unpacker:
    """Turns packed bytes, in any portions, into the codes that are complete."""

    def __init__(self, count: int) -> None:
        self.left, self.bits = count, np.zeros(0, np.uint8)

    def push(self, data: bytes) -> Tensor:
        """The bytes that follow -> codes [n] int64 that are complete with them."""
        self.bits = np.concatenate([self.bits, np.unpackbits(np.frombuffer(data, np.uint8))])
        count = min(len(self.bits) // CODE_BITS, self.left)
        ready, self.bits = self.bits[: count * CODE_BITS], self.bits[count * CODE_BITS :]
        self.left -= count
        if not self.left and self.bits.any():
            raise CorruptedFile("bits follow the last code; copy the file again")
        return torch.from_numpy(ready.reshape(count, CODE_BITS).astype(np.int64) @ WEIGHTS)


def read_available(stream: BinaryIO, most: int) -> bytes:
    """At least one byte and at most `most`, without waiting for more than there is; none where the stream has ended."""
    most = min(most, BLOCK)
    return stream.read1(most) if hasattr(stream, "read1") else stream.read(1)
