"""Rotation by randomised Hadamard matrices: outliers are spread over all channels, and nothing else changes."""

from __future__ import annotations

import torch
from torch import Tensor


def hadamard(values: Tensor) -> Tensor:
    """Normalised Walsh-Hadamard transform of the last dimension of [..., n], in n log n additions.

    Where n is no power of two, blocks of the largest power of two that divides it are transformed each by itself.
    """
    size = values.shape[-1] & -values.shape[-1]
    shape, step = values.shape, 1
    values = values.unflatten(-1, (-1, size))
    while step < size:
        pairs = values.unflatten(-1, (-1, 2, step))
        first, second = pairs[..., 0, :], pairs[..., 1, :]
        values = torch.stack([first + second, first - second], dim=-2).flatten(-3)
        step *= 2
    return (values * size**-0.5).reshape(shape)


def random_signs(size: int, generator: torch.Generator) -> Tensor:
    """Random signs [size] int8, +1 or -1. Without them, an offset that all channels share would land in one of them."""
    return (torch.randint(2, (size,), generator=generator) * 2 - 1).to(torch.int8)


def rotate(values: Tensor, signs: Tensor) -> Tensor:
    """R x for R = H diag(signs), along the last dimension of [..., n]. A weight's rows are rotated with its input: W x
    = (W R') R x."""
    return hadamard(values * signs.to(values.dtype))


def can_rotate(size: int) -> bool:
    """Whether so many channels can be rotated; blocks of fewer than four would spread nothing."""
    return size & -size >= 4
