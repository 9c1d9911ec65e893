"""The benchmark runs every stage and writes its three files; its figures are nobody's business here."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))

import bench  # noqa: E402

from tadicodec.tts.engines import load_engine  # noqa: E402
from tadicodec.tts.synthesize import Speaker  # noqa: E402
from tests.conftest import tiny_codec  # noqa: E402
from tests.tts.test_synthesize import save_speaker  # noqa: E402


def test_every_stage_and_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "load", lambda args: tiny_codec())
    arguments = ["--seconds", "0.5", "--batch", "1", "2", "--repeats", "1", "--prompt-seconds", "0.5"]
    assert bench.main(["--out", str(tmp_path), *arguments]) == 0
    document = json.loads((tmp_path / "bench.json").read_text())
    assert {row["stage"] for row in document["rows"]} == set(bench.STAGES) - {"AR", "masked"}  # of another codec
    assert document["about"]["network passes a decode"] == 4 and document["about"]["mel error against float32"] < 1e-4
    timed_both = [row["stage"] for row in document["rows"] if row["plain"] is not None]
    assert timed_both == ["encode", "decode", "vocoder"]
    assert (tmp_path / "bench.md").read_text().count("\n| ") == 1 + len(document["rows"])
    assert (tmp_path / "bench.svg").read_text().startswith("<svg")


def test_language_models_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    codec = tiny_codec()
    speaker = Speaker(codec, load_engine(save_speaker(tmp_path / "model", "masked", codec)))
    monkeypatch.setattr(Speaker, "from_pretrained", lambda **_: speaker)
    case = bench.Case(codec, 2.0, 1, steps=1, guidance=1.0, prompt_seconds=0.5)
    speeches = bench.STAGES["masked"][0](case)()
    assert sum(int(speech.lengths[0]) for speech in speeches) == 12  # 2 s at 6.25 tokens a second
