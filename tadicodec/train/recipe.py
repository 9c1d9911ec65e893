"""A recipe is a YAML file: what to train, on what, and how. `run_recipe` builds the pieces and hands them to the loop."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tadicodec.config import CodecConfig, build
from tadicodec.data.batches import BatchConfig
from tadicodec.errors import InputError
from tadicodec.train.loop import Data, LoopConfig, Trainer
from tadicodec.train.schedules import OptimConfig
from tadicodec.train.state import TrainState
from tadicodec.train.task import Task

SECTIONS = ("task", "out", "data", "model", "objective", "optim", "loop", "init")


@dataclass(frozen=True)
class DataConfig:
    features: str = ""  # folder made by `tadicodec prepare`
    frames: int = 2400  # padded mel frames a step and process
    min_frames: int = 40
    max_frames: int = 1600
    crop_frames: int = 64  # vocoder: frames of a crop; a batch holds frames / crop_frames crops
    train_split: str = "train"
    valid_split: str = "valid"


def run_recipe(path: Path | str, overrides: list[str], progress: bool = True) -> TrainState:
    """Train what a recipe describes; `overrides` are "section.key=value" strings.

    Raises:
        InputError: unknown keys, unreadable files, or values out of range.
    """
    from accelerate import Accelerator

    document = read_recipe(Path(path), overrides)
    loop = checked(LoopConfig, document.get("loop", {}), "loop")
    optim = checked(OptimConfig, document.get("optim", {}), "optim")
    data = checked(DataConfig, document.get("data", {}), "data")
    precision = document.get("precision", "bf16")
    accelerator = Accelerator(mixed_precision="no" if precision == "float32" else precision)
    task, train, valid = assemble(document, data, loop.seed)
    if document.get("init"):
        initialise(task, Path(document["init"]))
    trainer = Trainer(task, Path(document["out"]), loop, optim, accelerator)
    batch = BatchConfig(data.frames, loop.seed, accelerator.process_index, accelerator.num_processes)
    return trainer.run(train, valid, batch, progress=progress)


def assemble(document: dict[str, Any], data: DataConfig, seed: int) -> tuple[Task, Data, Data]:
    """The task and its two splits."""
    import torch

    torch.manual_seed(seed)  # initial weights
    kinds = {"codec": build_codec, "vocoder": build_vocoder}
    if document.get("task") not in kinds:
        raise InputError(f"recipe: task must be one of {', '.join(kinds)}")
    return kinds[document["task"]](document, data)


def build_codec(document: dict[str, Any], data: DataConfig) -> tuple[Task, Data, Data]:
    from tadicodec.data.collate import Collator
    from tadicodec.data.features import Features
    from tadicodec.text.tokens import load_tokenizer
    from tadicodec.train.codec_task import CodecObjective, CodecTask

    config = CodecConfig.from_dict(document["model"])
    tokenizer = load_tokenizer(config, Path(document["model"].get("tokenizer_folder", "")))
    limits = {"min_frames": data.min_frames, "max_frames": min(data.max_frames, data.frames)}
    splits = []
    for split in (data.train_split, data.valid_split):
        features = Features(data.features, split, **limits)
        splits.append(Data([clip.frames for clip in features.clips], Collator(features, tokenizer)))
    objective = checked(CodecObjective, document.get("objective", {}), "objective")
    return CodecTask(config, objective), splits[0], splits[1]


def build_vocoder(document: dict[str, Any], data: DataConfig) -> tuple[Task, Data, Data]:
    from tadicodec.config import MelConfig, VocoderConfig
    from tadicodec.data.collate import CropCollator
    from tadicodec.data.features import Features
    from tadicodec.train.vocoder_task import VocoderObjective, VocoderTask

    mel = build(MelConfig, document["model"].get("preprocess", {}))
    config = build(VocoderConfig, document["model"]["model"]["vocos"])
    splits = []
    for split in (data.train_split, data.valid_split):
        features = Features(data.features, split, min_frames=data.crop_frames)
        collate = CropCollator(features, data.crop_frames, mel.hop_size)
        splits.append(Data([data.crop_frames] * len(features), collate))
    objective = checked(VocoderObjective, document.get("objective", {}), "objective")
    return VocoderTask(config, mel, objective), splits[0], splits[1]


def initialise(task: Task, checkpoint: Path) -> None:
    """Start from another run's averaged weights (a checkpoint folder) with a fresh optimiser.

    Heads that this objective does not train may be left over; nothing of the network may be missing.
    """
    from safetensors.torch import load_file

    file = checkpoint / "average.safetensors"
    if not file.is_file():
        raise InputError(f"init: {checkpoint} is not a checkpoint folder (no average.safetensors)")
    network, tensors = task.networks[task.ema], load_file(file)
    try:
        missing = network.load_state_dict(tensors, strict=False).missing_keys
    except RuntimeError as error:
        raise InputError(f"init: {checkpoint} does not fit the model: {str(error).splitlines()[-1]}") from error
    if missing:
        raise InputError(f"init: {checkpoint} does not fit the model: it lacks {missing[0]}")


def read_recipe(path: Path, overrides: list[str]) -> dict[str, Any]:
    if not path.is_file():
        raise InputError(f"{path}: no such recipe; see recipes/ for the ones that come with the project")
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise InputError(f"{path}: not valid YAML: {str(error).splitlines()[0]}") from error
    if not isinstance(document, dict):
        raise InputError(f"{path}: not a recipe (a mapping with the keys {', '.join(SECTIONS)})")
    for override in overrides:
        override_key(document, override)
    unknown = set(document) - {*SECTIONS, "precision"}
    if unknown:
        raise InputError(f"{path}: unknown section {sorted(unknown)[0]!r}; there are {', '.join(SECTIONS)}, precision")
    for needed in ("task", "out", "model"):
        if needed not in document:
            raise InputError(f"{path}: section {needed!r} is missing")
    return document


def override_key(document: dict[str, Any], override: str) -> None:
    """Apply "a.b.c=value"; the value is read as YAML."""
    keys, separator, value = override.partition("=")
    if not separator:
        raise InputError(f"{override!r}: overrides have the form section.key=value")
    *parents, last = keys.split(".")
    place = document
    for key in parents:
        place = place.setdefault(key, {})
        if not isinstance(place, dict):
            raise InputError(f"{override!r}: {key!r} is not a section")
    place[last] = yaml.safe_load(value)


def checked(kind: type, values: dict[str, Any], section: str) -> Any:
    """A config dataclass of a recipe section; unlike a published config.json, a recipe may not hold unknown keys."""
    unknown = set(values) - set(kind.__dataclass_fields__)
    if unknown:
        known = ", ".join(kind.__dataclass_fields__)
        raise InputError(f"recipe: {section} has no {sorted(unknown)[0]!r}; it has {known}")
    return build(kind, values)
