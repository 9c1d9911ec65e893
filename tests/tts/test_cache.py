"""Keys and values in few bits: what they take, what they give, and that calls may be split anywhere."""

from __future__ import annotations

import pytest
import torch

from tadicodec.errors import InputError
from tadicodec.tts.cache import CacheFormat, FloatCache, PackedCache, Rows
from tadicodec.tts.llama import Llama, LlamaShape
from tests.integers.test_primitives import normal

SHAPE = LlamaShape(64, 96, 2, 2, 2)


def blocks(form: CacheFormat) -> Llama:
    torch.manual_seed(0)
    model = Llama(SHAPE, 8).eval().requires_grad_(False)
    model.cache = form
    return model


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_rows_are_the_nearest_of_their_grid(bits: int) -> None:
    values = normal(1, 2, 5, 64)
    rows = Rows.of(values, bits)
    error = (rows.values(bits, 64) - values).abs()
    assert (error <= rows.scale.float() * 1.001).all()  # half a step, and half a step that the zero is off
    assert rows.packed.shape == (1, 2, 5, 64 * bits // 8)
    assert torch.equal(Rows.of(torch.zeros(1, 1, 1, 8), bits).values(bits, 8), torch.zeros(1, 1, 1, 8))


def test_four_bits_take_less_than_a_third_of_float16() -> None:
    cache, keys = CacheFormat(4).empty(), normal(1, 4, 100, 64)
    for place in range(100):
        cache.extend(keys[:, :, place : place + 1], keys[:, :, place : place + 1])
    assert cache.nbytes <= 0.3 * (2 * keys.half().nbytes)
    plain = FloatCache()
    plain.extend(keys.half(), keys.half())
    assert plain.nbytes == 2 * keys.half().nbytes


@pytest.mark.parametrize("turned", [False, True])
def test_eight_bits_change_little_and_turning_leaves_products_alone(turned: bool) -> None:
    x, places = normal(1, 9, 64), torch.arange(9.0)[None]
    plain, close = blocks(CacheFormat())(x, places), blocks(CacheFormat(8, turned))(x, places)
    assert (close - plain).norm() < 0.02 * plain.norm()
    rough = blocks(CacheFormat(4, turned))(x, places)
    assert 0 < (close - plain).norm() < (rough - plain).norm()


@pytest.mark.parametrize("form", [CacheFormat(), CacheFormat(4), CacheFormat(4, turned=False)])
def test_place_by_place_is_what_one_call_gives(form: CacheFormat) -> None:
    model, x, places = blocks(form), normal(1, 9, 64), torch.arange(9.0)[None]
    whole, past = model(x, places), model.caches()
    parts = [model(x[:, :4], places[:, :4], past=past)]
    parts += [model(x[:, i : i + 1], places[:, i : i + 1], past=past) for i in range(4, 9)]
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, rtol=1e-4, atol=1e-5)


def test_keys_are_rounded_after_their_positions() -> None:
    """The kept key is the rounded turned one: the same vector at two places is kept as two."""
    model, x = blocks(CacheFormat(4, turned=False)), normal(1, 1, 64).expand(1, 2, 64)
    past = model.caches()
    model(x, torch.tensor([[0.0, 5.0]]), past=past)
    assert isinstance(past[0], PackedCache) and past[0].keys is not None and past[0].kept is not None
    assert not torch.equal(past[0].keys.packed[:, :, 0], past[0].keys.packed[:, :, 1])
    assert torch.equal(past[0].kept.packed[:, :, 0], past[0].kept.packed[:, :, 1])


def test_gradients_pass_through_the_rounding() -> None:
    keys = normal(1, 2, 3, 8).requires_grad_()
    found, _ = CacheFormat(4, turned=False).empty().extend(keys, keys)
    found.sum().backward()
    assert torch.equal(keys.grad, torch.ones_like(keys))


def test_other_widths_are_refused() -> None:
    with pytest.raises(InputError, match="2, 4 or 8"):
        CacheFormat(3)
