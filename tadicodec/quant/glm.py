"""GLM-130B's weight-only quantization after training (Zeng et al. 2023): no data, no training, one scale a row.

s = max |w| / (2^(b-1) - 1), q = round(w / s), so the lowest integer is never used. Groups of a row may have scales of
their own, which the paper's tensor-parallel shards amount to.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tadicodec.integers.grid import split, to_levels, weight_grid
from tadicodec.integers.packed_linear import Format, Integers, PackedLinear
from tadicodec.integers.ranges import absmax
from tadicodec.quant.quant_settings import QuantConfig
from tadicodec.quant.trained import TrainedLinear


class GLMLinear(TrainedLinear):
    """A layer that is rounded to nearest once; there is nothing to train."""

    def __init__(self, linear: nn.Linear, config: QuantConfig) -> None:
        super().__init__(linear, config)
        self.rounded = nearest(linear.weight, self.form)

    @classmethod
    def make(
        cls, linear: nn.Linear, config: QuantConfig, inputs: Tensor | None, generator: torch.Generator
    ) -> GLMLinear:
        return cls(linear, config)

    def weight(self) -> Tensor:
        return self.rounded.weight()

    def integers(self) -> Integers:
        return self.rounded


@torch.no_grad()
def nearest(weight: Tensor, form: Format) -> Integers:
    """Scales from the largest value of each group, in their stored precision, and the nearest integers under them."""
    grid = weight_grid(form.bits, form.group, narrow=True)
    groups = split(weight.detach().float(), grid)
    scale = absmax(groups, grid).to(form.dtype)
    return Integers(to_levels(groups, scale.float(), None, grid).flatten(-2), scale)


def round_linear(linear: nn.Linear, form: Format) -> PackedLinear:
    """A Linear layer, rounded to nearest and packed."""
    return PackedLinear.of(nearest(linear.weight, form), linear.bias, form)
