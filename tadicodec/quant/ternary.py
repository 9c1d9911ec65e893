"""Weights of one to few bits, as Teacher Intervention and TernaryBERT train them: ternary, or n bits under the largest
value."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from tadicodec.integers.grid import Grid, split, weight_grid
from tadicodec.integers.packed_linear import Integers
from tadicodec.integers.ranges import ternary
from tadicodec.integers.straight import through
from tadicodec.quant.glm import nearest
from tadicodec.quant.quant_settings import QuantConfig
from tadicodec.quant.trained import TrainedLinear

LARGEST = 2.5  # weights beyond are clipped and get no gradient


class TernaryLinear(TrainedLinear):
    """A layer of levels -1, 0 and 1 with one magnitude for the whole weight, or for each group if there are groups; its
    weight learns."""

    def __init__(self, linear: nn.Linear, config: QuantConfig) -> None:
        super().__init__(linear, config)
        self.latent = nn.Parameter(linear.weight.detach().clone())

    @classmethod
    def make(
        cls, linear: nn.Linear, config: QuantConfig, inputs: Tensor | None, generator: torch.Generator
    ) -> TernaryLinear:
        return cls(linear, config)

    def weight(self) -> Tensor:
        return through(self.latent.clamp(-LARGEST, LARGEST), self.integers().weight())

    @torch.no_grad()
    def integers(self) -> Integers:
        weight = self.latent.clamp(-LARGEST, LARGEST)
        if self.form.bits > 2:
            return nearest(weight, self.form)
        group = self.form.group
        grid = weight_grid(2, group, narrow=True) if group else Grid(2, narrow=True, granularity="tensor")
        levels, scale = ternary(split(weight, grid))
        count = self.form.groups(self.in_features)
        return Integers(levels.reshape(weight.shape), scale.to(self.form.dtype).expand(len(weight), count, 1))

    def weights(self) -> Iterator[nn.Parameter]:
        yield self.latent
