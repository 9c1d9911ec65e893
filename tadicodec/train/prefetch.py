"""Batches made ahead of their steps: threads collate the next ones while the device computes.

Collating reads arrays and makes spectrograms; numpy and torch let other threads run meanwhile.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def made_ahead(make: Callable[[T], R], items: Iterable[T], threads: int) -> Iterator[R]:
    """`make` of every item, in order, each made by one of `threads` while those before it are used; without threads,
    each when it is asked for. What `make` raises comes out where its result would."""
    if not threads:
        yield from map(make, items)
        return
    coming, pool = iter(items), ThreadPoolExecutor(threads)
    try:
        waiting = deque(pool.submit(make, item) for item in islice(coming, threads))
        while waiting:
            first = waiting.popleft().result()
            waiting.extend(pool.submit(make, item) for item in islice(coming, 1))
            yield first
    finally:
        pool.shutdown(cancel_futures=True)
