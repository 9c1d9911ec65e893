"""Copies of a corpus for speech language models: other voices, other beginnings, the same words."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import vary_corpus

RATE = 24000


def write(folder: Path) -> Path:
    folder.mkdir()
    lines = []
    for number, split in enumerate(["train", "train", "valid"]):
        time = np.arange(RATE) / RATE
        soundfile.write(folder / f"{number}.flac", 0.3 * np.sin(2 * np.pi * 440 * time), RATE)
        lines.append({"id": f"u{number}", "audio": f"{number}.flac", "text": "Hello.", "speaker": "a", "split": split})
    (folder / "manifest.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder / "manifest.jsonl"


def lines_of(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]


def test_training_utterances_are_said_again_at_other_pitches(tmp_path: Path) -> None:
    out = tmp_path / "deeper" / "out"
    assert vary_corpus.main([str(write(tmp_path / "corpus")), str(out)]) == 0
    lines = lines_of(out)
    assert [line["id"] for line in lines] == ["u0", "u1", "u2", "u0-as-1", "u1-as-1", "u0-as-2", "u1-as-2"]
    assert len({line["speaker"] for line in lines}) == 3
    for line in lines:
        wave, rate = soundfile.read(out / line["audio"])
        pitch = np.abs(np.fft.rfft(wave * np.hanning(len(wave)), 10 * rate)).argmax() / 10
        factor = {"-1": 0.89, "-2": 1.11}.get(line["id"][-2:], 1.0)
        assert rate == RATE and pitch / 440 == pytest.approx(factor, abs=0.055)
        if factor != 1.0:
            assert 0.06 <= abs(pitch / 440 - 1) <= 0.16 and line["seconds"] == pytest.approx(len(wave) / rate, abs=1e-3)
            assert 0.88 <= line["seconds"] * pitch / 440 <= 1.0  # up to .12 s less of it


def test_it_goes_on_and_repeats_itself(tmp_path: Path) -> None:
    manifest, out = write(tmp_path / "corpus"), tmp_path / "out"
    vary_corpus.vary(manifest, out, 1, 0)
    first = [(out / line["audio"]).read_bytes() for line in lines_of(out)]
    (out / lines_of(out)[-1]["audio"]).unlink()
    vary_corpus.vary(manifest, out, 1, 0)
    assert [(out / line["audio"]).read_bytes() for line in lines_of(out)] == first


def test_no_manifest_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert vary_corpus.main([str(tmp_path / "none.jsonl"), str(tmp_path / "out")]) == 2
    assert "no such manifest" in capsys.readouterr().err and not (tmp_path / "out").exists()
