"""How likely each letter is behind what was written so far, by the text model's weights in plain float32.

For a search over transcripts, which asks for many continuations at once. No file is decoded by these numbers, so they
need not be the same bits on every machine as those of `text_model.py` are.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from tadicodec.entropy.blocks import Block
from tadicodec.entropy.coder import text_folder
from tadicodec.entropy.text_model import END, WINDOW, TextModel
from tadicodec.text.normalize import LETTERS

BASE, EPS = 10000.0, np.float32(1e-6)  # of the rotary positions and the norms
GROWTH = 512  # texts by which the store grows
HIDDEN = np.float32(-1e30)


@dataclass(frozen=True)
class Layer:
    """A block's matrices, those that read the same side by side, with the gains of the norms before them."""

    project: np.ndarray  # [H, 3 H]: queries and keys with the two halves of each rotation side by side, then values
    out: np.ndarray
    gate_up: np.ndarray
    down: np.ndarray

    @classmethod
    def of(cls, block: Block) -> Layer:
        """The same block as `text_model.py` has."""
        rows = {name: matrix.rows.T for name, matrix in block.matrices.items()}
        attend, feed = (1.0 if gain is None else gain[:, None] for gain in block.gains)
        turned = [turning(rows[name], block.heads) for name in ("q_proj", "k_proj")]
        return cls(
            project=single(attend * np.concatenate([*turned, rows["v_proj"]], axis=1)),
            out=single(rows["o_proj"]),
            gate_up=single(feed * np.concatenate([rows["gate_proj"], rows["up_proj"]], axis=1)),
            down=single(rows["down_proj"]),
        )


class LetterModel:
    """The text model, asked for the letters of an alphabet alone."""

    def __init__(self, folder: Path, alphabet: str) -> None:
        exact = TextModel(folder)
        self.symbols = np.array([*alphabet.encode(), END])  # the end comes last
        self.vectors = single(exact.vectors[self.symbols])
        gain = exact.blocks.gain
        self.out = single((1.0 if gain is None else gain[:, None]) * exact.vectors[self.symbols].T)
        self.layers = [Layer.of(block) for block in exact.blocks.layers]
        first = exact.blocks.layers[0]
        self.heads, self.size = first.heads, first.head_size
        self.speeds = BASE ** (-np.arange(self.size // 2) / (self.size // 2))


@cache
def letter_model() -> LetterModel:
    """The bundled text model for the letters that a transcriber writes; read once."""
    return LetterModel(text_folder(), LETTERS)


class Continuations:
    """A tree of texts that grow letter by letter, and what follows each of them: the cache of one search.

    Each text keeps the key and value of its last letter. A new one attends to all that there are and hides those that
    are not on its own path: of so few, faster than collecting a path's.
    """

    def __init__(self, model: LetterModel) -> None:
        self.model = model
        self.store = np.zeros((len(model.layers), 2, model.heads, GROWTH, model.size), np.float32)
        self.hidden = np.full((GROWTH, GROWTH), HIDDEN)  # of each text: 0 at itself and the texts that it grew from
        self.depths: list[int] = []

    def extend(self, parents: list[int], letters: list[int]) -> tuple[range, np.ndarray]:
        """Texts by number (-1: none yet), and the letter [n] that each takes (-1: the start) -> the numbers of the new
        texts, and log-probabilities [n, letters + 1] of what follows them, the end last."""
        model, texts = self.model, range(len(self.depths), len(self.depths) + len(parents))
        self.place(parents, texts)
        angles = np.multiply.outer([self.depths[text] for text in texts], model.speeds)
        turn = np.exp(1j * angles).astype(np.complex64)[:, None]
        x = model.vectors[letters]
        for layer, store in zip(model.layers, self.store, strict=True):
            x = x + self.attention(layer, store, normalised(x), turn, texts)
            both = normalised(x) @ layer.gate_up
            gate, up = both[:, : len(layer.down)], both[:, len(layer.down) :]
            x = x + (gate / (1 + np.exp(-gate)) * up) @ layer.down
        scores = normalised(x) @ model.out
        below = scores - scores.max(1, keepdims=True)
        return texts, below - np.log(np.exp(below).sum(1, keepdims=True))

    def place(self, parents: list[int], texts: range) -> None:
        """Make room for new texts, and note what each of them sees."""
        if texts.stop > len(self.hidden):
            self.store = np.concatenate([self.store, np.zeros_like(self.store)], axis=3)
            self.hidden = np.pad(self.hidden, (0, len(self.hidden)), constant_values=HIDDEN)
        for parent, text in zip(parents, texts, strict=True):
            row = self.hidden[text]
            if parent >= 0:
                row[:] = self.hidden[parent]
            self.depths.append(self.depths[parent] + 1 if parent >= 0 else 0)
            if self.depths[text] >= WINDOW:
                row[np.argmax(row == 0)] = HIDDEN  # the model never saw longer texts; the first letter is forgotten
            row[text] = 0

    def attention(self, layer: Layer, store: np.ndarray, x: np.ndarray, turn: np.ndarray, texts: range) -> np.ndarray:
        """x [n, H] behind a layer's norm, rotations [n, 1, d / 2] of the places -> [n, H]."""
        heads, count = self.model.heads, len(x)
        parts = (x @ layer.project).reshape(count, 3 * heads, -1)
        turned = (parts[:, : 2 * heads].view(np.complex64) * turn).view(np.float32).swapaxes(0, 1)
        store[0, :, texts.start : texts.stop] = turned[heads:]
        store[1, :, texts.start : texts.stop] = parts[:, 2 * heads :].swapaxes(0, 1)
        keys, values = store[:, :, : texts.stop]
        scores = turned[:heads] @ keys.swapaxes(1, 2) * np.float32(self.model.size**-0.5)
        scores += self.hidden[texts.start : texts.stop, : texts.stop]
        shares = np.exp(scores - scores.max(2, keepdims=True))
        mixed = (shares @ values) / shares.sum(2, keepdims=True)
        return mixed.swapaxes(0, 1).reshape(count, -1) @ layer.out


def turning(matrix: np.ndarray, heads: int) -> np.ndarray:
    """Columns of a matrix [H, H] reordered: what a rotation turns together, the halves of a head, side by side."""
    halves = matrix.reshape(len(matrix), heads, 2, -1)
    return halves.swapaxes(2, 3).reshape(matrix.shape)


def single(matrix: np.ndarray) -> np.ndarray:
    """A matrix as float32, a row behind the other."""
    return np.ascontiguousarray(matrix, dtype=np.float32)


def normalised(x: np.ndarray) -> np.ndarray:
    """x [n, H] divided by its root mean square; the gain is in the matrix behind it."""
    return x / np.sqrt(np.einsum("nh,nh->n", x, x) / np.float32(x.shape[1]) + EPS)[:, None]
