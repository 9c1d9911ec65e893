"""What tests of training share."""

from __future__ import annotations

import pytest

from tadicodec.train.board import Board


@pytest.fixture(autouse=True)
def undrawn(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs draw no curves, which takes seconds each time, but in tests marked `draws`."""
    if not request.node.get_closest_marker("draws"):
        monkeypatch.setattr(Board, "curves", lambda board: None)
