"""The deployment table: which setting it recommends, and what a process measures."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import deployment
import numpy as np
import pytest
import soundfile
import torch
from deployment import SETTINGS, Row

from tests.conftest import tiny_codec


def scored(wer: float, sim: float) -> dict[str, Any]:
    """The row of an evaluation whose intervals reach .02 to both sides."""
    wide = [{"value": value, "low": value - 0.02, "high": value + 0.02, "count": 9} for value in (wer, sim)]
    return {"whisper": {"wer": wide[0]}, "sim_original": wide[1], "mos": {"value": 3.0, "low": 2.9, "high": 3.1}}


def row(number: int, disk: int, decode: float, wer: float = 0.1, sim: float = 0.6) -> Row:
    codes = [[1, 2, 3], [number]]
    return Row(SETTINGS[number], disk, encode=1.0, decode=decode, memory=10**8, codes=codes, scores=scored(wer, sim))


def test_smaller_faster_and_alike_is_recommended() -> None:
    rows = [row(0, 100, 1.0), row(1, 100, 0.1), row(4, 50, 1.1), row(6, 50, 0.8), row(8, 25, 0.5, wer=0.2)]
    assert deployment.recommended(rows) is rows[3]
    found = deployment.table(rows)
    name = "stored in 8 bits, ONNX Runtime in 8 bits"
    assert f"| **{name}** | 0.0 MB | 100 MB | 1.00 | 1.25 | 75.0 % | 10.0 (8.0 to 12.0)" in found
    assert f"Recommended: {name}." in found


def test_nothing_is_recommended_where_nothing_is_both() -> None:
    rows = [row(0, 100, 1.0), row(1, 100, 0.1), row(4, 50, 1.1), row(8, 25, 0.5, sim=0.5)]
    assert deployment.recommended(rows) is None and "Recommended: none" in deployment.table(rows)


def test_without_judges_there_are_times_alone() -> None:
    rows = [replace(row(number, 100, 1.0), scores={}) for number in (0, 4)]
    found = deployment.table(rows)
    assert "| on disk |" in found and "WER" not in found and "Recommended" not in found
    assert "| stored in 8 bits | 0.0 MB | 100 MB | 1.00 | 1.00 | 75.0 % |\n" in found


def test_bfloat16_is_left_out_where_it_is_slower(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deployment, "faster_precision", lambda: torch.bfloat16)
    assert deployment.settings_here() == list(SETTINGS)
    monkeypatch.setattr(deployment, "faster_precision", lambda: torch.float32)
    assert {setting.dtype for setting in deployment.settings_here()} == {"float32"}


def test_a_process_measures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tiny_codec().save_pretrained(tmp_path / "tiny")
    options = SETTINGS[0].options({0: str(tmp_path / "tiny")})
    soundfile.write(tmp_path / "a.wav", np.sin(np.arange(24000) / 9), 24000)
    deployment.measure([*options, str(tmp_path / "a.wav")])
    found = json.loads(capsys.readouterr().out)
    assert found["encode"] > 0 and found["decode"] > 0 and found["memory"] > 10**7
    assert [len(codes) for codes in found["codes"]] == [7]
