"""Llama's blocks in exact arithmetic: causal, place after place with a cache, or in both directions at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tadicodec.entropy.arithmetic import Matrix, attend, norm, rotate, to_levels, to_values
from tadicodec.entropy.tables import sigmoid, turns
from tadicodec.errors import InputError

GROWTH = 128  # places by which a cache grows
PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj")
Tensors = Mapping[str, np.ndarray]


class Cache:
    """Keys, as whole numbers with their steps, and values of the places that a block has read."""

    def __init__(self) -> None:
        self.length = 0
        self.parts: list[np.ndarray] = []

    def extend(self, *parts: np.ndarray) -> list[np.ndarray]:
        """Take in arrays [heads, n, ...] of new places -> the same of all places up to now."""
        count = parts[0].shape[1]
        if not self.parts or self.length + count > self.parts[0].shape[1]:
            room = self.length + count + GROWTH
            grown = [np.zeros((part.shape[0], room, part.shape[2])) for part in parts]
            for old, new in zip(self.parts, grown):
                new[:, : self.length] = old[:, : self.length]
            self.parts = grown
        for kept, part in zip(self.parts, parts):
            kept[:, self.length : self.length + count] = part
        self.length += count
        return [kept[:, : self.length] for kept in self.parts]


@dataclass(frozen=True)
class Block:
    """One block: attention and feed-forward network, each behind a norm and with a residual."""

    matrices: dict[str, Matrix]
    gains: tuple[np.ndarray | None, np.ndarray | None]
    heads: int
    causal: bool

    @classmethod
    def of(cls, tensors: Tensors, prefix: str, heads: int, causal: bool = True) -> Block:
        """The block whose tensors' names begin with `prefix`."""
        names = [f"self_attn.{name}" for name in PROJECTIONS]
        names += [f"mlp.{name}" for name in ("gate_proj", "up_proj", "down_proj")]
        matrices = {name.split(".")[1]: matrix_of(tensors, f"{prefix}{name}.weight") for name in names}
        gains = [tensors.get(f"{prefix}{name}.weight") for name in ("input_layernorm", "post_attention_layernorm")]
        first, second = (None if gain is None else gain.astype(np.float64) for gain in gains)
        return cls(matrices, (first, second), heads, causal)

    @property
    def head_size(self) -> int:
        """The width of one head."""
        return len(self.matrices["q_proj"].levels) // self.heads

    def __call__(self, x: np.ndarray, positions: np.ndarray, cache: Cache) -> np.ndarray:
        """x [n, H] at positions [n] behind what the cache holds -> [n, H]."""
        x = x + self.attention(norm(x, self.gains[0]), positions, cache)
        inner = norm(x, self.gains[1])
        gate = self.matrices["gate_proj"](inner)
        return x + self.matrices["down_proj"](gate * sigmoid()(gate) * self.matrices["up_proj"](inner))

    def attention(self, x: np.ndarray, positions: np.ndarray, cache: Cache) -> np.ndarray:
        """x [n, H], behind its norm -> [n, H]."""
        size = self.head_size
        q, k, v = (self.matrices[name](x).reshape(len(x), -1, size) for name in PROJECTIONS[:3])
        speeds = turns(size // 2)
        (q, q_step), (k, k_step) = (
            to_levels(rotate(part, positions, speeds).transpose(1, 0, 2)) for part in (q, k)
        )  # [heads, n, d]
        keys, steps, values = cache.extend(k, k_step, to_values(v.transpose(1, 0, 2)))
        if len(keys) != self.heads:
            keys, steps, values = (np.repeat(part, self.heads // len(part), axis=0) for part in (keys, steps, values))
        scores = (q @ keys.transpose(0, 2, 1)) * q_step * steps.transpose(0, 2, 1) / np.sqrt(float(size))
        if self.causal and len(x) > 1:
            before = cache.length - len(x)
            scores[:, np.arange(cache.length)[None] > before + np.arange(len(x))[:, None]] = -np.inf
        return self.matrices["o_proj"](attend(scores, values).transpose(1, 0, 2).reshape(len(x), -1))


@dataclass(frozen=True)
class Blocks:
    """All blocks of a network, and the norm behind them."""

    layers: tuple[Block, ...]
    gain: np.ndarray | None

    @classmethod
    def of(cls, tensors: Tensors, prefix: str, heads: int, causal: bool = True) -> Blocks:
        """The blocks under `prefix`layers.N., as many as there are, and the gain of `prefix`norm, if there is one."""
        layers: list[Block] = []
        while f"{prefix}layers.{len(layers)}.self_attn.q_proj.weight" in tensors:
            layers.append(Block.of(tensors, f"{prefix}layers.{len(layers)}.", heads, causal))
        if not layers:
            raise InputError("no layers of a plain Llama with unpacked weights are in this model")
        gain = tensors.get(f"{prefix}norm.weight")
        return cls(tuple(layers), None if gain is None else gain.astype(np.float64))

    def caches(self) -> list[Cache]:
        """An empty cache for each block."""
        return [Cache() for _ in self.layers]

    def __call__(self, x: np.ndarray, positions: np.ndarray, caches: list[Cache]) -> np.ndarray:
        """Vectors [n, H] at positions [n] int64, in 1/64 of a place, behind what the caches hold -> [n, H]."""
        for layer, cache in zip(self.layers, caches, strict=True):
            x = layer(x, positions, cache)
        return norm(x, self.gain)


def matrix_of(tensors: Tensors, name: str) -> Matrix:
    """The matrix of this name: stored as whole numbers with their scales, or rounded here. Raises InputError."""
    if name not in tensors or tensors[name].ndim != 2:
        raise InputError(f"{name} is missing or no matrix")
    scale = tensors.get(f"{name}.scale")
    if scale is not None:
        return Matrix(tensors[name].astype(np.float64), scale.astype(np.float64)[:, 0])
    return Matrix.of(tensors[name])
