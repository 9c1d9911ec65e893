"""The range coder: what is read is what was written, to the bit and to the byte."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest

from tadicodec.entropy.range_coder import RangeDecoder, RangeEncoder
from tadicodec.errors import InputError


def tables(generator: np.random.Generator, count: int) -> list[np.ndarray]:
    """Frequencies of all shapes: flat, peaked, of two symbols, of one."""
    sizes = generator.choice([1, 2, 257, 1000], count)
    return [np.floor(2.0 ** generator.uniform(0, generator.uniform(1, 30), size)).astype(np.int64) for size in sizes]


@pytest.mark.parametrize("seed", range(20))
def test_symbols_come_back_whatever_follows(seed: int) -> None:
    generator = np.random.default_rng(seed)
    found = tables(generator, int(generator.integers(0, 200)))
    symbols = [int(generator.choice(len(f), p=f / f.sum() if seed % 2 else None)) for f in found]
    encoder, data = RangeEncoder(), b""
    for table, symbol in zip(found, symbols):
        encoder.write(table, symbol)
        encoder.write_number(symbol, 16384)
        data += encoder.take()
    data += encoder.finish()
    for tail in (b"", b"\0" * 9, b"\xff" * 9, generator.bytes(9)):
        stream = io.BytesIO(data + tail)
        decoder = RangeDecoder(lambda stream=stream: stream.read(1))
        assert [(decoder.symbol(table), decoder.number(16384)) for table in found] == [(s, s) for s in symbols]
        assert decoder.finish() == len(data) == stream.tell()  # not a byte of what follows was needed


def test_it_takes_the_bits_that_theory_says() -> None:
    generator = np.random.default_rng(0)
    found = [f for f in tables(generator, 3000) if len(f) > 1]
    symbols = [int(generator.choice(len(f), p=f / f.sum())) for f in found]
    encoder = RangeEncoder()
    for table, symbol in zip(found, symbols):
        encoder.write(table, symbol)
    bits = sum(math.log2(table.sum() / table[symbol]) for table, symbol in zip(found, symbols))
    assert 0 <= 8 * len(encoder.finish()) - bits < 10


def test_carries_run_through_many_bytes() -> None:
    for last in (0, 1, 2):
        encoder = RangeEncoder()
        parts = [(2, 1, 4)] + [(254, 1, 256)] * 40 + [(255, 1, 256)] * 40 + [(last, 1, 3)] * 9
        for part in parts:
            encoder.write_part(*part)
        data = encoder.finish()
        stream = io.BytesIO(data)
        decoder = RangeDecoder(lambda stream=stream: stream.read(1))
        assert [decoder.number(total) for _, _, total in parts] == [start for start, _, _ in parts]


def test_what_ends_too_early_is_refused() -> None:
    encoder = RangeEncoder()
    for value in range(100):
        encoder.write_number(value, 1000)
    data = encoder.finish()
    for size in range(len(data)):
        stream = io.BytesIO(data[:size])
        decoder = RangeDecoder(lambda stream=stream: stream.read(1))
        with pytest.raises(InputError, match="ends too early"):
            for _ in range(100):
                decoder.number(1000)
            decoder.finish()
