"""Codes as a string of 14-bit numbers, most significant bit first."""

from __future__ import annotations

import numpy as np

from tadicodec.config import CODE_BITS


def packed_size(count: int) -> int:
    """The number of bytes that so many codes take."""
    return (CODE_BITS * count + 7) // 8


def pack_codes(codes: np.ndarray) -> bytes:
    """Codes [T] in 0..16383 -> `packed_size(T)` bytes; the last byte is filled up with zeros.

    Raises:
        ValueError: a code is out of range.
    """
    if len(codes) and not 0 <= codes.min() <= codes.max() < 1 << CODE_BITS:
        raise ValueError(f"codes must lie in 0..{(1 << CODE_BITS) - 1}")
    bits = codes[:, None] >> np.arange(CODE_BITS - 1, -1, -1) & 1  # [T, 14]
    return np.packbits(bits.astype(np.uint8)).tobytes()


def unpack_codes(data: bytes, count: int) -> np.ndarray:
    """The inverse of `pack_codes`: bytes -> `count` codes, [count] int64.

    Raises:
        ValueError: the size is wrong, or the bits after the last code are not zero.
    """
    if len(data) != packed_size(count):
        raise ValueError(f"{count} codes take {packed_size(count)} bytes, not {len(data)}")
    bits = np.unpackbits(np.frombuffer(data, np.uint8))
    if bits[CODE_BITS * count :].any():
        raise ValueError("bits follow the last code")
    weights = 1 << np.arange(CODE_BITS - 1, -1, -1)
    return bits[: CODE_BITS * count].reshape(count, CODE_BITS).astype(np.int64) @ weights
