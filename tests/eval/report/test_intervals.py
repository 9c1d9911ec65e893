import numpy as np
import pytest

from tadicodec.eval.report.intervals import estimate


def test_mean_and_ratio_by_hand():
    assert estimate([[0.0, 0.5, 1.0]]).value == 0.5
    assert estimate([[1, 0]], [[1, 9]]).value == pytest.approx(0.1)  # edits over words, not the mean of rates


def test_median_over_seeds():
    found = estimate([[0.0, 0.2], [0.4, 0.6], [5.0, 5.0]])
    assert found.value == 0.5 and found.count == 2


def test_what_was_not_measured_is_left_out():
    found = estimate([[1.0, None, 3.0]])
    assert found.value == 2.0 and found.count == 2
    assert estimate([[None, None]]) is None


def test_the_interval_is_that_of_the_mean():
    values = np.random.default_rng(1).normal(3.0, 1.0, 400)
    found = estimate([values.tolist()])
    half = 1.96 * values.std() / 20
    assert found.low == pytest.approx(found.value - half, abs=0.02)
    assert found.high == pytest.approx(found.value + half, abs=0.02)
    assert found == estimate([values.tolist()])


def test_one_utterance_has_no_spread():
    found = estimate([[0.25]])
    assert found.low == found.value == found.high == 0.25
