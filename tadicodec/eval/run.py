"""The evaluation itself: every row makes every utterance, the judges score it, the result is kept."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tadicodec.audio.files import audio_bytes
from tadicodec.audio.resample import resample
from tadicodec.errors import InputError
from tadicodec.eval.judges.panel import Judges, out_of_memory
from tadicodec.eval.judges.wer import failed, seed_tts, whisper_english
from tadicodec.eval.results import AUDIO, Key, Result, ResultFile
from tadicodec.eval.systems.system import Rendering, Row
from tadicodec.eval.utterances.cases import Case, EvaluationSet
from tadicodec.eval.utterances.choice import number
from tadicodec.eval.utterances.recordings import Recordings, audible
from tadicodec.outputs import write_bytes

WORST = 10  # utterances that the report plays
PLAYER_RATE = 24000  # Hz
PLAYER_SECONDS = 20.0


@dataclass(frozen=True)
class Job:
    """One result to make: an utterance, a row and a seed."""

    case: Case
    row: Row
    seed: int

    @property
    def key(self) -> Key:
        """What tells results apart: row, utterance and seed."""
        return self.row.name, self.case.id, self.seed


@dataclass(frozen=True)
class Evaluation:
    """What is evaluated, by whom, and where the results go."""

    chosen: EvaluationSet
    rows: Sequence[Row]
    seeds: Sequence[int]
    judges: Judges
    recordings: Recordings
    out: Path

    def jobs(self) -> list[Job]:
        """All results to make, utterance by utterance, so that its waves are read and encoded once."""
        return [
            Job(case, row, seed)
            for case in self.chosen.cases
            for row in self.rows
            if case.prompt_audio is not None or not row.prompted
            for seed in (self.seeds if row.seeded else self.seeds[:1])
        ]

    @property
    def main(self) -> Row:
        """The row that the report is about."""
        return next((row for row in self.rows if row.kind == "system"), self.rows[0])


def run(evaluation: Evaluation, file: ResultFile, progress: bool) -> list[Result]:
    """Make what the results file does not hold yet, and again what failed. Returns the results of all jobs, in their
    order."""
    from tqdm import tqdm

    jobs = evaluation.jobs()
    todo = [job for job in jobs if job.key not in file.results or file.results[job.key].failure is not None]
    if todo:
        evaluation.judges.check()
    for job in tqdm(todo, unit="wave", disable=not progress, file=sys.stderr, leave=False):
        file.append(evaluate(job, evaluation))
    results = [file.results[job.key] for job in jobs]
    keep_worst(results, evaluation)
    return results


def evaluate(job: Job, evaluation: Evaluation) -> Result:
    """Render and score one utterance; whatever goes wrong on the way is its failure.

    Raises:
        MemoryError: also torch's kind; more memory would change the result, so it is none.
    """
    try:
        rendering = job.row.render(job.case, job.seed)
        wave16k = audible(rendering.wave, rendering.sample_rate, "the wave made")
        return scored(job, rendering, wave16k, evaluation)
    except Exception as error:
        if out_of_memory(error):
            raise
        return failure(job, error)


def scored(job: Job, rendering: Rendering, wave16k: np.ndarray, evaluation: Evaluation) -> Result:
    """The result of a rendering that can be heard; wave16k [N] is what the judges hear of it."""
    case = job.case
    scores = evaluation.judges.score(wave16k, case, evaluation.recordings, job.row.name == "recordings")
    return Result(
        row=job.row.name,
        id=case.id,
        seed=job.seed,
        text=case.text,
        seed_tts=seed_tts(case.text, scores.hypothesis),
        whisper=whisper_english(case.text, scores.hypothesis),
        group=case.group,
        seconds=length_of(case, rendering, evaluation.recordings),
        hypothesis=scores.hypothesis,
        sim_prompt=scores.sim_prompt,
        sim_original=scores.sim_original,
        mos=scores.mos,
        bits=rendering.bits,
        encode_seconds=rendering.encode_seconds,
        decode_seconds=rendering.decode_seconds,
        codes=rendering.codes,
    )


def failure(job: Job, error: Exception) -> Result:
    """The result of an utterance that was not made or cannot be heard: all of its words are lost."""
    reason = " ".join(str(error).split()) or "no reason given"
    if not isinstance(error, InputError):
        reason = f"{type(error).__name__}: {reason}"
    return Result(
        row=job.row.name,
        id=job.case.id,
        seed=job.seed,
        text=job.case.text,
        seed_tts=failed(seed_tts, job.case.text),
        whisper=failed(whisper_english, job.case.text),
        group=job.case.group,
        seconds=job.case.seconds,
        failure=reason[:300],
    )


def length_of(case: Case, rendering: Rendering, recordings: Recordings) -> float:
    """Seconds of the recording or, where there is none, of the wave that was made."""
    wave, rate = rendering.wave, rendering.sample_rate
    if case.audio is not None:
        with suppress(InputError):
            wave, rate = recordings.read(case.audio)
    return round(len(wave) / rate, 4)


def badness(result: Result) -> tuple[float, float, str]:
    """A key that sorts the worst utterances first."""
    return -result.seed_tts.rate, -result.whisper.rate, result.id


def worst(results: Sequence[Result], evaluation: Evaluation) -> list[Result]:
    """The utterances that the report plays: of the main row and the first seed."""
    main = (evaluation.main.name, evaluation.seeds[0])
    return sorted((result for result in results if (result.row, result.seed) == main), key=badness)[:WORST]


def keep_worst(results: Sequence[Result], evaluation: Evaluation) -> None:
    """Make the waves of the worst utterances once more, to be heard, and drop those of a run before."""
    cases = {case.id: case for case in evaluation.chosen.cases}
    files = {audio_file(evaluation.out, result.key): result for result in worst(results, evaluation)}
    for path in (evaluation.out / AUDIO).glob("*.mp3"):
        if path not in files:
            path.unlink()
    for path, result in files.items():
        if result.failure is None and not path.exists():
            made = evaluation.main.render(cases[result.id], result.seed)
            write_bytes(path, player_bytes(made.wave, made.sample_rate))


def audio_file(out: Path, key: Key) -> Path:
    """Where the wave of a result is kept; ids may hold what file names cannot."""
    return out / AUDIO / f"{number(*key):016x}.mp3"


def player_bytes(wave: np.ndarray, sample_rate: int) -> bytes:
    """Wave [N] as an MP3, which every browser plays, cut after `PLAYER_SECONDS`."""
    cut = resample(wave, sample_rate, PLAYER_RATE)[: int(PLAYER_SECONDS * PLAYER_RATE)]
    return audio_bytes(cut, PLAYER_RATE, ".mp3")
