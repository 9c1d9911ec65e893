"""Audio longer than the model takes at once: equal pieces, the words that belong to each, and how a voice goes on."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import accumulate

from torch import Tensor

from tadicodec.speech import Prompt

IDEOGRAPHS = r"\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef"  # written without spaces: each may end a piece
WORD = re.compile(rf"[{IDEOGRAPHS}]\s*|[^\s{IDEOGRAPHS}]+\s*")
CONTINUE_TOKENS = 19  # about 3 s of the piece before serve as the next one's prompt


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


def cut(tokens: int, longest: int) -> list[Piece]:
    """Equal pieces of at most `longest` tokens."""
    count = max(-(-tokens // longest), 1)
    edges = [tokens * i // count for i in range(count + 1)]
    return [Piece(start, stop, tokens) for start, stop in zip(edges, edges[1:])]


def tail(piece: Piece, mel: Tensor, codes: Tensor, text: str | None) -> Prompt:
    """The end of a decoded piece as the prompt of the next: mel [F, 128] of the piece, codes [T] of the utterance."""
    start = max(piece.stop - CONTINUE_TOKENS, piece.start)
    end = Piece(start, piece.stop, piece.total)
    return Prompt(mel[(start - piece.start) * 8 :].cpu(), codes[start : piece.stop].cpu(), end.words(text) or "")
