"""Word errors by hand."""

from __future__ import annotations

import pytest

from tadicodec.train.word_errors import edits, rate


def test_edits_are_the_fewest() -> None:
    assert edits(["a", "b", "c"], ["a", "b", "c"]) == 0
    assert edits(["a", "b", "c"], ["a", "x", "c", "d"]) == 2
    assert edits(["the", "cat", "sat"], ["cat", "sat"]) == 1
    assert edits([], ["a", "b"]) == 2 and edits(["a", "b"], []) == 2


def test_a_rate_is_of_all_words() -> None:
    assert rate(["a b", "c d"], ["a b", "c"]) == pytest.approx(0.25) and rate([""], ["a"]) == 1
