"""A range coder: symbols to bytes by whole numbers that say how probable each is, and back.

After G. N. N. Martin (1979), with a range of 64 bits and carries. What is written can be followed by any bytes: reading
needs no length, and knows where the code ends. (`constriction` was considered: its models take probabilities as floats,
and it writes whole words of 32 bits, 12 bits more a file.)
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tadicodec.errors import InputError

WIDTH = 64
WHOLE = 1 << WIDTH
TOP, SHORTEST = WIDTH - 8, 1 << (WIDTH - 8)  # a byte leaves when the range is below 2^56


class RangeEncoder:
    """Writes symbols; `take` gives the bytes that are final, `finish` the rest."""

    def __init__(self) -> None:
        self.low, self.range = 0, WHOLE
        self.done = bytearray()  # bytes, of which those behind the last below 255 may still grow by a carry

    def write(self, found: np.ndarray, symbol: int) -> None:
        """The next symbol, with the frequencies [symbols] int64 of all."""
        self.write_part(int(found[:symbol].sum()), int(found[symbol]), int(found.sum()))

    def write_part(self, start: int, size: int, total: int) -> None:
        """The part start .. start + size of `total`; the last part gets what division leaves."""
        unit = self.range // total
        self.low += unit * start
        self.range = self.range - unit * start if start + size == total else unit * size
        if self.low >= WHOLE:
            self.low -= WHOLE
            self.carry()
        while self.range < SHORTEST:
            self.done.append(self.low >> TOP)
            self.low, self.range = (self.low << 8) & (WHOLE - 1), self.range << 8

    def write_number(self, value: int, total: int) -> None:
        """A number below `total`, all of them equally probable."""
        self.write_part(value, 1, total)

    def carry(self) -> None:
        """Add 1 to the bytes that were written."""
        place = len(self.done) - 1
        while self.done[place] == 255:
            self.done[place] = 0
            place -= 1
        self.done[place] += 1

    def take(self) -> bytes:
        """The bytes that no later symbol changes; each is given once."""
        final = len(self.done) - 1
        while final > 0 and self.done[final] == 255:
            final -= 1
        given = bytes(self.done[: max(final, 0)])
        del self.done[: max(final, 0)]
        return given

    def finish(self) -> bytes:
        """The bytes that were not yet taken, with as few at the end as say the rest whatever follows."""
        count, value = last_bytes(self.low, self.range)
        if value >= WHOLE:
            self.carry()
        return bytes(self.done) + (value % WHOLE).to_bytes(WIDTH // 8, "big")[:count]


class RangeDecoder:
    """Reads symbols from bytes that `read` gives one at a time (b"" where they end), and asks for a byte only when no
    symbol can be told without it. So a symbol is there as soon as its bits are."""

    def __init__(self, read: Callable[[], bytes]) -> None:
        self.read, self.low, self.range, self.taken, self.shifts = read, 0, WHOLE, 0, 0
        self.offset, self.unread = 0, WIDTH // 8  # of the code within the range; its last bytes, not read yet

    def symbol(self, found: np.ndarray) -> int:
        """The next symbol, by the frequencies [symbols] int64 that it was written with. Raises InputError where the
        bytes end."""
        ends = np.cumsum(found)
        total = int(ends[-1])
        unit = self.range // total
        while True:
            least, most = (min(value // unit, total - 1) for value in self.bounds())
            symbol = int(np.searchsorted(ends, least, side="right"))
            if most < int(ends[symbol]):
                break
            self.take()
        self.advance(int(ends[symbol]) - int(found[symbol]), int(found[symbol]), total)
        return symbol

    def number(self, total: int) -> int:
        """What `write_number` wrote. Raises InputError where the bytes end."""
        unit = self.range // total
        while True:
            least, most = (min(value // unit, total - 1) for value in self.bounds())
            if least == most:
                break
            self.take()
        self.advance(least, 1, total)
        return least

    def bounds(self) -> tuple[int, int]:
        """The least and the largest offset that the bytes read so far allow."""
        return self.offset, min(self.offset + (1 << 8 * self.unread), self.range) - 1

    def take(self) -> None:
        """Take in a byte."""
        byte = self.read()
        if not byte or not self.unread:
            raise InputError("it ends too early")
        self.taken, self.unread = self.taken + 1, self.unread - 1
        self.offset += byte[0] << 8 * self.unread

    def advance(self, start: int, size: int, total: int) -> None:
        """Go on behind a part, as `RangeEncoder.write_part` did."""
        unit = self.range // total
        self.offset -= unit * start
        self.low = (self.low + unit * start) % WHOLE
        self.range = self.range - unit * start if start + size == total else unit * size
        while self.range < SHORTEST:
            self.low, self.range = (self.low << 8) & (WHOLE - 1), self.range << 8
            self.offset, self.unread, self.shifts = self.offset << 8, self.unread + 1, self.shifts + 1

    def finish(self) -> int:
        """Read what is left of the code, and say how many bytes it took. Raises InputError where they end before, or
        where no encoder ends so."""
        size = self.shifts + last_bytes(self.low, self.range)[0]
        while self.taken < size:
            self.take()
        if self.taken > size:
            raise InputError("it does not end where it should")
        return size


def last_bytes(low: int, size: int) -> tuple[int, int]:
    """How many bytes say a number in low .. low + size whatever follows them, and the least such number (which ends in
    zeros)."""
    count = 0
    while (value := -(-low >> WIDTH - 8 * count) << WIDTH - 8 * count) + (1 << WIDTH - 8 * count) > low + size:
        count += 1
    return count, value
