"""Small integers as bytes: 8 bits one a byte, 4 bits two, 2 bits four; the first value of a byte in its lowest bits.

That is also the order of ONNX Runtime's MatMulNBits, so integers are handed over as they are. GLM-130B's files put the
first of two values in the high half.
"""

from __future__ import annotations

import torch
from torch import Tensor

ORDER = "low-first"  # what config.json calls it


def storage_width(bits: int) -> int:
    """Bits that a value of so many bits takes on disk: 2, 4 or 8."""
    return 2 if bits <= 2 else 4 if bits <= 4 else 8


def pack(values: Tensor, width: int, *, high_first: bool = False) -> Tensor:
    """Unsigned values [o, i] below 2^width -> bytes [o, ceil(i width / 8)] uint8; the last byte is filled up with
    zeros."""
    if width == 8:
        return values.to(torch.uint8)
    count = 8 // width
    padded = torch.nn.functional.pad(values.to(torch.uint8), (0, -values.shape[-1] % count))
    parts = padded.unflatten(-1, (-1, count)) << shifts(width, high_first, values.device)
    return parts.sum(-1).to(torch.uint8)


def unpack(packed: Tensor, width: int, count: int, *, high_first: bool = False) -> Tensor:
    """The inverse of `pack`: bytes [o, n] uint8 -> the first `count` values of each row, [o, count] uint8."""
    if width == 8:
        return packed[..., :count]
    parts = (packed[..., None] >> shifts(width, high_first, packed.device)) & (2**width - 1)
    return parts.flatten(-2)[..., :count]


def shifts(width: int, high_first: bool, device: torch.device) -> Tensor:
    """By how many bits each of the values in a byte is shifted, [8 / width] uint8."""
    places = torch.arange(0, 8, width, dtype=torch.uint8, device=device)
    return places.flip(0) if high_first else places


def to_fixed_point(levels: Tensor, bits: int) -> Tensor:
    """Numbers in units of the grid -> fixed point with 8 - bits binary places in one byte (LR-QAT).

    That is int8(round(2^(8 - bits) x)), saturating at -128 and 127.
    """
    return (levels * 2.0 ** (8 - bits)).round().clamp(-128, 127).to(torch.int8)


def from_fixed_point(fixed: Tensor, bits: int) -> Tensor:
    """The inverse of `to_fixed_point`: bytes int8 -> numbers float32 in units of the grid."""
    return fixed.float() / 2.0 ** (8 - bits)
