"""The figures of the table: each row over all utterances and over each group of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from operator import attrgetter
from statistics import median
from typing import Any

from tadicodec.eval.judges.wer import Edits
from tadicodec.eval.report.intervals import Estimate, estimate
from tadicodec.eval.results import Result
from tadicodec.eval.utterances.bitrate import total

ALL = "all"
SPLIT = ("insertions", "deletions", "substitutions")


@dataclass(frozen=True)
class Errors:
    """A word error rate as a fraction, and the parts it is made of."""

    wer: Estimate
    insertions: float
    deletions: float
    substitutions: float


@dataclass(frozen=True)
class RowSummary:
    """The figures of one row over a group of utterances.

    Failures count in the word errors. Likeness and opinion scores are means over the utterances that have a wave to
    score (`count` of each). Rates, in bit/s, are of those too.
    """

    row: str
    kind: str
    group: str
    utterances: int
    seeds: int
    failures: int  # results that failed, of utterances x seeds
    seed_tts: Errors  # mean over utterances
    whisper: Errors  # edits over words of all
    sim_prompt: Estimate | None
    sim_original: Estimate | None
    mos: Estimate | None
    bits_per_second: dict[str, float] | None
    encode_rtf: float | None  # seconds a second of audio, median over utterances
    decode_rtf: float | None
    codes: dict[str, int] = field(default_factory=dict)  # tokens, and how many of them are distinct


def summarise(results: Sequence[Result], kinds: dict[str, str]) -> list[RowSummary]:
    """Figures of every row (in the order of `kinds`, which gives the kind of each name) over all utterances, then by
    group where there are several."""
    groups = sorted({result.group for result in results})
    summaries = []
    for group in [ALL, *(groups if len(groups) > 1 else [])]:
        for row, kind in kinds.items():
            mine = [r for r in results if r.row == row and group in (ALL, r.group)]
            if mine:
                summaries.append(summarise_row(mine, kind, group))
    return summaries


def summarise_row(results: Sequence[Result], kind: str, group: str) -> RowSummary:
    """Figures of the results of one row, over one group ("" for all utterances)."""
    grid = by_seed(results)
    good = [result for result in results if result.failure is None]
    codes = [code for result in grid[0] for code in result.codes]
    return RowSummary(
        row=results[0].row,
        kind=kind,
        group=group,
        utterances=len(grid[0]),
        seeds=len(grid),
        failures=len(results) - len(good),
        seed_tts=errors(grid, lambda result: result.seed_tts, macro=True),
        whisper=errors(grid, lambda result: result.whisper, macro=False),
        sim_prompt=mean(grid, lambda result: result.sim_prompt),
        sim_original=mean(grid, lambda result: result.sim_original),
        mos=mean(grid, lambda result: result.mos),
        bits_per_second=rates(good),
        encode_rtf=real_time(good, lambda result: result.encode_seconds),
        decode_rtf=real_time(good, lambda result: result.decode_seconds),
        codes={"tokens": len(codes), "distinct": len(set(codes))} if codes else {},
    )


def by_seed(results: Iterable[Result]) -> list[list[Result]]:
    """[S][U]: the results of each seed, utterances in one order."""
    grid: dict[int, dict[str, Result]] = {}
    for result in results:
        grid.setdefault(result.seed, {})[result.id] = result
    return [[row[name] for name in sorted(row)] for _, row in sorted(grid.items())]


def mean(grid: list[list[Result]], of: Callable[[Result], float | None]) -> Estimate | None:
    """The mean over utterances of what `of` gives for a result, with its interval."""
    return estimate([[of(result) for result in row] for row in grid])


def errors(grid: list[list[Result]], of: Callable[[Result], Edits], macro: bool) -> Errors:
    """Word error rates over a grid of results: of utterances, each weighing the same (macro), or of words."""

    def rate(count: Callable[[Edits], int]) -> Estimate:
        edits = [[of(result) for result in row] for row in grid]
        words = [[max(one.words, 1) for one in row] for row in edits]
        if macro:
            found = estimate([[count(e) / n for e, n in zip(*pair)] for pair in zip(edits, words)])
        else:
            found = estimate([[count(one) for one in row] for row in edits], words)
        assert found is not None  # a row has at least one result
        return found

    parts = {name: rate(attrgetter(name)).value for name in SPLIT}
    return Errors(rate(lambda edits: edits.total), **parts)


def rates(results: Sequence[Result]) -> dict[str, float] | None:
    """bit/s over all utterances, by part; None where bits are not known."""
    counted = [(result.bits, result.seconds or 0.0) for result in results if result.bits is not None]
    if not counted:
        return None
    return total([bits for bits, _ in counted]).per_second(sum(seconds for _, seconds in counted))


def real_time(results: Sequence[Result], of: Callable[[Result], float | None]) -> float | None:
    """The median of seconds of computing for a second of audio; a slow first call cannot move it."""
    factors = [taken / r.seconds for r in results if (taken := of(r)) is not None and r.seconds]
    return median(factors) if factors else None


@dataclass(frozen=True)
class Report:
    """All that the two renderings show. `worst` are utterances of the row `main`, the worst first."""

    header: dict[str, Any]
    rows: list[RowSummary]
    main: str
    worst: list[Result]
    failures: list[Result]
    results: list[Result]

    def document(self) -> dict[str, Any]:
        """The report as plain values, for report.json."""
        return {
            "header": self.header,
            "rows": [asdict(row) for row in self.rows],
            "main_row": self.main,
            "worst": [result.id for result in self.worst],
            "failures": [{"row": r.row, "id": r.id, "seed": r.seed, "reason": r.failure} for r in self.failures],
            "utterances": [asdict(result) for result in self.results],
        }
