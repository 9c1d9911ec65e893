"""Which layers are rotated: all, none, or those whose rounding error a rotation lowers (RoSTE's lower level)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

import torch
from torch import Tensor, nn

from tadicodec.errors import InputError
from tadicodec.integers.activation import can_rotate, random_signs
from tadicodec.quant.quant_settings import QuantConfig


class Rounded(Protocol):
    """A layer that knows how far rounding moves its weight and its inputs."""

    def error(self, inputs: Tensor) -> Tensor:
        """The error on inputs [n, i]."""


R = TypeVar("R", bound=Rounded)


def choose_rotation(
    make: Callable[[Tensor | None], R],
    linear: nn.Linear,
    config: QuantConfig,
    inputs: Tensor | None,
    generator: torch.Generator,
) -> R:
    """The layer that `make` gives for the signs [i] of a rotation or for None, as `config.rotation` says: of "adaptive"
    the one with the smaller error on inputs [n, i].

    Raises:
        InputError: the choice needs inputs, and there are none.
    """
    signs = random_signs(linear.in_features, generator).to(linear.weight.device)
    if not can_rotate(linear.in_features) or config.rotation == "none":
        return make(None)
    turned = make(signs)
    if config.rotation == "all":
        return turned
    if inputs is None:
        raise InputError("quantization: choosing rotations needs inputs of every layer; run it on some data")
    plain = make(None)
    return turned if turned.error(inputs) < plain.error(inputs) else plain


def rounding_error(rounded: Tensor, values: Tensor) -> Tensor:
    """Squared error over the size of what was rounded. It is relative, because the larger of a weight's and its inputs'
    error would decide alone otherwise."""
    return (rounded - values).square().sum() / values.square().sum().clamp(min=1e-12)
