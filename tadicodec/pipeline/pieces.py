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
    """The words of an utterance and the token at which each begins, which is first estimated in proportion to time."""

    def __init__(self, text: str | None, tokens: int) -> None:
        self.given = text is not None
        self.words = WORD.findall(text or "")
        letters = [0, *accumulate(len(word) for word in self.words)]
        self.starts = [(a + b) / 2 * tokens / letters[-1] for a, b in zip(letters, letters[1:])]

    def between(self, start: float, stop: float | None) -> str | None:
        """The words that begin in tokens start .. stop (None: and later), as one text; None where the text is unknown
        and none was read."""
        if not self.given and not self.words:
            return None
        spoken = (start <= place and (stop is None or place < stop) for place in self.starts)
        return "".join(word for word, said in zip(self.words, spoken) if said).strip()

    def ahead(self, place: float, most: int) -> list[int]:
        """The numbers of the words that begin at `place` or later, up to `most` letters."""
        first = sum(start < place for start in self.starts)
        sizes = accumulate(len(word) for word in self.words[first:])
        return [index for index, size in enumerate(sizes, start=first) if size <= most]

    def read(self, place: float, words: Sequence[str], starts: Sequence[float]) -> None:
        """Take words that begin at these tokens for all that begin at `place` or later."""
        kept = sum(start < place for start in self.starts)
        new = [index for index, start in enumerate(starts) if start >= place]
        self.words[kept:] = [words[index].rstrip() + " " for index in new]
        self.starts[kept:] = [starts[index] for index in new]

    def begin(self, words: Sequence[int], starts: Sequence[float]) -> None:
        """Say where these words really begin. All later ones come after them."""
        for index, start in zip(words, starts, strict=True):
            self.starts[index] = start
        for index in range(words[-1] + 1 if words else len(self.words), len(self.words)):
            self.starts[index] = float("inf")


@dataclass(frozen=True)
class Cutter:
    """Decides where long audio is cut.

    longest: tokens that the model takes at once. search: the cut lies within the last so many of them. ahead: at least
    so many are left behind the cut; they are heard, and then taken again in the next piece.
    """

    longest: int
    search: int
    ahead: int = 0

    def take(self, left: int) -> int:
        """The number of tokens to look at next when `left` remain: all, or so many that the last pieces come out
        alike."""
        if left <= self.longest or left >= 2 * self.longest:
            return min(left, self.longest)
        count = -(-left // (self.longest - self.search))
        return min(self.longest, -(-left // count) + self.search)

    def cut(self, levels: Tensor, taken: int) -> int:
        """After how many of `taken` tokens to cut: at the quietest boundary near their end.

        levels [frames]: how loud each frame of them is, with any number of frames a token.
        """
        rate = len(levels) // taken
        first, last = max(taken - self.search, 1), max(taken - max(self.ahead, 1), 1)
        around = [
            levels[max(place * rate - rate // 2, 0) : place * rate + rate // 2] for place in range(first, last + 1)
        ]
        return first + min(range(len(around)), key=lambda i: float(around[i].mean()))
