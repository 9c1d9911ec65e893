"""The experiments of the quantization methods: each one's central claim, on networks that one core trains in minutes.

    python tools/quant_experiments.py EXPERIMENT ... --data FEATURES --out RESULTS [--model M] [--steps N] [--seeds 3]

EXPERIMENT is one or several of those below, or all. Every arm is stored in `RESULTS/EXPERIMENT/` when it ends, so the
same command goes on after a stop; `--report` prints tables of what is there and makes plots. Steps are each
experiment's own unless they are given.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from quant_arms import Arm, Setting, quant_config
from quant_intervention import against_controls, intervention
from quant_l4q import l4q
from quant_lr_qat import lr_qat, stores
from quant_queue import Results, Row, Trial, table
from quant_roste import roste
from quant_stability import stability
from quant_subjects import EncoderSubject
from quant_zero_qat import any_number, zero_controls, zero_qat
from torch import nn

from tadicodec.codec import Codec
from tadicodec.data.features import Features
from tadicodec.errors import InputError
from tadicodec.integers.grid import Grid, round_to_grid
from tadicodec.integers.layout import linear_layers
from tadicodec.outputs import write_bytes
from tadicodec.quant.quant_settings import TuneConfig


@dataclass(frozen=True)
class Experiment:
    """What gives an experiment's trials, the steps of its whole trainings, and what its rows amount to."""

    trials: Callable[[Setting, Results], Iterator[Trial]]
    steps: int = 0
    seeds: int = 3
    summary: Callable[[list[Row]], str] | None = None


def glm(setting: Setting, results: Results) -> Iterator[Trial]:
    """GLM-130B's rounding to nearest of the encoder at 8, 4 and 3 bits: one scale a matrix, a row, or a group."""
    subject = EncoderSubject(setting.codec, setting.train, setting.valid, setting.frames)

    def whole(bits: int) -> Row:
        arm = Arm(subject, quant_config("glm", bits), TuneConfig())
        round_whole(arm.model, bits)
        return arm.held()

    for bits in (8, 4, 3):
        yield Trial(f"{bits} bits, matrix", 0, lambda bits=bits: whole(bits))
        for group in (0, 128, 32):
            if all(not group or layer.in_features % group == 0 for layer in block_layers(subject.network).values()):
                arm = Arm(subject, quant_config("glm", bits, group=group), TuneConfig())
                name = f"{bits} bits, " + (f"g{group}" if group else "row")
                yield Trial(name, 0, lambda arm=arm: arm.prepare().held())


def block_layers(model: nn.Module) -> dict[str, nn.Linear]:
    return {name: layer for name, layer in linear_layers(model).items() if name.endswith("_proj")}


@torch.no_grad()
def round_whole(model: nn.Module, bits: int) -> None:
    """Round every block's matrices with one scale each, in place."""
    grid = Grid(bits, narrow=True, granularity="tensor")
    for layer in block_layers(model).values():
        layer.weight.copy_(round_to_grid(layer.weight, layer.weight.abs().max() / grid.highest, None, grid))


EXPERIMENTS = {
    "zero_qat": Experiment(zero_qat, 1000),
    "any_number": Experiment(any_number, 250),
    "lr_qat": Experiment(lr_qat, 1000),
    "stability": Experiment(stability, 400, 5),
    "stores": Experiment(stores, 1000),
    "intervention": Experiment(intervention, 800, 5, against_controls),
    "l4q": Experiment(l4q, 120),
    "roste": Experiment(roste, 200),
    "zero_controls": Experiment(zero_controls, 1000),
    "glm": Experiment(glm),
}


