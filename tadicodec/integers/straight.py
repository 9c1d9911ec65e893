"""Fake quantization: the forward pass of a rounded network, with gradients by which it can be trained."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from tadicodec.integers.grid import Grid, split


class Through(Function):
    """Gives the value of one tensor and sends the gradient to another."""

    @staticmethod
    def forward(ctx: object, source: Tensor, value: Tensor) -> Tensor:
        """Return `value`."""
        return value.view_as(value)

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> tuple[Tensor, None]:
        """Send the gradient to `source`."""
        return gradient, None


def through(source: Tensor, value: Tensor) -> Tensor:
    """`value`, with a gradient that goes to `source` unchanged (the straight-through estimator)."""
    return Through.apply(source, value.detach())


def round_through(values: Tensor) -> Tensor:
    """Round to the nearest integer, ties to even; the derivative is taken as 1."""
    return through(values, values.round())


def stored(scale: Tensor, dtype: torch.dtype) -> Tensor:
    """A scale as it will be read from disk (in float16, say), with a gradient as if it were not rounded."""
    return scale if scale.dtype == dtype else through(scale, scale.to(dtype).to(scale.dtype))


class ScaleGradient(Function):
    """Leaves a tensor as it is and multiplies its gradient."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, factor: float) -> Tensor:
        """Return the values and remember the factor."""
        ctx.factor = factor
        return values.view_as(values)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """Multiply the gradient by the factor."""
        return gradient * ctx.factor, None


def scale_gradient(values: Tensor, factor: float) -> Tensor:
    """`values` unchanged, with their gradient multiplied by `factor`."""
    return ScaleGradient.apply(values, factor)


def lsq_factor(scale: Tensor, count: int, grid: Grid) -> float:
    """1 / sqrt(n q_p) of LSQ (Esser et al. 2020), by which the gradient of a scale is multiplied; n numbers of the
    `count` share it."""
    return (count / max(scale.numel(), 1) * grid.highest) ** -0.5


def fake_quantize(values: Tensor, scale: Tensor, zero: Tensor | None, grid: Grid) -> Tensor:
    """Values [..., i] rounded to the grid, with the gradients of learned steps (LSQ).

    A scale gets q - x / s inside the grid and the grid's end outside of it; a value gets 1 inside and 0 outside. Pass a
    detached scale to leave out its part.
    """
    levels = round_through(split(values, grid) / scale)
    levels = (levels if zero is None else levels + zero).clamp(grid.lowest, grid.highest)
    return ((levels if zero is None else levels - zero) * scale).reshape(values.shape)


def pass_through(values: Tensor, scale: Tensor, zero: Tensor | None, grid: Grid) -> Tensor:
    """Rounded values whose gradient is 1 even where they are clipped (RoSTE), and nothing for the scale."""
    with torch.no_grad():
        rounded = fake_quantize(values, scale, zero, grid)
    return through(values, rounded)
