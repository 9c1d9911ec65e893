"""Keys and values of what a language model has read: in floating point, or packed to a few bits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from tadicodec.errors import InputError
from tadicodec.integers.activation import can_rotate, hadamard
from tadicodec.integers.packing import pack, unpack
from tadicodec.integers.ranges import LEAST
from tadicodec.integers.straight import through


class Cache(Protocol):
    """Keys and values of one layer."""

    def query(self, q: Tensor) -> Tensor:
        """Queries [B, heads, S, d] as the kept keys want them."""

    def extend(self, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Take in keys and values [B, heads, S, d] of new places -> those of all places up to now [B, heads, P, d]."""

    @property
    def nbytes(self) -> int:
        """The memory that it keeps from one call to the next."""


class FloatCache(Cache):
    """Keys and values as they are."""

    def __init__(self) -> None:
        self.kept: tuple[Tensor, Tensor] | None = None

    def query(self, q: Tensor) -> Tensor:
        return q

    def extend(self, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        if self.kept is not None:
            k, v = torch.cat([self.kept[0], k], dim=2), torch.cat([self.kept[1], v], dim=2)
        self.kept = k, v
        return self.kept

    @property
    def nbytes(self) -> int:
        return sum(part.nbytes for part in self.kept or ())


@dataclass(frozen=True)
class CacheFormat:
    """How keys and values are kept. With 0 bits they stay in floating point.

    turned: keys are rounded after a Hadamard rotation of each head, and queries are turned alike, which leaves their
    products as they are and spreads outliers (RoSTE's R3).

    Raises:
        InputError: bits that do not fill bytes evenly.
    """

    bits: int = 0
    turned: bool = True

    def __post_init__(self) -> None:
        if self.bits not in (0, 2, 4, 8):
            raise InputError(f"quantization: a cache has 2, 4 or 8 bits, or 0 for floating point, not {self.bits}")

    def empty(self) -> Cache:
        """A new cache of this format for one layer."""
        return PackedCache(self) if self.bits else FloatCache()


@dataclass(frozen=True)
class Rows:
    """Numbers [B, heads, P, d] in whole bytes: each row of d has a range of its own, from its smallest to its largest
    number and zero.

    packed [B, heads, P, d bits / 8] uint8, scale [B, heads, P, 1] float16, zero the same uint8.
    """

    packed: Tensor
    scale: Tensor
    zero: Tensor

    @classmethod
    def of(cls, values: Tensor, bits: int) -> Rows:
        """Round numbers [B, heads, P, d] to the nearest."""
        wide, highest = values.detach().float(), 2**bits - 1
        low, high = wide.amin(-1, keepdim=True).clamp(max=0), wide.amax(-1, keepdim=True).clamp(min=0)
        scale = ((high - low) / highest).clamp(min=LEAST).half()
        zero = (-low / scale.float()).round().clamp(0, highest)
        levels = ((wide / scale.float()).round() + zero).clamp(0, highest)
        return cls(pack(levels, bits), scale, zero.to(torch.uint8))

    def behind(self, earlier: Rows | None) -> Rows:
        """These places behind earlier ones."""
        if earlier is None:
            return self
        pairs = zip((earlier.packed, earlier.scale, earlier.zero), (self.packed, self.scale, self.zero), strict=True)
        return Rows(*(torch.cat(pair, dim=2) for pair in pairs))

    def values(self, bits: int, size: int) -> Tensor:
        """The numbers [B, heads, P, size] float32 that were kept."""
        return (unpack(self.packed, bits, size).float() - self.zero.float()) * self.scale.float()

    @property
    def nbytes(self) -> int:
        """Memory of the integers, their scales and zeros."""
        return self.packed.nbytes + self.scale.nbytes + self.zero.nbytes


class PackedCache(Cache):
    """Keys, which come here with their rotary positions, and values, rounded and packed as they are taken in.

    A place sees its own key and value rounded as well, so that a sequence gives the same in one call and place by
    place. Gradients pass straight through the rounding.
    """

    def __init__(self, form: CacheFormat) -> None:
        self.form = form
        self.keys: Rows | None = None
        self.kept: Rows | None = None

    def query(self, q: Tensor) -> Tensor:
        return hadamard(q) if self.turns(q) else q

    def turns(self, x: Tensor) -> bool:
        """Whether heads [..., d] are turned."""
        return self.form.turned and can_rotate(x.shape[-1])

    def extend(self, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        k, bits, size = self.query(k), self.form.bits, k.shape[-1]
        first = self.keys is None
        self.keys, self.kept = Rows.of(k, bits).behind(self.keys), Rows.of(v, bits).behind(self.kept)
        keys, values = self.keys.values(bits, size).to(k.dtype), self.kept.values(bits, size).to(v.dtype)
        if first and torch.is_grad_enabled():
            return through(k, keys), through(v, values)
        return keys, values

    @property
    def nbytes(self) -> int:
        return sum(part.nbytes for part in (self.keys, self.kept) if part is not None)
