"""L4Q (Jeon et al. 2024): adapters inside a learned-step quantizer, W_q = s round(clamp((W + a B A - b) / s)) + b.

Everything collapses into one rounded matrix. The backward pass forms the weight's gradient, uses it and drops it, so
training needs the memory of LoRA: nothing of a weight's size is stored between the passes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function

from tadicodec.integers.grid import Grid, split, weight_grid
from tadicodec.integers.packed_linear import Format, Integers
from tadicodec.integers.ranges import LEAST, least_error, no_clip
from tadicodec.integers.straight import lsq_factor, scale_gradient, stored
from tadicodec.quant.lowrank import LowRank
from tadicodec.quant.quant_settings import QuantConfig
from tadicodec.quant.trained import TrainedLinear


@dataclass(frozen=True)
class Adapted:
    """The tensors of one L4Q layer: frozen [o, i], left [o, r], right [r, i], scale and offset [o, G, 1]."""

    frozen: Tensor
    left: Tensor
    right: Tensor
    scale: Tensor
    offset: Tensor | None
    gain: float
    grid: Grid

    def units(self) -> Tensor:
        """The adapted weight in units of the scale, [o, G, g], before it is clamped."""
        groups = split(self.frozen + self.gain * (self.left @ self.right), self.grid)
        return (groups if self.offset is None else groups - self.offset) / self.scale

    def levels(self, units: Tensor) -> Tensor:
        """Units [o, G, g] -> integers of the grid, as floats."""
        return units.clamp(self.grid.lowest, self.grid.highest).round()

    def weight(self, levels: Tensor) -> Tensor:
        """Integers [o, G, g] -> the weight [o, i] that they stand for."""
        groups = levels * self.scale
        return (groups if self.offset is None else groups + self.offset).flatten(-2)


class L4QProduct(Function):
    """The product x W_q', with the gradients of the paper's section 3 (its gate is a mask on each element)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, constants: tuple[float, Grid], *tensors: Any) -> Tensor:
        """x [..., i] -> [..., o]. tensors: frozen, left, right, scale and offset of `Adapted`; constants: its gain and
        grid."""
        ctx.save_for_backward(x, *tensors)
        ctx.constants = constants
        frozen, left, right, scale, offset = tensors
        layer = Adapted(frozen, left, right, scale, offset, *constants)
        return x @ layer.weight(layer.levels(layer.units())).T

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """The gradient [..., o] -> gradients of x and of the five tensors."""
        x, *tensors = ctx.saved_tensors
        layer = Adapted(*tensors, *ctx.constants)
        units = layer.units()
        levels = layer.levels(units)
        inside = (units >= layer.grid.lowest) & (units <= layer.grid.highest)
        to_x = gradient @ layer.weight(levels)
        whole = split(gradient.flatten(0, -2).T @ x.flatten(0, -2), layer.grid)
        to_scale = (whole * torch.where(inside, levels - units, levels)).sum(-1, keepdim=True)  # outside: q_n or q_p
        to_offset = None if layer.offset is None else (whole * ~inside).sum(-1, keepdim=True)
        masked = (whole * inside).flatten(-2)
        to_left = layer.gain * (masked @ layer.right.T)
        to_right = layer.gain * (layer.left.T @ masked)
        return to_x, None, None, to_left, to_right, to_scale, to_offset


class L4QLinear(TrainedLinear):
    """A layer with adapters inside its quantizer; the adapters, the steps and, if asked, the offsets learn."""

    frozen: Tensor

    def __init__(self, linear: nn.Linear, config: QuantConfig, generator: torch.Generator) -> None:
        super().__init__(linear, config)
        self.grid = weight_grid(config.bits, config.group)
        weight = linear.weight.detach().float()
        self.register_buffer("frozen", weight)
        self.adapter = LowRank((self.out_features, self.in_features), config.rank, config.gain, generator)
        start = least_error if config.searched else no_clip  # the paper's L4Q_init is the latter
        scale = start(split(weight, self.grid), self.grid)
        self.scale = nn.Parameter(scale.to(self.form.dtype).float())
        self.offset = nn.Parameter(torch.zeros_like(scale)) if config.learn_offset else None
        self.factor = lsq_factor(scale, weight.numel(), self.grid)  # as LSQ; the paper does not mention one

    @classmethod
    def make(
        cls, linear: nn.Linear, config: QuantConfig, inputs: Tensor | None, generator: torch.Generator
    ) -> L4QLinear:
        return cls(linear, config, generator)

    def adapted(self) -> Adapted:
        """The layer's tensors, with gradients of steps and offsets scaled as in LSQ."""
        scale, part = scale_gradient(self.scale, self.factor).clamp(min=LEAST), self.adapter
        scale = stored(scale, self.form.dtype)
        offset = None if self.offset is None else scale_gradient(self.offset, self.factor)
        return Adapted(self.frozen, part.left, part.right, scale, offset, part.gain, self.grid)

    @torch.no_grad()
    def weight(self) -> Tensor:
        layer = self.adapted()
        return layer.weight(layer.levels(layer.units()))

    def forward(self, x: Tensor) -> Tensor:
        layer = self.adapted()
        tensors = (layer.frozen, layer.left, layer.right, layer.scale, layer.offset)
        y = L4QProduct.apply(self.prepare_input(x), (layer.gain, layer.grid), *tensors)
        return y if self.bias is None else y + self.bias

    @torch.no_grad()
    def integers(self) -> Integers:
        layer = self.adapted()
        levels, scale = layer.levels(layer.units()).flatten(-2), layer.scale.to(self.form.dtype)
        if self.offset is None:
            return Integers(levels, scale)
        # s q + b = s (u - z) for u = q - q_n, which counts from 0
        return Integers(levels - self.grid.lowest, scale, -self.offset / scale - self.grid.lowest)

    def stored_format(self) -> Format:
        form = self.form
        return Format(form.bits, form.group, form.scale, zero=self.offset is not None, activation=form.activation)

    def weights(self) -> Iterator[nn.Parameter]:
        yield from self.adapter.parameters()

    def scales(self) -> Iterator[nn.Parameter]:
        yield self.scale
        if self.offset is not None:
            yield self.offset
