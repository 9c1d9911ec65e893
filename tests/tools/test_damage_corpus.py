"""Damaged recordings are damaged as they say, and listed in a manifest."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import damage_corpus
import numpy as np
import pytest
import soundfile


def wave() -> np.ndarray:
    time = np.arange(24000) / 24000
    return 0.3 * np.sin(2 * np.pi * 1000 * time) + 0.1 * np.sin(2 * np.pi * 6000 * time)


def damaged(kind: str) -> np.ndarray:
    return damage_corpus.KINDS[kind](wave(), np.random.default_rng(0))


def power_above(samples: np.ndarray, hertz: float) -> float:
    spectrum = np.abs(np.fft.rfft(samples)) ** 2
    return float(spectrum[np.fft.rfftfreq(len(samples), 1 / 24000) > hertz].sum() / spectrum.sum())


@pytest.mark.parametrize("kind", damage_corpus.KINDS)
def test_every_kind_keeps_the_length(kind: str) -> None:
    assert damaged(kind).shape == wave().shape and np.isfinite(damaged(kind)).all()


def test_damages_are_what_they_say() -> None:
    assert power_above(wave(), 4000) > 0.05 and power_above(damaged("phone"), 4000) < 1e-3
    assert damage_corpus.rms(damaged("quiet")) == pytest.approx(damage_corpus.rms(wave()) * 10**-1.5)
    for kind, decibel in (("noise", 15), ("room", 6)):
        added = damaged(kind) - wave()
        assert 20 * np.log10(damage_corpus.rms(wave()) / damage_corpus.rms(added)) == pytest.approx(decibel, abs=0.1)


def test_writes_a_manifest_of_all_kinds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    soundfile.write(tmp_path / "a.wav", wave(), 24000)
    row = {
        "id": "a",
        "audio": "a.wav",
        "text": "Hello there.",
        "speaker": "b",
        "seconds": 1.0,
        "sample_rate": 24000,
        "split": "test",
    }
    (tmp_path / "manifest.jsonl").write_text(json.dumps(row) + "\n")
    command = ["damage_corpus", str(tmp_path / "manifest.jsonl"), str(tmp_path / "out"), "--split", "test"]
    monkeypatch.setattr(sys, "argv", command)
    assert damage_corpus.main() == 0
    rows = [json.loads(line) for line in (tmp_path / "out" / "manifest.jsonl").read_text().splitlines()]
    assert [row["source"] for row in rows] == list(damage_corpus.KINDS)
    assert all(len(soundfile.read(tmp_path / "out" / row["audio"])[0]) == 24000 for row in rows)
    assert damage_corpus.main() == 2  # exists
