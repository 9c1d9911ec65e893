"""Audio longer than the model takes at once: where it is cut, and the words that belong to a piece."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import accumulate

from torch import Tensor

IDEOGRAPHS = r"\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef"  # written without spaces: each may end a piece
WORD = re.compile(rf"[{IDEOGRAPHS}]\s*|[^\s{IDEOGRAPHS}]+\s*")


@dataclass(frozen=True)
class Piece:
    """Tokens start .. stop of an utterance of `total` tokens (0: the piece is the whole)."""

    start: int
    stop: int
    total: int = 0

    def words(self, text: str | None) -> str | None:
        """The words spoken in this piece, estimated in proportion to time; cuts fall between words."""
        if text is None or not self.total or self.stop - self.start == self.total:
            return text
        words = WORD.findall(text)
        letters = [0, *accumulate(len(word) for word in words)]
        first, last = (letters[-1] * place / self.total for place in (self.start, self.stop))
        middle = [(a + b) / 2 for a, b in zip(letters, letters[1:])]
        return "".join(word for word, place in zip(words, middle) if first <= place < last).strip()


@dataclass(frozen=True)
class Cutter:
    """longest: tokens the model takes at once; search: the cut lies within the last so many of them; ahead: and leaves
    at least so many behind it, which are heard and then taken again in the next piece."""

    longest: int
    search: int
    ahead: int = 0

    def take(self, left: int) -> int:
        """Tokens to look at next when `left` remain: all, or so many that the last pieces come out alike."""
        if left <= self.longest or left >= 2 * self.longest:
            return min(left, self.longest)
        count = -(-left // (self.longest - self.search))
        return min(self.longest, -(-left // count) + self.search)

    def cut(self, levels: Tensor, taken: int) -> int:
        """The quietest token boundary near the end of `taken` tokens; levels [frames]: how loud each frame of them is,
        any number of frames a token."""
        rate = len(levels) // taken
        first, last = max(taken - self.search, 1), max(taken - max(self.ahead, 1), 1)
        around = [
            levels[max(place * rate - rate // 2, 0) : place * rate + rate // 2] for place in range(first, last + 1)
        ]
        return first + min(range(len(around)), key=lambda i: float(around[i].mean()))
