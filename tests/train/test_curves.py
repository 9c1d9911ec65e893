"""The curves of a run's log, whatever stands in it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tadicodec.errors import InputError
from tadicodec.pipeline.plots import png
from tadicodec.train.curves import draw_curves

pytest.importorskip("matplotlib")


def test_curves(tmp_path: Path) -> None:
    rows = [{"kind": "train", "step": n, "seconds": 1.0, "loss": 1 / n, "norm/model": float("nan")} for n in (1, 2, 3)]
    rows += [{"kind": "valid", "step": 3, "seconds": 1.0, "loss": 0.5}]
    log = tmp_path / "log.jsonl"
    log.write_text("".join(json.dumps(row) + "\n" for row in rows) + '{"kind": "tr')  # still being written
    figure = draw_curves(log)
    (axes,) = [axes for axes in figure.axes if axes.lines]
    assert axes.get_title() == "loss" and [line.get_label() for line in axes.lines] == ["train", "valid"]
    assert png(figure).startswith(b"\x89PNG")


def test_refusals(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text("")
    for log in (tmp_path / "log.jsonl", tmp_path / "none"):
        with pytest.raises(InputError):
            draw_curves(log)
