"""Every experiment runs on the tiny codec; its figures mean nothing here."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import quant_experiments
import quant_intervention
import quant_l4q
import quant_language
import quant_lr_qat
import quant_roste
import quant_stability
import quant_subjects
import quant_zero_qat
from quant_queue import Results, Row, swept, table

from tadicodec.codec import Codec
from tadicodec.data.feature_maker import prepare_features
from tadicodec.data.features import Features
from tadicodec.data.shard_writer import text_starts
from tadicodec.errors import InputError
from tadicodec.tts.autoregressive import ArConfig, SpeechLM
from tadicodec.tts.llama import LlamaShape
from tests.data.test_manifest import write_corpus

pytest.importorskip("matplotlib")


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("experiments")
    prepare_features(write_corpus(folder, 4), folder / "features")
    return folder / "features"


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer and smaller networks, excerpts and rates."""
    monkeypatch.setattr(quant_subjects, "POOL", 2)
    monkeypatch.setattr(quant_stability, "RATES", (1e-2,))
    monkeypatch.setattr(quant_stability, "SHAPE", {**quant_stability.SHAPE, "num_hidden_layers": 2})
    monkeypatch.setattr(quant_language, "SHAPE", LlamaShape(16, 32, 2, 2, 2))
    for module in (quant_intervention, quant_l4q, quant_lr_qat, quant_roste, quant_zero_qat):
        monkeypatch.setattr(module, "RATES", (1e-3,))
    monkeypatch.setattr(quant_lr_qat, "FULL_RATES", (1e-4,))
    monkeypatch.setattr(quant_zero_qat, "BACKWARD_RATES", (1e-3,))
    monkeypatch.setattr(quant_l4q, "BATCHES", 1)
    monkeypatch.setattr(quant_zero_qat, "JUDGED", 1)
    monkeypatch.setattr(quant_language, "load_tts", lambda folder: (None, small_speaker()))


def small_speaker() -> SpeechLM:
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    return SpeechLM(ArConfig({"model_type": "llama", **sizes}, code_features=8, duration_size=8), inference=True)


def command(name: str, model: Path, features: Path, out: Path) -> list[str]:
    options = ["--model", model, "--data", features, "--out", out, "--steps", "2", "--seeds", "1", "--frames", "40"]
    options += ["--adapt", "train"]
    return [name, *map(str, options)]


@pytest.mark.parametrize("name", quant_experiments.EXPERIMENTS)
def test_experiment_runs(name: str, tiny_model: Path, features: Path, tmp_path: Path, small: None) -> None:
    assert quant_experiments.main(command(name, tiny_model, features, tmp_path)) == 0
    rows = Results(tmp_path, name).rows()
    assert len(rows) > 1 and all(row["seed"] == 0 and row["arm"] for row in rows)
    assert (tmp_path / f"{name}.png").stat().st_size > 1000
    assert all(row.get("largest_difference_after_merging", 0) == 0 for row in rows)


def test_a_queue_goes_on_where_it_was(
    tiny_model: Path, features: Path, tmp_path: Path, small: None, capsys: pytest.CaptureFixture[str]
) -> None:
    given = command("glm", tiny_model, features, tmp_path)
    quant_experiments.main(given)
    files = sorted((tmp_path / "glm").glob("*.json"))
    kept = {path: path.stat().st_mtime_ns for path in files}
    lost = files[0]
    before = json.loads(lost.read_text())
    lost.unlink()
    quant_experiments.main(given)
    assert {path: path.stat().st_mtime_ns for path in files if path != lost}.items() <= kept.items()
    after = json.loads(lost.read_text())
    assert {**before, "cpu_seconds": 0} == {**after, "cpu_seconds": 0}
    assert quant_experiments.main([*given, "--steps", "3"]) == 2
    assert "other settings" in capsys.readouterr().err


