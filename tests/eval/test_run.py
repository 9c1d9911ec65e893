"""The run, with rows made here: failures count, nothing is scored twice, and the metrics measure."""

from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import soundfile

from tadicodec.eval.report.figures import summarise
from tadicodec.eval.results import open_results
from tadicodec.eval.run import Evaluation, audio_file, run
from tadicodec.eval.systems.system import RecordingRow, Rendering, Setup, load_system
from tadicodec.eval.utterances.cases import read_cases
from tadicodec.eval.utterances.recordings import Recordings
from tests.eval.conftest import RATE, TEXTS

SETTINGS = {"some": "settings"}


@dataclass
class Echo:
    """The recording again, but what `instead` says for some utterances: a wave or an exception."""

    recordings: Recordings
    instead: dict = field(default_factory=dict)
    name: str = "echo"
    kind: str = "system"
    seeded: bool = False
    prompted: bool = False

    def render(self, case, seed):
        other = self.instead.get(case.id)
        if isinstance(other, BaseException):
            raise other
        return Rendering(*self.recordings.read(case.audio)) if other is None else Rendering(other, RATE)


@pytest.fixture
def evaluation(manifest, judges, tmp_path):
    recordings = Recordings()
    rows = [RecordingRow(recordings), Echo(recordings)]
    return Evaluation(read_cases(manifest), rows, (0,), judges, recordings, tmp_path / "out")


def finish(evaluation, overwrite=False):
    with open_results(evaluation.out, SETTINGS, overwrite) as file:
        return run(evaluation, file, progress=False)


def summary(evaluation, results, row="echo"):
    kinds = {row.name: row.kind for row in evaluation.rows}
    return next(found for found in summarise(results, kinds) if found.row == row and found.group == "all")


def test_a_perfect_copy_scores_like_the_recordings(evaluation):
    results = finish(evaluation)
    copies, originals = summary(evaluation, results), summary(evaluation, results, "recordings")
    assert copies.seed_tts.wer.value == originals.seed_tts.wer.value == copies.whisper.wer.value == 0
    assert copies.sim_original.value == pytest.approx(1, abs=1e-3) and originals.sim_original is None
    assert copies.sim_prompt.value == originals.sim_prompt.value > 0.8  # the same speaker
    assert copies.mos == originals.mos and copies.utterances == 6 and copies.failures == 0