def plot(rows: list[Row], path: Path) -> None:
    """Held-out loss against step where there are curves, else a bar an arm and seed."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4.5), layout="constrained")
    final = [row for row in rows if not row["sweep"]]
    if any("curve" in row for row in final):
        for row in (row for row in final if "curve" in row):
            axes.plot(*zip(*row["curve"]), label=f"{row['arm']}, seed {row['seed']}", linewidth=1)
        axes.set(xlabel="step", ylabel="held-out loss", yscale="log")
        axes.legend(fontsize=6)
    else:
        named = [row for row in final if row.get("val") is not None]
        axes.barh([f"{row['arm']} ({row['seed']})" for row in named], [row["val"] for row in named])
        axes.set(xlabel="held-out loss", xscale="log")
        axes.tick_params(labelsize=6)
        axes.invert_yaxis()
    figure.savefig(path, dpi=150)
    pyplot.close(figure)


def report(folder: Path, name: str) -> None:
    """Print an experiment's table, and write its plot beside its folder."""
    rows = Results(folder, name).rows()
    if not rows:
        print(f"## {name}: nothing yet\n")
        return
    print(f"## {name}: {len(rows)} arms, {sum(row['cpu_seconds'] for row in rows) / 60:.0f} minutes\n\n{table(rows)}\n")
    if (summary := EXPERIMENTS[name].summary) is not None:
        print(f"{summary(rows)}\n")
    plot(rows, folder / f"{name}.png")


def check_settings(folder: Path, name: str, settings: Row) -> None:
    """Keep what an experiment's arms were made with. Raises InputError where arms of other settings are there."""
    path = folder / f"{name}.settings.json"
    if path.is_file() and (known := json.loads(path.read_text())) != settings:
        raise InputError(f"{folder / name} has arms of other settings ({known}); choose another --out, or delete them")
    folder.mkdir(parents=True, exist_ok=True)
    write_bytes(path, (json.dumps(settings) + "\n").encode(), overwrite=True)


def main(arguments: list[str] | None = None) -> int:
    """0 when done, 2 for what the user can mend."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiments", nargs="+", choices=[*EXPERIMENTS, "all"], metavar="EXPERIMENT")
    parser.add_argument("--model", default=None, help="codec's folder or id (default: the bundled one)")
    parser.add_argument("--data", help="folder made by `tadicodec prepare`")
    parser.add_argument("--out", required=True, type=Path, help="folder for the results")
    parser.add_argument("--steps", type=int, help="of a whole training (the experiment's own)")
    parser.add_argument("--frames", type=int, default=160, help="of mel in an excerpt (160)")
    parser.add_argument("--seeds", type=int, help="(the experiment's own: 3 or 5)")
    parser.add_argument("--adapt", metavar="SPLIT", default="adapt", help="with the voice to adapt to (adapt)")
    parser.add_argument("--voice", help="which that is (the one with the most clips)")
    parser.add_argument("--report", action="store_true", help="run nothing: tables and plots of what is there")
    args = parser.parse_args(arguments)
    names = [*EXPERIMENTS] if "all" in args.experiments else args.experiments
    try:
        if not args.report:
            run(args, names)
        for name in names:
            report(args.out, name)
    except InputError as error:
        print(f"quant_experiments: error: {error}", file=sys.stderr)
        return 2
    return 0


def run(args: argparse.Namespace, names: list[str]) -> None:
    """Run the trials of experiments that are not stored yet, one after another."""
    if args.data is None:
        raise InputError("experiments need --data, a folder made by `tadicodec prepare`")
    codec = Codec.from_pretrained(args.model)
    train, valid = (Features(args.data, split) for split in ("train", "valid"))
    for name in names:
        own = EXPERIMENTS[name]
        steps, seeds = args.steps or own.steps, args.seeds or own.seeds
        same = {"frames": args.frames, "adapt": args.adapt, "voice": args.voice}
        check_settings(args.out, name, {"codec": codec.weights, "steps": steps, **same})
        setting = Setting(codec, train, valid, steps, args.frames, seeds, args.adapt, args.voice)
        results = Results(args.out, name)
        for trial in own.trials(setting, results):
            results.finish(trial)


if __name__ == "__main__":
    sys.exit(main())
