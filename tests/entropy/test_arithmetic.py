"""Sums are of whole numbers, so that no order of additions changes a bit."""

from __future__ import annotations

import numpy as np

from tadicodec.entropy.arithmetic import LEVELS, Matrix, attend, norm, to_levels, to_values


def draw(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape)


def test_levels_are_whole_numbers_of_15_bits() -> None:
    levels, step = to_levels(draw(3, 50))
    assert np.array_equal(levels, np.rint(levels)) and np.abs(levels).max() == LEVELS
    np.testing.assert_allclose(levels * step, draw(3, 50), atol=1e-3)
    assert np.array_equal(Matrix.of(draw(4, 9)).levels, np.rint(Matrix.of(draw(4, 9)).levels))


def test_no_order_of_inputs_changes_a_product_or_a_norm() -> None:
    x, weight = draw(5, 300), draw(7, 300)
    order = np.random.default_rng(1).permutation(300)
    matrix = Matrix.of(weight)
    turned = Matrix(np.ascontiguousarray(matrix.levels[:, order]), matrix.step)
    assert np.array_equal(matrix(x), turned(np.ascontiguousarray(x[:, order])))
    assert np.array_equal(norm(x)[:, order], norm(x[:, order]))


def test_no_order_of_places_changes_attention() -> None:
    scores, values = draw(2, 3, 90), to_values(draw(2, 90, 8))
    order = np.random.default_rng(1).permutation(90)
    found = attend(scores[:, :, order], np.ascontiguousarray(values[:, order]))
    assert np.array_equal(attend(scores, values), found)
