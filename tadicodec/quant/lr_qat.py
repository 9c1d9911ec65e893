"""LR-QAT (Bondarenko et al. 2024): a low-rank correction inside the rounding of a frozen weight.

W = s clip(round(P + C), q_n, q_p) with P the pretrained weight in grid units, frozen in one byte, and C low-rank. s
only scales the result, so its gradient is sum G W_Z, not LSQ's. What backward needs is computed again, not stored. As
published, grids are symmetric down to 3 bits; 2 bits have a zero point, which stays where the search puts it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from tadicodec.integers.grid import Grid, split, weight_grid
from tadicodec.integers.packed_linear import Format, Integers
from tadicodec.integers.packing import from_fixed_point, pack, storage_width, to_fixed_point, unpack
from tadicodec.integers.ranges import ends, least_error, least_error_share, min_max
from tadicodec.integers.straight import round_through, stored
from tadicodec.quant.lowrank import LowRank, loftq
from tadicodec.quant.quant_settings import QuantConfig
from tadicodec.quant.trained import TrainedLinear


class LRQATLinear(TrainedLinear):
    """A layer whose frozen weight gets a low-rank correction before it is rounded; correction and scales learn."""

    frozen: Tensor
    zero: Tensor | None

    def __init__(self, linear: nn.Linear, config: QuantConfig, generator: torch.Generator) -> None:
        super().__init__(linear, config)
        self.grid = weight_grid(config.bits, config.group)
        self.store = config.store
        weight = linear.weight.detach().float()
        groups = split(weight, self.grid)
        scale, zero = searched_range(groups, self.grid)
        self.scale = nn.Parameter(scale.to(self.form.dtype).float())
        self.register_buffer("zero", zero)
        units = groups / self.scale.detach()
        units = (units if zero is None else units + zero).flatten(-2)
        self.correction = LowRank((self.out_features, self.in_features), config.rank, config.gain, generator)
        if config.loftq:
            left, right = loftq(units, self.nearest, config.rank, config.loftq)
            self.correction.fill(left, right)
            units = units - self.correction.delta().detach()
        self.register_buffer("frozen", self.freeze(units))

    @classmethod
    def make(
        cls, linear: nn.Linear, config: QuantConfig, inputs: Tensor | None, generator: torch.Generator
    ) -> LRQATLinear:
        return cls(linear, config, generator)

    def nearest(self, units: Tensor) -> Tensor:
        """Numbers in units of the grid [o, i] -> the nearest integers of the grid."""
        return units.round().clamp(self.grid.lowest, self.grid.highest)

    def freeze(self, units: Tensor) -> Tensor:
        """The weight in units of the grid [o, i] -> as it is kept: float32, fixed point in a byte, or packed
        integers."""
        if self.store == "float":
            return units
        if self.store == "fixed":
            return to_fixed_point(units.clamp(self.grid.lowest, self.grid.highest), self.grid.bits)
        return pack(self.nearest(units) - self.grid.lowest, storage_width(self.grid.bits))

    def thaw(self) -> Tensor:
        """What is kept of the weight -> units of the grid [o, i] float32."""
        if self.store == "float":
            return self.frozen
        if self.store == "fixed":
            return from_fixed_point(self.frozen, self.grid.bits)
        values = unpack(self.frozen, storage_width(self.grid.bits), self.in_features)
        return values.float() + self.grid.lowest

    def levels(self) -> Tensor:
        """The integers [o, i] as floats, with straight-through gradients. Training and merging both come here."""
        return round_through(self.thaw() + self.correction.delta()).clamp(self.grid.lowest, self.grid.highest)

    def weight(self) -> Tensor:
        levels = split(self.levels(), self.grid)
        levels = levels if self.zero is None else levels - self.zero
        return (levels * stored(self.scale, self.form.dtype)).flatten(-2)

    def integers(self) -> Integers:
        levels, scale, lowest = self.levels().detach(), self.scale.detach().to(self.form.dtype), self.grid.lowest
        if self.zero is None:
            return Integers(levels, scale)
        return Integers(levels - lowest, scale, self.zero - lowest)  # which count from 0

    def stored_format(self) -> Format:
        return replace(self.form, zero=self.zero is not None)

    def forward(self, x: Tensor) -> Tensor:
        if not torch.is_grad_enabled():
            return self.product(x)
        return checkpoint(self.product, x, use_reentrant=False, preserve_rng_state=False)

    def product(self, x: Tensor) -> Tensor:
        """Inputs [..., i] -> outputs [..., o]."""
        return F.linear(self.prepare_input(x), self.weight(), self.bias)

    def weights(self) -> Iterator[nn.Parameter]:
        yield from self.correction.parameters()

    def scales(self) -> Iterator[nn.Parameter]:
        yield self.scale


def searched_range(groups: Tensor, grid: Grid) -> tuple[Tensor, Tensor | None]:
    """The scale [o, G, 1] of groups [o, G, g] on a signed grid with the least error, and below 3 bits a zero point, on
    that same grid."""
    if grid.bits > 2:
        return least_error(groups, grid), None
    unsigned = replace(grid, signed=False)
    share = least_error_share(groups, unsigned)
    low, high = (end * share for end in ends(groups))
    scale, zero = min_max(low, high, unsigned)
    return scale, zero + grid.lowest
