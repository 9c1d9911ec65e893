"""Results made ahead come in order, none is lost, and errors come out where they belong."""

from __future__ import annotations

import itertools
import threading

import pytest

from tadicodec.train.prefetch import made_ahead


@pytest.mark.parametrize("threads", [0, 1, 4])
def test_order_is_kept(threads: int) -> None:
    assert list(made_ahead(lambda i: i * i, range(20), threads)) == [i * i for i in range(20)]
    assert list(made_ahead(str, [], threads)) == []


def test_an_endless_source_is_read_no_further_than_needed() -> None:
    taken: list[int] = []
    source = (taken.append(i) or i for i in itertools.count())
    results = made_ahead(lambda i: i, source, 2)
    assert [next(results) for _ in range(3)] == [0, 1, 2] and len(taken) <= 5
    results.close()
    assert threading.active_count() == 1 or not any("ThreadPool" in t.name for t in threading.enumerate())


@pytest.mark.parametrize("threads", [0, 2])
def test_an_error_comes_in_its_turn(threads: int) -> None:
    results = made_ahead(lambda i: 6 // (3 - i), range(6), threads)
    assert [next(results) for _ in range(3)] == [2, 3, 6]
    with pytest.raises(ZeroDivisionError):
        next(results)
