"""The tool that finds the settings of the transcripts' search."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from transcript_beam import main

from tadicodec.pipeline.reading import SEARCH

ROOT = Path(__file__).parents[2]


def test_each_setting_has_its_errors_beside_greedy_ones(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = tmp_path / "manifest.jsonl"
    sounds = sorted((ROOT / "samples").glob("austen_*.flac"))[1:4]
    rows = [
        {"id": path.stem, "audio": str(path), "text": path.with_suffix(".txt").read_text(), "split": "valid_unseen"}
        for path in sounds
    ]
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert main(["--manifest", str(manifest), "--weight", "0", "0.8"]) == 0
    greedy, without, chosen = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert greedy["search"] == "greedy" and "cost" not in greedy
    assert chosen["cer"] < greedy["cer"] and chosen["wer"] < 100 and without["search"] != chosen["search"]
    assert main(["--manifest", str(manifest), "--codes"]) == 0
    spelled, read = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert spelled["cer"] > greedy["cer"] and read["search"] == repr(SEARCH)  # codes say less
    assert main(["--manifest", str(manifest), "--split", "nothing"]) == 2
    assert "no utterance" in capsys.readouterr().err
