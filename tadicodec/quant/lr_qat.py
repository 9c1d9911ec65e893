"""LR-QAT (Bondarenko et al. 2024): a low-rank correction inside the rounding of a frozen weight.

W = s clip(round(P + C), q_n, q_p) with P the pretrained weight in grid units, frozen in one byte, and C low-rank. s
only scales the result, so its gradient is sum G W_Z, not LSQ's. What backward needs is computed again, not stored.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from tadicodec.integers.grid import split, weight_grid
from tadicodec.integers.packed_linear import Integers
from tadicodec.integers.packing import from_fixed_point, pack, storage_width, to_fixed_point, unpack
from tadicodec.integers.ranges import least_error
from tadicodec.integers.straight import round_through, stored
from tadicodec.quant.lowrank import LowRank, loftq
from tadicodec.quant.quant_settings import QuantConfig
from tadicodec.quant.trained import TrainedLinear


class LRQATLinear(TrainedLinear):
    """A layer whose frozen weight gets a low-rank correction before it is rounded; correction and scales learn."""

    frozen: Tensor

    def __init__(self, linear: nn.Linear, config: QuantConfig, generator: torch.Generator) -> None:
        super().__init__(linear, config)
        self.grid = weight_grid(config.bits, config.group)
        self.store = config.store
        weight = linear.weight.detach().float()
        groups = split(weight, self.grid)
        self.scale = nn.Parameter(least_error(groups, self.grid).to(self.form.dtype).float())
        units = (groups / self.scale.detach()).flatten(-2)
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
        return (split(self.levels(), self.grid) * stored(self.scale, self.form.dtype)).flatten(-2)

    def integers(self) -> Integers:
        return Integers(self.levels().detach(), self.scale.detach().to(self.form.dtype))

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
