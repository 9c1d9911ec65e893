"""Codes as a string of 14-bit numbers, most significant bit first."""

from __future__ import annotations

import numpy as np

BITS = 14


def packed_size(count: int) -> int:
    """Bytes that `count` codes take."""
    return (BITS * count + 7) // 8


def pack_codes(codes: np.ndarray) -> bytes:
    """Codes [T] in 0..16383 as `packed_size(T)` bytes; the last byte is filled up with zeros.

    Raises:
        ValueError: a code is out of range.
    """
    if len(codes) and not 0 <= codes.min() <= codes.max() < 1 << BITS:
        raise ValueError(f"codes must lie in 0..{(1 << BITS) - 1}")
    bits = codes[:, None] >> np.arange(BITS - 1, -1, -1) & 1  # [T, 14]
    return np.packbits(bits.astype(np.uint8)).tobytes()


def unpack_codes(data: bytes, count: int) -> np.ndarray:
    """The inverse: [T] int64.

    Raises:
        ValueError: the size is wrong or the bits after the last code are not zero.
    """
    if len(data) != packed_size(count):
        raise ValueError(f"{count} codes take {packed_size(count)} bytes, not {len(data)}")
    bits = np.unpackbits(np.frombuffer(data, np.uint8))
    if bits[BITS * count :].any():
        raise ValueError("bits follow the last code")
    return bits[: BITS * count].reshape(count, BITS).astype(np.int64) @ (1 << np.arange(BITS - 1, -1, -1))
