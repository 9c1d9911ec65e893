"""How likely each letter is behind what was written so far, by the text model's weights in plain float32.

For a search over transcripts, which asks for many continuations at once. Nothing is decoded by these numbers, so they
need not be the same bits on every machine as those of `text_model.py` are.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np

from tadicodec.entropy.coder import text_folder
from tadicodec.entropy.text_model import END, WINDOW, TextModel
from tadicodec.text.normalize import LETTERS

BASE, EPS = 10000.0, 1e-6  # of the rotary positions and the norms
GROWTH = 512  # places by which the store grows
BLANKED = -1e30


class LetterModel:
    """The text model, asked for the letters of an alphabet alone."""

    def __init__(self, folder: Path, alphabet: str) -> None:
        exact = TextModel(folder)
        self.vectors = exact.vectors.astype(np.float32)
        self.symbols = np.array([*alphabet.encode(), END])  # the end comes last
        self.out = self.vectors[self.symbols].T
        self.layers = [
            (block, {name: matrix.rows.astype(np.float32).T.copy() for name, matrix in block.matrices.items()})
            for block in exact.blocks.layers
        ]
        self.gain = exact.blocks.gain
        first = exact.blocks.layers[0]
        self.heads, self.size = first.heads, first.head_size
        self.speeds = BASE ** (-np.arange(self.size // 2) / (self.size // 2))


@cache
def letter_model() -> LetterModel:
    """The bundled text model for the letters that a transcriber writes; read once."""
    return LetterModel(text_folder(), LETTERS)


class Continuations:
    """A tree of texts that grow letter by letter, and what follows each of them: the cache of one search."""

    def __init__(self, model: LetterModel) -> None:
        self.model = model
        self.store = np.zeros((len(model.layers), 2, GROWTH, model.heads, model.size), np.float32)
        self.paths: list[np.ndarray] = []  # of each text the places of the store that hold its letters
        self.depths: list[int] = []

    def extend(self, parents: list[int], letters: list[int]) -> tuple[range, np.ndarray]:
        """Texts by number (-1: none yet), and the letter [n] that each takes (-1: the start) -> the numbers of the new
        texts, and log-probabilities [n, letters + 1] of what follows them, the end last."""
        model, count, first = self.model, len(parents), len(self.paths)
        places = range(first, first + count)
        if places.stop > self.store.shape[2]:
            self.store = np.concatenate([self.store, np.zeros_like(self.store)], 2)
        for parent, place in zip(parents, places, strict=True):
            before = self.paths[parent] if parent >= 0 else np.zeros(0, np.int64)
            self.paths.append(np.append(before, place)[-WINDOW:])
            self.depths.append(self.depths[parent] + 1 if parent >= 0 else 0)
        longest = max(len(self.paths[place]) for place in places)
        seen = np.zeros((count, longest), np.int64)
        hidden = np.full((count, 1, 1, longest), BLANKED, np.float32)
        for row, place in enumerate(places):
            path = self.paths[place]
            seen[row, : len(path)], hidden[row, ..., : len(path)] = path, 0
        x = model.vectors[model.symbols[letters]]
        angles = np.array(self.depths[first:])[:, None] * model.speeds
        turn = np.cos(angles)[:, None].astype(np.float32), np.sin(angles)[:, None].astype(np.float32)
        for number, (block, matrices) in enumerate(model.layers):
            x = x + self.attention(number, norm(x, block.gains[0]), turn, seen, hidden, places)
            inner = norm(x, block.gains[1])
            gate = inner @ matrices["gate_proj"]
            x = x + (gate / (1 + np.exp(-gate)) * (inner @ matrices["up_proj"])) @ matrices["down_proj"]
        scores = norm(x, model.gain) @ model.out
        below = scores - scores.max(-1, keepdims=True)
        return places, below - np.log(np.exp(below).sum(-1, keepdims=True))

    def attention(
        self,
        number: int,
        x: np.ndarray,
        turn: tuple[np.ndarray, np.ndarray],
        seen: np.ndarray,
        hidden: np.ndarray,
        places: range,
    ) -> np.ndarray:
        """x [n, H] of layer `number`, behind its norm -> [n, H]; seen [n, S] are places of the store."""
        model, matrices = self.model, self.model.layers[number][1]
        q, k, v = ((x @ matrices[name]).reshape(len(x), -1, model.size) for name in ("q_proj", "k_proj", "v_proj"))
        store = self.store[number]
        store[0, places.start : places.stop], store[1, places.start : places.stop] = rotate(k, turn), v
        keys, values = store[0][seen], store[1][seen]  # [n, S, heads, d]
        scores = rotate(q, turn)[:, :, None] @ keys.transpose(0, 2, 3, 1) / np.sqrt(np.float32(model.size)) + hidden
        shares = np.exp(scores - scores.max(-1, keepdims=True))
        mixed = (shares @ values.transpose(0, 2, 1, 3)) / shares.sum(-1, keepdims=True)
        return mixed.reshape(len(x), -1) @ matrices["o_proj"]


def norm(x: np.ndarray, gain: np.ndarray | None) -> np.ndarray:
    """x [n, H] divided by its root mean square, times gain [H]."""
    scaled = x / np.sqrt(np.square(x).mean(-1, keepdims=True) + np.float32(EPS))
    return scaled if gain is None else scaled * gain.astype(np.float32)


def rotate(x: np.ndarray, turn: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """x [n, heads, d] turned by angles whose cosine and sine [n, 1, d / 2] are given."""
    first, second = np.split(x, 2, axis=-1)
    cos, sin = turn
    return np.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)
