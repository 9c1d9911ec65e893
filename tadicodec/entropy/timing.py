"""Where the bytes of a text stand on the time axis of its codes, told by how many of them begin in each short bin.

The speech model wants to know when each byte is spoken: with expected times alone its codes take twice the bits. What a
receiver cannot know is coded: the number of bytes that begin in each bin of a few tokens. Inside a bin they are spread
as they are expected to be.
"""

from __future__ import annotations

import numpy as np

from tadicodec.entropy.speech_model import DURATION, Durations
from tadicodec.entropy.tables import PLACE

MOST = 63  # bytes that begin in one bin, but for the last, which takes all that are left
AHEAD = 640  # bytes whose durations are asked for at once
USUAL = 0.37 * DURATION  # a byte's duration, for those beyond
SLOWEST, FASTEST = 0.5, 2.0  # what expected durations are stretched by
WIDE, WIDER = 1.5, 0.1  # how far counts lie from what is expected: at 0, and for each expected byte
PEAK = float(1 << 16)
QUOTES = str.maketrans(
    {"‘": "'", "’": "'", "“": "", "”": "", "–": "-", "—": "-", "\n": " "} | dict.fromkeys('"()[]{}<>*_~^|\\/`#', "")
)
CAPITALS = bytes(range(256)).translate(bytes.maketrans(bytes(range(65, 91)), bytes(range(97, 123))))


def spoken(text: str) -> bytes:
    """A text as the speech model reads it: small letters, without marks that are not said.

    (`text.normalize` also spells numbers, by a package whose versions differ; what is here is the same everywhere.)
    """
    text = text.translate(QUOTES)
    while "  " in text:
        text = text.replace("  ", " ")
    return text.encode("utf-8").translate(CAPITALS)


class Timing:
    """The bins of one utterance, one after the other: what counts are expected, and where bytes begin."""

    def __init__(self, durations: Durations, text: bytes, tokens: int, size: int) -> None:
        """text [n] as `spoken` gives it, the number of tokens and of tokens in a bin."""
        self.durations, self.text, self.tokens, self.size = durations, text, tokens, size
        self.place = self.bin = 0  # bytes that have begun, bins that are over
        self.base = 0  # the byte at which `expected` begins
        self.look()

    @property
    def left(self) -> int:
        """Bytes that have not begun."""
        return len(self.text) - self.place

    @property
    def last(self) -> bool:
        """Whether all bytes that are left begin in the next bin."""
        return (self.bin + 1) * self.size >= self.tokens

    def look(self) -> None:
        """Ask for the durations of the bytes that come next."""
        self.base = self.place
        self.expected = self.durations(self.text[self.place : self.place + AHEAD])

    def follow(self) -> None:
        """Ask for more durations where few are left."""
        if self.place - self.base > AHEAD // 2 and self.base + AHEAD < len(self.text):
            self.look()

    def frequencies(self) -> np.ndarray:
        """Frequencies [n] int64 of 0, 1, ... bytes beginning in the next bin."""
        self.follow()
        mean = self.mean()
        distance = (np.arange(min(self.left, MOST) + 1) - mean) / (WIDE + WIDER * mean)
        near = 1.0 + distance * distance
        return np.floor(PEAK / (near * near)).astype(np.int64) + 1

    def mean(self) -> float:
        """About how many bytes are expected to begin in the next bin."""
        ahead = self.expected[self.place - self.base :]
        begun = int(ahead[0]) // 2 + np.concatenate([[0], np.cumsum(ahead[1:])])  # where each begins, and the end
        beyond = max(self.left - (len(ahead) - 1), 0)
        left = (self.tokens - self.bin * self.size) * DURATION
        stretch = min(max(left / (float(begun[-1]) + beyond * USUAL), SLOWEST), FASTEST)
        bound = self.size * DURATION / stretch
        inside = int((begun[:-1] <= bound).sum())
        if not inside:
            return 0.0
        following = float(begun[inside] - begun[inside - 1])
        return inside - 1 + min((bound - float(begun[inside - 1])) / following, 1.0)

    def advance(self, count: int) -> np.ndarray:
        """Let `count` bytes begin in the next bin -> where, [count] int64 in 1/64 of a token."""
        first = self.bin * self.size * PLACE
        self.bin += 1
        if not count:
            return np.zeros(0, np.int64)
        near = self.expected[self.place - self.base : self.place - self.base + count + 1]
        gaps = np.concatenate([near, np.full(count + 1 - len(near), int(USUAL), np.int64)])
        gaps[[0, -1]] //= 2
        ends = np.cumsum(np.maximum(gaps, DURATION // 20))
        self.place += count
        return first + ends[:-1] * (self.size * PLACE) // ends[-1]


def counts_of(starts: np.ndarray, tokens: int, size: int) -> list[int]:
    """How many of the bytes that begin at starts [n], in tokens, fall into each bin, as far as `MOST` allows."""
    bins = -(-tokens // size)
    wanted = np.bincount(np.minimum(np.maximum(starts, 0) / size, bins - 1).astype(int), minlength=bins)
    counts, late = [], 0
    for count in wanted[:-1].tolist():
        counts.append(min(count + late, MOST))
        late += count - counts[-1]
    return [*counts, int(wanted[-1]) + late]
