"""Rounding activations while the network runs: one scale for each token, or one for the whole tensor."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from tadicodec.errors import InputError
from tadicodec.integers.grid import Grid, split
from tadicodec.integers.ranges import absmax, ends, min_max
from tadicodec.integers.straight import fake_quantize, pass_through


@dataclass(frozen=True)
class Activation:
    """How a layer rounds its input. With 0 bits it does not.

    With one scale for a tensor, the result depends on what else is in the batch.

    Raises:
        InputError: a number of bits, a granularity or a clip that does not exist.
    """

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
        """Round activations [..., i]; the result has the same shape and is still floating point.

        Gradients pass straight through the rounding; those of clipped values are 0, or 1 with `through_clipped`. The
        range counts as a constant.
        """
        if not self.bits:
            return values
        grid = Grid(self.bits, signed=self.symmetric, narrow=self.symmetric, granularity=self.granularity)
        groups, zero = split(values.detach(), grid), None
        if self.symmetric:
            scale = absmax(groups, grid)
        else:
            scale, zero = min_max(*ends(groups), grid, self.clip, floor=self.floor)
        return (pass_through if through_clipped else fake_quantize)(values, scale, zero, grid)
