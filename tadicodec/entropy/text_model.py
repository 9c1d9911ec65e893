"""The probability of each byte of a text, by a small language model of bytes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tadicodec.entropy.arithmetic import Matrix
from tadicodec.entropy.blocks import Blocks, Cache, matrix_of
from tadicodec.entropy.frequencies import frequencies
from tadicodec.entropy.tables import PLACE
from tadicodec.entropy.weights import read_llama

BYTES = 256
END = BYTES  # the symbol before a text and behind it
WINDOW, KEPT = 256, 64  # places that the model sees at most, and those of them that it sees again behind that


class TextModel:
    """A Llama of bytes, read from a folder that `tools/train_text_model.py` wrote."""

    def __init__(self, folder: Path) -> None:
        heads, tensors = read_llama(folder, ("llama",))
        self.blocks = Blocks.of(tensors, "", heads)
        self.table: Matrix = matrix_of(tensors, "embed_tokens.weight")
        self.vectors = self.table.rows

    def read(self, symbols: list[int], first: int, caches: list[Cache]) -> np.ndarray:
        """The next symbols [n], at positions from `first` on -> what follows each of them, frequencies [n, 257]."""
        positions = np.arange(first, first + len(symbols), dtype=np.int64) * PLACE
        return frequencies(self.table(self.blocks(self.vectors[symbols], positions, caches)))

    def whole(self, text: bytes) -> np.ndarray:
        """Frequencies [n + 1, 257] of each byte of a text [n], and of its end."""
        symbols, found, place = [END, *text], [], 0
        while True:
            window = symbols[place : place + WINDOW]
            found.append(self.read(window, 0, self.blocks.caches())[KEPT if place else 0 :])
            if place + WINDOW >= len(symbols):
                return np.concatenate(found)
            place += WINDOW - KEPT


class TextReader:
    """The same frequencies, one symbol after the other."""

    def __init__(self, model: TextModel) -> None:
        self.model, self.caches = model, model.blocks.caches()
        self.seen: list[int] = []  # in this window

    def after(self, symbol: int) -> np.ndarray:
        """Frequencies [257] of what follows a symbol, which follows those of earlier calls; the first is `END`."""
        if len(self.seen) == WINDOW:
            self.seen, self.caches = self.seen[-KEPT:], self.model.blocks.caches()
            self.model.read(self.seen, 0, self.caches)
        self.seen.append(symbol)
        return self.model.read([symbol], len(self.seen) - 1, self.caches)[0]
