"""Fake quantization: the forward pass of a rounded network with gradients to train it by."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd import Function

from tadicodec.integers.grid import Grid, split


class Through(Function):
    """The value of one tensor with the gradient of another."""

    @staticmethod
    def forward(ctx: object, source: Tensor, value: Tensor) -> Tensor:
        return value.view_as(value)

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient, None


def through(source: Tensor, value: Tensor) -> Tensor:
    """`value`, whose gradient goes to `source` unchanged (straight-through)."""
    return Through.apply(source, value.detach())


def round_through(values: Tensor) -> Tensor:
    """Round to nearest, ties to even; its derivative is taken as 1."""
    return through(values, values.round())


def stored(scale: Tensor, dtype: torch.dtype) -> Tensor:
    """A scale as it will be read from disk (float16, say), its gradient as if it were not rounded."""
    return scale if scale.dtype == dtype else through(scale, scale.to(dtype).to(scale.dtype))


class ScaleGradient(Function):
    @staticmethod
    def forward(ctx, values: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return values.view_as(values)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient * ctx.factor, None


def scale_gradient(values: Tensor, factor: float) -> Tensor:
    """`values` unchanged, their gradient times `factor`."""
    return ScaleGradient.apply(values, factor)


def lsq_factor(scale: Tensor, count: int, grid: Grid) -> float:
    """1 / sqrt(n q_p) of LSQ (Esser et al. 2020), n the `count` of numbers that share a scale."""
    return (count / max(scale.numel(), 1) * grid.highest) ** -0.5


def fake_quantize(values: Tensor, scale: Tensor, zero: Tensor | None, grid: Grid) -> Tensor:
    """Rounded values with learned-step gradients (LSQ): to a scale goes q - x/s inside the grid and the bound outside;
    to a value goes 1 inside and 0 outside. Leave out the scale's part by passing it detached."""
    levels = round_through(split(values, grid) / scale)
    levels = (levels if zero is None else levels + zero).clamp(grid.lowest, grid.highest)
    return ((levels if zero is None else levels - zero) * scale).reshape(values.shape)


def pass_through(values: Tensor, scale: Tensor, zero: Tensor | None, grid: Grid) -> Tensor:
    """Rounded values whose gradient is 1 even where they are clipped (RoSTE), and nothing for the scale."""
    with torch.no_grad():
        rounded = fake_quantize(values, scale, zero, grid)
    return through(values, rounded)
