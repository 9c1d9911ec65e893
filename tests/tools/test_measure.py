"""The measuring tool with a made-up codec and judges: choice of utterances, conditions, resuming, report."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch

soundfile = pytest.importorskip("soundfile")
sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))

import measure  # noqa: E402
import measure_choice  # noqa: E402
import measure_report  # noqa: E402

from tadicodec.speech import Speech  # noqa: E402

SETTINGS = measure_choice.Settings(
    "fake", "abc", "manifest.jsonl", ("test_seen",), 2, 0, 4, None, "other", measure_choice.CONDITIONS
)


@pytest.fixture
def corpus(tmp_path: Path) -> tuple[Path, list[dict]]:
    """Two sources with one speaker each, four utterances of 1 to 4 s."""
    lines = []
    for source in ("a", "b"):
        for i in range(4):
            line = {
                "id": f"{source}{i}",
                "audio": f"{source}{i}.flac",
                "text": f"{source} sentence {i}",
                "speaker": source,
            }
            line |= {"seconds": i + 1.0, "split": "test_seen" if i else "train", "source": source}
            soundfile.write(tmp_path / line["audio"], np.full(24000 * (i + 1), 0.1), 24000)
            lines.append(line)
    return tmp_path, lines


@dataclass
class FakeCodec:
    """Decoded samples hold the length of the text and whether there was a prompt."""

    name: str = "fake"
    weights: str = "abc"

    def encode(self, wave: np.ndarray, sample_rate: int, text: str | None = None) -> Speech:
        codes = torch.arange(3)[None]
        return Speech(codes, torch.tensor([3]), torch.tensor([len(wave)]), (text,))

    def decode(self, speech, prompt=None, steps=None, guidance=None, generator=None):
        assert steps == 4 and generator is not None
        return torch.full((1, 40000), len(speech.text[0]) / 100 + (0.5 if prompt else 0))

    def prompt(self, wave, sample_rate, text=""):
        return text

    def mel(self, wave):
        return wave

    def vocode(self, mel, lengths=None):
        return mel


class FakeJudges:
    """Remembers the first sample of each wave."""

    def __call__(self, wave, case, others):
        return {"hypothesis": str(float(wave[0])), "edits": 1, "words": 4, "sim_prompt": 0.5}


def test_choice_is_stable_and_prompts_fit(corpus: tuple[Path, list[dict]]) -> None:
    _, lines = corpus
    few = measure_choice.choose(lines, SETTINGS)
    more = measure_choice.choose(lines, replace(SETTINGS, limit=3))
    assert [case.line["source"] for case in few] == ["a", "a", "b", "b"]
    assert {case.line["id"] for case in few} < {case.line["id"] for case in more}
    for case in more:
        assert case.prompt["id"] != case.line["id"] and case.prompt["speaker"] == case.line["speaker"]
        assert 2 <= case.prompt["seconds"] <= 5 and case.prompt["split"] == "test_seen"
        assert case.wrong_text not in ("", case.line["text"])


def test_prompt_falls_back_to_the_nearest_length(corpus: tuple[Path, list[dict]]) -> None:
    _, lines = corpus
    long = [line | {"seconds": line["seconds"] + 10} for line in lines]
    assert measure_choice.other_utterance(long[1], long, 0)["id"] == "a0"
    assert measure_choice.other_utterance(long[1], long[1:2], 0) is None


def test_run_covers_conditions_and_resumes(corpus: tuple[Path, list[dict]], tmp_path: Path) -> None:
    root, lines = corpus
    bench = measure.Bench(FakeCodec(), FakeJudges(), SETTINGS, root)
    cases = measure_choice.choose(lines, SETTINGS)
    results = measure.run(bench, cases, tmp_path / "out")
    assert len(results) == 4 * len(measure_choice.CONDITIONS)
    of = {r["condition"]: float(r["hypothesis"]) for r in results if r["id"] == cases[0].line["id"]}
    assert of["recording"] == of["vocoder"] == pytest.approx(0.1, abs=1e-3)
    assert of["no text"] == 0 and of["text and prompt"] == pytest.approx(of["text"] + 0.5)
    before = (tmp_path / "out" / "utterances.jsonl").read_text()
    assert measure.run(bench, cases, tmp_path / "out") == results
    assert (tmp_path / "out" / "utterances.jsonl").read_text() == before
    bench.settings = replace(SETTINGS, steps=8)
    with pytest.raises(ValueError, match="another steps"):
        measure.run(bench, cases, tmp_path / "out")


def test_report_counts_words_not_utterances() -> None:
    results = [
        {"source": "a", "condition": "text", "edits": 1, "words": 1, "codes": [1, 1]},
        {"source": "a", "condition": "text", "edits": 0, "words": 9, "codes": [1, 2]},
    ]
    summary = measure_report.summarise(results, ["text"])
    (row,) = summary["rows"]
    assert row["wer"] == pytest.approx(0.1) and row["wer_mean"] == pytest.approx(0.5)
    assert row["wer_95"][0] <= 0.1 <= row["wer_95"][1]
    table = measure_report.markdown(summary)
    assert "| a | text | 2 | 10.0 |" in table and "2 of 4" in table
    json.dumps(summary)