def test_everything_that_goes_wrong_is_a_failure_with_its_reason(evaluation, manifest):
    (manifest.parent / "u5.wav").unlink()
    evaluation.rows[1].instead = {
        "u0": ZeroDivisionError("division by zero"),
        "u1": np.zeros(0, np.float32),
        "u2": np.full(RATE // 10, 0.1, np.float32),
        "u3": np.zeros(RATE, np.float32),
        "u4": np.full(RATE, np.nan, np.float32),
    }
    results = finish(evaluation)
    reasons = {r.id: r.failure for r in results if r.row == "echo"}
    words = {"u0": "ZeroDivisionError", "u1": "", "u2": "too short", "u3": "silence", "u4": "finite", "u5": "exist"}
    assert all(words[name] in reason and "\n" not in reason for name, reason in reasons.items()) and len(reasons) == 6
    lost = summary(evaluation, results)
    assert lost.failures == lost.utterances == 6 and lost.sim_prompt is None and lost.bits_per_second is None
    assert lost.seed_tts.wer.value == lost.seed_tts.deletions == lost.whisper.wer.value == 1
    recordings = summary(evaluation, results, "recordings")
    assert recordings.failures == 1 and recordings.seed_tts.wer.value == pytest.approx(1 / 6)


def test_a_judge_that_breaks_names_itself(evaluation):
    evaluation.judges.check = lambda: None
    evaluation.judges.mos = lambda wave: 1 / 0
    assert {result.failure for result in finish(evaluation)} == {"opinion model: division by zero"}


def test_what_is_not_installed_stops_before_anything_is_scored(evaluation):
    evaluation.judges.asr = lambda wave: 1 / 0
    with pytest.raises(ZeroDivisionError):
        finish(evaluation)
    assert (evaluation.out / "results.jsonl").read_bytes() == b""


def test_out_of_memory_is_not_a_result(evaluation):
    evaluation.rows[1].instead = {"u3": MemoryError()}
    with pytest.raises(MemoryError):
        finish(evaluation)
    evaluation.rows[1].instead = {}
    assert not any(result.failure for result in finish(evaluation))


def test_what_failed_is_tried_again(evaluation):
    evaluation.rows[1].instead = {"u3": ValueError("no file yet")}
    assert summary(evaluation, finish(evaluation)).failures == 1
    evaluation.rows[1].instead = {}
    assert summary(evaluation, finish(evaluation)).failures == 0
    assert summary(evaluation, finish(evaluation)).failures == 0  # the last line of a result is the one that counts


def test_a_run_that_was_stopped_goes_on_and_scores_nothing_twice(evaluation):
    evaluation.rows[1].instead = {evaluation.chosen.cases[2].id: KeyboardInterrupt()}
    with pytest.raises(KeyboardInterrupt):
        finish(evaluation)
    path = evaluation.out / "results.jsonl"
    with path.open("ab") as file:
        file.write(b'{"row": "echo", "id": "u')  # as kill -9 leaves it
    heard = len(evaluation.judges.asr.heard)
    evaluation.rows[1].instead = {}
    resumed = finish(evaluation)
    assert len(evaluation.judges.asr.heard) == heard + 12 - 5 + 1  # five were done; one to check that it works
    before = path.read_bytes()
    assert finish(evaluation) == resumed and path.read_bytes() == before
    assert len(evaluation.judges.asr.heard) == heard + 8
    assert finish(evaluation, overwrite=True) == resumed and path.read_bytes() == before


def test_seeds_and_prompts(evaluation):
    evaluation.rows[1].seeded, evaluation.rows[1].prompted = True, True
    lonely = replace(evaluation.chosen.cases[0], prompt_audio=None)
    chosen = replace(evaluation.chosen, cases=(lonely, *evaluation.chosen.cases[1:]))
    results = finish(replace(evaluation, chosen=chosen, seeds=(3, 4, 5)))
    assert sum(result.row == "recordings" for result in results) == 6
    assert {r.seed for r in results if r.row == "echo"} == {3, 4, 5}
    echo = summary(evaluation, results)
    assert (echo.utterances, echo.seeds) == (5, 3)


def test_shuffled_hypotheses_are_wrong(evaluation):
    right = evaluation.judges.asr
    evaluation.judges.asr = lambda wave: TEXTS[(TEXTS.index(right(wave)) + 1) % 6] if right(wave) else ""
    found = summary(evaluation, finish(evaluation))
    assert found.seed_tts.wer.value > 0.8 and found.whisper.wer.value > 0.8


def test_shuffled_waves_are_wrong_words_by_the_wrong_speaker(evaluation, manifest, tmp_path):
    waves = [soundfile.read(manifest.parent / f"u{place}.wav", dtype="float32")[0] for place in range(6)]
    found = {}
    for shift in (0, 1):
        folder = tmp_path / f"shifted{shift}"
        folder.mkdir()
        for place in range(6):
            soundfile.write(folder / f"u{place}.wav", waves[(place + shift) % 6], RATE)
        setup = Setup(evaluation.chosen, evaluation.recordings, lambda: None, generated=str(folder))
        rows = load_system("folder", setup).rows()
        moved = replace(evaluation, rows=rows, out=tmp_path / f"out{shift}")
        found[shift] = summary(moved, finish(moved), "generated")
    assert found[0].seed_tts.wer.value == 0 and found[1].seed_tts.wer.value > 0.8
    for score in ("sim_prompt", "sim_original"):
        assert getattr(found[0], score).value > 0.8 and getattr(found[1], score).value < 0.5


def test_the_worst_are_kept_to_be_heard(evaluation, monkeypatch):
    monkeypatch.setattr("tadicodec.eval.run.WORST", 2)
    waves = {case.id: evaluation.recordings.read(case.audio)[0] for case in evaluation.chosen.cases}
    for bad, failed in (("u1", "u5"), ("u2", "u3")):
        evaluation.rows[1].instead = {bad: waves["u4"], failed: ValueError()}
        finish(evaluation, overwrite=True)
        kept = {path.name for path in (evaluation.out / "audio").iterdir()}
        assert kept == {audio_file(evaluation.out, ("echo", bad, 0)).name}  # and the failure, which made no wave