def test_a_sweep_finds_each_arms_own_rate(tmp_path: Path) -> None:
    calls = []

    def run(arm: str, rate: float, seed: int, sweep: bool) -> Row:
        calls.append((arm, rate, seed, sweep))
        return {"val": None if rate > 1 else abs(math.log(rate / {"a": 0.1, "b": 1.0}[arm]))}

    results = Results(tmp_path, "x")
    for trial in swept(results, {"a": (0.1, 1.0, 10.0), "b": (0.1, 1.0)}, 2, run):
        results.finish(trial)
    assert [call for call in calls if not call[3]] == [("a", 0.1, 0, False), ("b", 1.0, 0, False)] + [
        ("a", 0.1, 1, False),
        ("b", 1.0, 1, False),
    ]
    said = table(results.rows())
    assert "| a | 0.1 | 2 |" in said and "10: diverged" in said


def test_finalists_are_trained_whole_before_one_is_chosen(tmp_path: Path) -> None:
    calls = []

    def run(arm: str, rate: float, seed: int, sweep: bool) -> Row:
        calls.append((rate, seed))
        return {"val": rate if sweep else -rate}  # what is best for short is not for long

    results = Results(tmp_path, "x")
    for trial in swept(results, {"a": (1.0, 2.0, 3.0)}, 2, run, finalists=2):
        results.finish(trial)
    assert calls == [(1.0, 0), (2.0, 0), (3.0, 0), (1.0, 0), (2.0, 0), (2.0, 1)]


def test_interventions_are_held_against_both_controls() -> None:
    """Each at its own best rate."""

    def row(kind: str, rate: float, seed: int, loss: float) -> Row:
        return {"arm": f"n, {kind}", "rate": rate, "seed": seed, "sweep": False, "val": loss}

    controls = [
        row("restart after 60", 0.1, 0, 0.4),
        row("restart after 60", 0.2, 0, 0.7),
        row("no intervention", 0.1, 0, 0.8),
    ]
    rows = [*controls, row("60 intervened", 0.2, 0, 0.8), row("60 intervened", 0.1, 0, 0.9)]
    said = quant_intervention.against_controls(rows)
    assert "n, 60 intervened: 2.00 (2.00 to 2.00) times the loss of “n, restart after 60”" in said
    assert "n, 60 intervened: 1.00 (1.00 to 1.00) times the loss of “n, no intervention”, 1 seeds" in said
    assert "n, 60 intervened: steps to the last loss of “n, no intervention”: never" in said
    rows[3]["curve"] = [(10, 0.9), (20, 0.75), (30, 0.8)]
    assert "intervention”: 20" in quant_intervention.against_controls(rows)


def test_what_holds_is_counted() -> None:
    rows = [
        {"arm": "a", "rate": 0.1, "seed": seed, "sweep": False, "val": 1.0, "learned": seed > 0} for seed in range(3)
    ]
    assert "2 of 3" in table(rows)


def test_only_what_adapts_needs_a_voice_to_adapt_to(
    tiny_model: Path, features: Path, tmp_path: Path, small: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert quant_experiments.main([*command("glm", tiny_model, features, tmp_path), "--adapt", "none"]) == 0
    assert quant_experiments.main([*command("roste", tiny_model, features, tmp_path), "--adapt", "none"]) == 2
    assert "no clip of split 'none'" in capsys.readouterr().err


def test_a_clip_is_trained_on_or_judged(features: Path) -> None:
    clips = Features(features, "train").clips
    train, held = quant_language.divided(clips)
    assert [*train, *held] == clips and len(held) == min(quant_language.HELD_CLIPS, len(clips) // 2) > 0
    with pytest.raises(InputError, match="single clip"):
        quant_language.divided(clips[:1])


def test_settings_of_an_unknown_voice(
    tiny_model: Path, features: Path, tmp_path: Path, small: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert quant_experiments.main([*command("l4q", tiny_model, features, tmp_path), "--voice", "nobody"]) == 2
    assert "no clip of the voice" in capsys.readouterr().err


def test_a_language_model_reads_letters_when_the_codec_says(tiny_model: Path, features: Path, small: None) -> None:
    """As it was trained; times that the duration network finds are another task."""
    codec = Codec.from_pretrained(tiny_model)
    subject = quant_language.VoiceSubject(codec, Features(features, "train"), None)
    (clip,) = subject.train[:1]
    batch = subject.batch([clip])
    assert batch["text_ids"][0].tolist() == codec.tokenizer.encode(clip.text)
    assert batch["starts"][0].tolist() == pytest.approx(text_starts(codec, batch["codes"][0], clip.text))
    assert batch["starts"].min() >= 0
