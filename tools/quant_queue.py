"""A queue of arms: each arm's result is a file of its own, so a queue that was stopped goes on where it was.

An arm is a method or a control at one rate, from one seed. Rates are swept on the first seed and a shorter training;
then each arm is trained at its best rate from every seed. Tables and plots are made of whatever is there.
"""

from __future__ import annotations

import json
import math
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tadicodec.outputs import write_bytes

Row = dict[str, Any]
SWEEP = 4  # a sweep's training is this many times shorter


@dataclass(frozen=True)
class Trial:
    """One training: an arm at a rate (0: it has none), from a seed. A sweep's only finds the rate."""

    arm: str
    seed: int
    run: Callable[[], Row]
    rate: float = 0.0
    sweep: bool = False

    @property
    def key(self) -> str:
        """What its file is called."""
        name = "".join(c if c.isalnum() else "-" for c in self.arm)
        return f"{name}_{self.rate:g}_{self.seed}{'_sweep' if self.sweep else ''}"


class Results:
    """The stored arms of one experiment."""

    def __init__(self, folder: Path, experiment: str) -> None:
        self.folder, self.experiment = folder / experiment, experiment

    def finish(self, trial: Trial) -> Row:
        """The trial's row: from its file, or run now and stored at once."""
        path = self.folder / f"{trial.key}.json"
        if path.is_file():
            return json.loads(path.read_text())
        begin = time.process_time()
        row = {"arm": trial.arm, "rate": trial.rate, "seed": trial.seed, "sweep": trial.sweep, **trial.run()}
        row["cpu_seconds"] = round(time.process_time() - begin, 1)
        self.folder.mkdir(parents=True, exist_ok=True)
        write_bytes(path, (json.dumps(row, indent=1) + "\n").encode(), overwrite=True)
        print(json.dumps({"experiment": self.experiment, **row}), flush=True)
        return row

    def rows(self) -> list[Row]:
        """All rows that are stored, by arm, rate and seed."""
        found = [json.loads(path.read_text()) for path in self.folder.glob("*.json")]
        return sorted(found, key=lambda row: (row["arm"], row["sweep"], row["rate"], row["seed"]))


def swept(
    results: Results,
    rates: dict[str, tuple[float, ...]],
    seeds: int,
    run: Callable[[str, float, int, bool], Row],
    finalists: int = 1,
) -> Iterator[Trial]:
    """The trials of several arms: every rate in a short training from seed 0, then the best rate from every seed, all
    arms of a seed before the next. Where there are several finalists, so many of the best rates are trained whole from
    seed 0, and the best of those counts. run: (arm, rate, seed, whether it is a sweep's) -> row with "val"; the lowest
    is the best, None is a training that diverged."""

    def trial(arm: str, rate: float, seed: int, sweep: bool) -> Trial:
        return Trial(arm, seed, lambda: run(arm, rate, seed, sweep), rate, sweep)

    def ordered(trials: list[Trial]) -> list[float]:
        """Rates, the best first."""
        return [item.rate for item in sorted(trials, key=lambda item: score(results.finish(item)))]

    best = {}
    for arm, tried in rates.items():
        short = [trial(arm, rate, 0, True) for rate in tried]
        yield from short
        best[arm] = ordered(short)[:finalists]
    for arm, final in best.items():
        whole = [trial(arm, rate, 0, False) for rate in final]
        yield from whole
        best[arm] = ordered(whole)
    for seed in range(1, seeds):
        for arm, (rate, *_) in best.items():
            yield trial(arm, rate, seed, False)


def score(row: Row) -> float:
    """The loss that rates are chosen by; infinite where training diverged."""
    return row["val"] if row["val"] is not None and math.isfinite(row["val"]) else math.inf


def spread(values: list[float]) -> str:
    """Mean and range, as tables have them; of what holds or does not, how often it does."""
    if all(isinstance(value, bool) for value in values):
        return f"{sum(values)} of {len(values)}"
    mean = statistics.fmean(values)
    return f"{mean:.4g}" if len(values) == 1 else f"{mean:.4g} ({min(values):.4g} to {max(values):.4g})"


def table(rows: list[Row]) -> str:
    """Arms as a Markdown table: rate, seeds, and mean and range of every number that they report; then the sweeps."""
    final = [row for row in rows if not row["sweep"]]
    known = {"arm", "rate", "seed", "sweep"}
    numbers = [k for row in final for k, v in row.items() if k not in known and isinstance(v, (int, float))]
    columns = list(dict.fromkeys(numbers))
    lines = [f"| arm | rate | seeds | {' | '.join(columns)} |", "|---" * (3 + len(columns)) + "|"]
    for arm, rate in dict.fromkeys((row["arm"], row["rate"]) for row in final):
        own = [row for row in final if (row["arm"], row["rate"]) == (arm, rate)]
        cells = [[row[k] for row in own if isinstance(row.get(k), (int, float))] for k in columns]
        lines.append(f"| {arm} | {rate:g} | {len(own)} | {' | '.join(spread(c) if c else '' for c in cells)} |")
    sweeps: dict[str, list[str]] = {}
    for row in rows:
        if row["sweep"]:
            value = "diverged" if row["val"] is None else f"{row['val']:.4g}"
            sweeps.setdefault(row["arm"], []).append(f"{row['rate']:g}: {value}")
    return "\n".join([*lines, "", *(f"- sweep, {arm}: {', '.join(found)}" for arm, found in sweeps.items())])
