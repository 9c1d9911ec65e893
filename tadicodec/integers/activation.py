"""What a quantized layer does to the numbers that enter it: smoothed per channel, turned by a Hadamard matrix, rounded
as they come."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
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


def smoothing_scale(inputs: Tensor, weight: Tensor, strength: float = 0.5) -> Tensor:
    """The factor of every input channel: max |x|^strength / max |w|^(1 - strength), its geometric mean 1 (SmoothQuant).

    inputs [n, i], weight [o, i] -> [i].
    """
    activity = inputs.abs().amax(0).clamp(min=1e-5)
    size = weight.abs().amax(0).clamp(min=1e-5)
    scale = activity.pow(strength) / size.pow(1 - strength)
    return (scale / scale.log().mean().exp()).clamp(1e-4, 1e4)


RADIX = 32  # of the products that a Hadamard transform is made of: fewer passes over memory than one an addition


def hadamard(values: Tensor) -> Tensor:
    """Normalised Walsh-Hadamard transform of the last dimension of [..., n].

    It is a product with a small matrix for every five of its bits. Where n is no power of two, blocks of the largest
    power of two that divides it are transformed each by itself.
    """
    size = values.shape[-1] & -values.shape[-1]
    rows, left = values.reshape(-1, size), size
    while left > 1:
        radix = min(left, RADIX)
        turned = rows.reshape(-1, size // radix, radix) @ hadamard_matrix(radix).to(values)
        rows, left = turned.transpose(1, 2).reshape(-1, size), left // radix
    return rows.reshape(values.shape)


@lru_cache
@torch.inference_mode(False)  # the first to ask may not train, and a later one may
def hadamard_matrix(size: int) -> Tensor:
    """The normalised Hadamard matrix [size, size], size a power of two."""
    made = torch.ones(1, 1)
    while len(made) < size:
        made = torch.cat([torch.cat([made, made], dim=1), torch.cat([made, -made], dim=1)])
    return made * size**-0.5


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
