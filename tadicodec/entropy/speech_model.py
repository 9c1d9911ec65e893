"""The probability of each code, by an autoregressive speech language model in exact arithmetic."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np

from tadicodec.entropy.arithmetic import Matrix, norm
from tadicodec.entropy.blocks import Blocks, Cache, matrix_of
from tadicodec.entropy.frequencies import frequencies
from tadicodec.entropy.tables import PLACE, normal, softplus
from tadicodec.entropy.weights import read_llama
from tadicodec.errors import InputError

BYTES, START = 256, 256  # ids of the vocabulary: bytes, start and end of speech
SHARP = (
    1.0,
    0.875,
    0.75,
    0.625,
)  # factors of scores: a voice that the model does not know needs less trust
DURATION = 1024  # units of a duration to one token
DURATION_HEAD = 32  # the width of a head of the durations' network
CHUNK = 2048  # codes at a time whose vectors are computed


class SpeechModel:
    """An autoregressive model of our own layout with a plain Llama, its codes' vectors and its durations."""

    def __init__(self, folder: Path) -> None:
        heads, tensors = read_llama(folder, ("model", "ar", "transformers"))
        self.blocks = Blocks.of(tensors, "lm.", heads)
        self.text_vectors = matrix_of(tensors, "lm.embed_tokens.weight").rows
        self.codes = CodeVectors(tensors)
        self.durations = Durations(tensors)

    @cached_property
    def table(self) -> Matrix:
        """The matrix that scores all codes."""
        parts = [
            self.codes(np.arange(first, min(first + CHUNK, self.codes.count)))
            for first in range(0, self.codes.count, CHUNK)
        ]
        return Matrix.of(np.concatenate(parts))


class CodeVectors:
    """Codes to vectors, from their bits: Linear, GELU, Linear (`tadicodec/tts/codebook.py`)."""

    def __init__(self, tensors: dict[str, np.ndarray]) -> None:
        self.inner, self.outer = (matrix_of(tensors, f"codes.{name}.weight") for name in ("inner", "outer"))
        self.shifts = [tensors[f"codes.{name}.bias"].astype(np.float64) for name in ("inner", "outer")]
        self.bits = self.inner.levels.shape[1]
        if self.bits > 16:
            raise InputError(f"codes of {self.bits} bits are not squeezed, only those of up to 16")
        self.count = 1 << self.bits

    def __call__(self, codes: np.ndarray) -> np.ndarray:
        """codes [n] -> [n, H]."""
        corners = (codes[:, None] >> np.arange(self.bits - 1, -1, -1) & 1) * 2.0 - 1.0
        inner = self.inner(corners) + self.shifts[0]
        return self.outer(inner * normal()(inner)) + self.shifts[1]


class Durations:
    """How long each byte of a text is expected to take (`tadicodec/tts/duration.py`)."""

    def __init__(self, tensors: dict[str, np.ndarray]) -> None:
        self.vectors = matrix_of(tensors, "duration.embedding.weight").rows
        size = self.vectors.shape[1]
        self.blocks = Blocks.of(tensors, "duration.", max(size // DURATION_HEAD, 1), causal=False)
        self.out = matrix_of(tensors, "duration.out.weight")
        self.shift = float(tensors["duration.out.bias"][0])

    def __call__(self, text: bytes) -> np.ndarray:
        """A text of n bytes -> [n + 1] int64 in 1/1024 of a token, at least 1: the silence before, then each byte."""
        symbols = [len(self.vectors) - 1, *text]
        positions = np.arange(len(symbols), dtype=np.int64) * PLACE
        hidden = norm(self.blocks(self.vectors[symbols], positions, self.blocks.caches()))
        found = softplus()(self.out(hidden)[:, 0] + self.shift)
        return np.maximum(np.rint(found * DURATION).astype(np.int64), 1)


class CodeReader:
    """What codes follow a text and each other: one section of an utterance."""

    def __init__(self, model: SpeechModel, text: bytes, starts: np.ndarray) -> None:
        """text [n] bytes and where each begins, starts [n] int64 in 1/64 of a token after the section's start."""
        self.model, self.place = model, 0
        self.caches: list[Cache] = model.blocks.caches()
        vectors = model.text_vectors[[*text, START]]
        self.hidden = model.blocks(vectors, np.append(starts, -PLACE), self.caches)[-1:]

    def scores(self) -> np.ndarray:
        """Scores [1, codes] of the code that comes next."""
        return self.model.table(self.hidden)

    def append(self, codes: np.ndarray) -> np.ndarray:
        """Read the next codes [n]; gives the states [n, H] behind each of them."""
        positions = np.arange(self.place, self.place + len(codes), dtype=np.int64) * PLACE
        states = self.model.blocks(self.model.codes(codes), positions, self.caches)
        self.place, self.hidden = self.place + len(codes), states[-1:]
        return states

    def whole(self, codes: np.ndarray) -> np.ndarray:
        """Scores [n, codes] of each of a section's codes [n], all at once."""
        first = self.hidden
        return self.model.table(np.concatenate([first, self.append(codes[:-1])]) if len(codes) > 1 else first)


def shared(scores: np.ndarray, sharpness: int) -> np.ndarray:
    """Scores [n, codes] -> frequencies [n, codes]; `sharpness` is a number of `SHARP`."""
    return frequencies(scores * SHARP[sharpness])
