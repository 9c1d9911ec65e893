"""Rounding activations as they come: one scale per token, or per tensor."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from tadicodec.errors import InputError
from tadicodec.integers.grid import Grid, split
from tadicodec.integers.ranges import absmax, ends, min_max
from tadicodec.integers.straight import fake_quantize, pass_through


@dataclass(frozen=True)
class Activation:
    """What a layer does to its input; 0 bits is nothing. One scale per tensor depends on what else is in the batch."""

    bits: int = 0
    symmetric: bool = False
    granularity: str = "token"
    clip: float = 1.0  # share of [min, max] that an asymmetric grid covers
    floor: bool = False  # whether its zero is the integer below (RoSTE) and not the nearest

    def __post_init__(self) -> None:
        if self.bits and not 1 < self.bits <= 8:
            raise InputError(f"quantization: activation bits are 2 to 8, or 0 for none, not {self.bits}")
        if self.granularity not in ("token", "tensor"):
            raise InputError("quantization: activations have one scale per 'token' or per 'tensor'")
        if not 0 < self.clip <= 1:
            raise InputError(f"quantization: clip is above 0 and at most 1, not {self.clip}")

    def __call__(self, values: Tensor, *, through_clipped: bool = False) -> Tensor:
        """[..., i] -> rounded, with straight-through gradients (1 even for clipped values, if asked) and a range that
        counts as constant."""
        if not self.bits:
            return values
        grid = Grid(self.bits, signed=self.symmetric, narrow=self.symmetric, granularity=self.granularity)
        groups, zero = split(values.detach(), grid), None
        if self.symmetric:
            scale = absmax(groups, grid)
        else:
            scale, zero = min_max(*ends(groups), grid, self.clip, floor=self.floor)
        return (pass_through if through_clipped else fake_quantize)(values, scale, zero, grid)
