"""The load test of the server asks, counts and measures; its figures are nobody's business here."""

from __future__ import annotations

import time

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("httpx")

import server


def test_load_and_bad_requests() -> None:
    with server.running_server() as running:
        took = server.load(server.encode, running, 2, 4, time.monotonic() + 60)
        assert len(took) == 4 and all(seconds > 0 for seconds in took)
        assert server.load(server.encode, running, 2, 4, time.monotonic() - 1) == []
        statuses, memory = server.bad_requests(running, 24)
        assert sum(statuses.values()) == 24 and all(400 <= status < 500 for status in statuses)
        assert len(memory) == 3 and min(memory) > 1e7


def test_percentiles() -> None:
    assert server.percentile([3.0, 1.0, 2.0], 0.5) == 2.0 and server.percentile([1.0], 0.95) == 1.0
