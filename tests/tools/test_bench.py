"""The benchmark runs every stage and writes its three files; its figures are nobody's business here."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))

import bench  # noqa: E402

from tests.conftest import tiny_codec  # noqa: E402


def test_every_stage_and_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "load", lambda args: tiny_codec())
    arguments = ["--seconds", "0.5", "--batch", "1", "2", "--repeats", "1", "--prompt-seconds", "0.5"]
    assert bench.main(["--out", str(tmp_path), *arguments]) == 0
    document = json.loads((tmp_path / "bench.json").read_text())
    assert {row["stage"] for row in document["rows"]} == set(bench.STAGES)
    assert document["about"]["network passes a decode"] == 4 and document["about"]["mel error against float32"] < 1e-4
    timed_both = [row["stage"] for row in document["rows"] if row["plain"] is not None]
    assert timed_both == ["encode", "decode", "vocoder"]
    assert (tmp_path / "bench.md").read_text().count("\n| ") == 1 + len(document["rows"])
    assert (tmp_path / "bench.svg").read_text().startswith("<svg")
