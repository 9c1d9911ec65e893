"""Audio longer than the model takes at once: where it is cut, and the words that belong to a piece."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from torch import Tensor

CONTINUE_TOKENS = 19  # about 3 s of what came before serve as the prompt of the next window
IDEOGRAPHS = r"\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef"  # written without spaces: each may end a piece
WORD = re.compile(rf"[{IDEOGRAPHS}]\s*|[^\s{IDEOGRAPHS}]+\s*")


class Script:
    """The words of an utterance and the token at which each begins: first an estimate in proportion to time."""

    def __init__(self, text: str | None, tokens: int) -> None:
        self.known = text is not None
        self.words = WORD.findall(text or "")
        letters = [0, *accumulate(len(word) for word in self.words)]
        self.starts = [(a + b) / 2 * tokens / letters[-1] for a, b in zip(letters, letters[1:])]

    def between(self, start: float, stop: float | None) -> str | None:
        """Words that begin in tokens start .. stop (None: and later); None for an unknown text."""
        if not self.known:
            return None
        spoken = (start <= place and (stop is None or place < stop) for place in self.starts)
        return "".join(word for word, said in zip(self.words, spoken) if said).strip()

    def ahead(self, place: float, most: int) -> list[int]:
        """Indices of the words that begin at `place` or later, up to `most` letters."""
        first = sum(start < place for start in self.starts)
        sizes = accumulate(len(word) for word in self.words[first:])
        return [index for index, size in enumerate(sizes, start=first) if size <= most]

    def begin(self, words: Sequence[int], starts: Sequence[float]) -> None:
        """Where these words really begin; all later ones come after them."""
        for index, start in zip(words, starts, strict=True):
            self.starts[index] = start
        for index in range(words[-1] + 1 if words else len(self.words), len(self.words)):
            self.starts[index] = float("inf")


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
