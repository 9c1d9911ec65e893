"""The benchmark runs every stage and writes its three files; its figures are nobody's business here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import stages

from tadicodec.tts.engines import load_engine
from tadicodec.tts.synthesize import Speaker
from tests.conftest import tiny_codec
from tests.tts.test_synthesize import save_speaker


def test_every_stage_and_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages, "load", lambda args: tiny_codec())
    arguments = ["--seconds", "0.5", "--batch", "1", "2", "--repeats", "1", "--prompt-seconds", "0.5"]
    assert stages.main(["--out", str(tmp_path), *arguments]) == 0
    document = json.loads((tmp_path / "bench.json").read_text())
    assert {row["stage"] for row in document["rows"]} == set(stages.STAGES) - {"AR", "masked"}  # of another codec
    assert document["about"]["network passes a decode"] == 4 and document["about"]["mel error against float32"] < 1e-4
    timed_both = [row["stage"] for row in document["rows"] if row["plain"] is not None]
    assert timed_both == ["encode", "decode", "vocoder"]
    assert (tmp_path / "bench.md").read_text().count("\n| ") == 1 + len(document["rows"])
    assert (tmp_path / "bench.svg").read_text().startswith("<svg")


def test_language_models_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    codec = tiny_codec()
    speaker = Speaker(codec, load_engine(save_speaker(tmp_path / "model", "masked", codec)))
    monkeypatch.setattr(Speaker, "from_pretrained", lambda **_: speaker)
    case = stages.Case(codec, 2.0, 1, steps=1, guidance=1.0, prompt_seconds=0.5)
    speeches = stages.STAGES["masked"][0](case)()
    assert sum(int(speech.lengths[0]) for speech in speeches) == 12  # 2 s at 6.25 tokens a second
