"""Which change of the codec's recipe learns most from a given time: arms trained from scratch, each for as many CPU
minutes, and scored by the words that come through.

    python tools/codec_arms.py features --minutes 20 --out arms.jsonl

An arm is recipes/codec/default.yaml with some values replaced: one of those below, or one given, as in

    python tools/codec_arms.py features --out arms.jsonl --recipe recipes/codec/continue.yaml \
        --arm "as it is" --arm conformer init=grown model.model.tadicodec.encoder_conformer=true

Its score is the losses and the words of every
validation split (`tadicodec/train/judged.py`). CPU minutes, so that other work does not change the result.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from accelerate import Accelerator

from tadicodec.data.batches import BatchConfig
from tadicodec.train.loop import Data, LoopConfig, Trainer
from tadicodec.train.recipe import PRECISIONS, DataConfig, assemble
from tadicodec.train.recipe_file import checked, read_recipe
from tadicodec.train.schedules import OptimConfig

RECIPE = Path(__file__).resolve().parents[1] / "recipes" / "codec" / "default.yaml"
# Of all arms: the rate is what it is in the middle of a long run, and averages remember tens of steps, not thousands.
COMMON = ["precision=float32", "optim.warmup=50", "optim.decay=0", "loop.ema=0.98", "loop.valid_batches=8"]
SHAPE = "model.model.tadicodec"
ARMS: dict[str, list[str]] = {  # name -> values instead of the recipe's
    "recipe": [],
    "3 blocks at 50 Hz": [f"{SHAPE}.encoder_num_layers=3", f"{SHAPE}.encoder_conv_layers=0"],
    "3 convolutions, 6 blocks": [f"{SHAPE}.encoder_num_layers=6", f"{SHAPE}.encoder_conv_layers=3"],
    "9 convolutions, no early CTC": [f"{SHAPE}.encoder_conv_layers=9", "objective.early_weight=0"],
    "320 wide, 4 blocks": [
        *(f"{SHAPE}.{size}" for size in ("hidden_size=320", "num_heads=5", "intermediate_size=960")),
        *(f"{SHAPE}.{layers}" for layers in ("encoder_conv_layers=3", "encoder_num_layers=2")),
    ],
    "text dropped from a tenth": ["objective.text_drop=0.1"],
    "CTC 0.2": ["objective.ctc_weight=0.2", "objective.transcript_weight=0.2"],
    "CTC 1": ["objective.ctc_weight=1.0", "objective.transcript_weight=1.0"],
    "no early CTC": ["objective.early_weight=0"],
    "entropy 0.1": ["objective.entropy_weight=0.1"],
    "listening": ["objective.hear_weight=0.2"],
    "no voice losses": ["objective.speaker_weight=0", "objective.voice_weight=0"],
    "mean of the prompt": [f"{SHAPE}.voice_heads=0"],
    "nothing damaged": ["data.damage=0", "data.voices=0"],
    "16 s a step": ["data.frames=800"],
}


def train(recipe: Path, overrides: list[str], out: Path, seconds: float) -> dict[str, float]:
    """Train for so many CPU seconds; steps, hours heard, and every metric of every validation split."""
    document = read_recipe(recipe, overrides)
    loop, optim, data = (
        checked(kind, document.get(section, {}), section)
        for kind, section in ((LoopConfig, "loop"), (OptimConfig, "optim"), (DataConfig, "data"))
    )
    task, speech, valid = assemble(document, data, loop.seed)
    trainer = Trainer(task, out, loop, optim, Accelerator(cpu=True, mixed_precision=PRECISIONS[document["precision"]]))
    batch, began, heard = BatchConfig(data.frames, loop.seed), time.process_time(), 0
    for prepared in trainer.batches(speech, batch):
        trainer.step(prepared)
        heard += int(prepared.batch["lengths"].sum())
        if time.process_time() - began > seconds:
            break
    row = {"steps": trainer.state.step, "hours": round(heard / 50 / 3600, 2)}
    return row | {
        key: value for name, split in valid.items() for key, value in score(trainer, name, split, batch).items()
    }


def score(trainer: Trainer, name: str, split: Data, batch: BatchConfig) -> dict[str, float]:
    return {f"{name}/{key}": round(float(value), 4) for key, value in trainer.validate(split, batch).items()}


def main(given: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("features", type=Path, help="made by `tadicodec prepare`")
    parser.add_argument("--minutes", type=float, default=20.0, help="CPU minutes of training an arm")
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), metavar="NAME", help="(all, if no --arm is given)")
    parser.add_argument("--arm", nargs="+", action="append", default=[], metavar=("NAME", "KEY=VALUE"), help="another")
    parser.add_argument("--all", nargs="+", default=[], metavar="KEY=VALUE", help="of every arm, as precision=bf16")
    parser.add_argument("--recipe", type=Path, default=RECIPE)
    parser.add_argument("--out", type=Path, required=True, help="JSON lines, one an arm")
    arguments = parser.parse_args(given)
    torch.set_num_threads(1)
    given_arms = {name: values for name, *values in arguments.arm}
    named = arguments.arms or ([] if given_arms else list(ARMS))
    for name, values in {**{name: ARMS[name] for name in named}, **given_arms}.items():
        overrides = [f"data.features={arguments.features}", *COMMON, *arguments.all, *values]
        row = {"arm": name, **train(arguments.recipe, overrides, arguments.out.parent, 60 * arguments.minutes)}
        print(json.dumps(row), flush=True)
        with arguments.out.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
