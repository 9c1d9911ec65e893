"""A recipe is a YAML file: what to train, on what, and how. `run_recipe` builds all that and hands it to the loop."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from torch import nn

from tadicodec.config import CodecConfig, MelConfig
from tadicodec.data.batches import BatchConfig
from tadicodec.errors import InputError, reason
from tadicodec.guards.fields import build, require_range
from tadicodec.train.loop import Data, LoopConfig, Trainer
from tadicodec.train.recipe_file import PRECISIONS, checked, read_recipe
from tadicodec.train.schedules import OptimConfig
from tadicodec.train.state import TrainState
from tadicodec.train.task import Task

if TYPE_CHECKING:
    from tadicodec.text.tokens import TextTokenizer
    from tadicodec.train.codec_objective import CodecObjective

Assembled = tuple[Task, Data, Mapping[str, Data]]  # with the validation splits by the name they are logged under

SPEAKERS = ("tts_ar", "tts_masked")


@dataclass(frozen=True)
class DataConfig:
    """The `data` section of codecs and vocoders.

    Raises:
        InputError: a value out of range.
    """

    features: str = ""  # folder made by `tadicodec prepare`
    frames: int = 2400  # padded mel frames a step and process
    min_frames: int = 40
    max_frames: int = 1600
    crop_frames: int = 64  # vocoder: frames of a crop; a batch holds frames / crop_frames crops
    train_split: str = "train"
    valid_split: str = "valid"
    bare_text: float = 0.0  # codec: probability that a training text comes without punctuation
    damage: float = 0.0  # codec: probability that the encoder hears a training clip damaged (data/damage.py)
    voices: float = 0.0  # codec: probability that a training clip is played faster and higher or slower and lower
    masks: float = 0.0  # codec: probability that the encoder hears a training clip with gaps in time and frequency
    shares: dict[str, float] = field(default_factory=dict)  # codec, vocoder: of the time, by source (data/balance.py)

    def __post_init__(self) -> None:
        require_range("data", self, 1, math.inf, "frames", "min_frames", "max_frames", "crop_frames")
        require_range("data", self, 0, 1, "bare_text", "damage", "voices", "masks")


def run_recipe(path: Path | str, overrides: list[str], progress: bool = True, model: str | None = None) -> TrainState:
    """Train what a recipe describes; `overrides` are "section.key=value" strings. model: the codec to train with, as
    `carry_model` says.

    Raises:
        InputError: unknown keys, unreadable files, values out of range, or tokens of another codec than `model`.
    """
    from accelerate import Accelerator

    document = read_recipe(Path(path), overrides)
    if model is not None:
        carry_model(document, model)
    loop = checked(LoopConfig, document.get("loop", {}), "loop")
    optim = checked(OptimConfig, document.get("optim", {}), "optim")
    data = checked(data_kind(document), document.get("data", {}), "data")
    accelerator = Accelerator(mixed_precision=PRECISIONS[document.get("precision", "bf16")])
    task, train, valid = assemble(document, data, loop.seed)
    trainer = Trainer(task, Path(document["out"]), loop, optim, accelerator)
    batch = BatchConfig(data.frames, loop.seed, accelerator.process_index, accelerator.num_processes)
    return trainer.run(train, valid, batch, progress=progress)


def carry_model(document: dict[str, Any], model: str) -> None:
    """Put a codec where a task has its place for one.

    A speech language model speaks its codes, few_step makes it faster, and the codec task starts from it. Raises
    InputError for a task without such a place, and where the recipe names another codec.
    """
    task = document["task"]
    section, key = {"few_step": (document["model"], "pretrained"), "codec": (document, "init")}.get(task, (None, ""))
    if task in SPEAKERS:
        from tadicodec.codec import Codec

        codec = Codec.from_pretrained(model)
        section, key, model = document["model"], "codec", codec.weights
    if section is None:
        raise InputError(f"--model is the codec of a speech language model, of few_step or of codec, not of {task}")
    if section.get(key) not in (None, "", model):
        raise InputError(f"--model is {model}, but the recipe names {section[key]} as its {key}; leave one of them out")
    section[key] = model


def data_kind(document: dict[str, Any]) -> type:
    """The class of the `data` section of a task: features for codecs, codes for language models."""
    if document["task"] not in SPEAKERS:
        return DataConfig
    from tadicodec.data.token_batches import TokenData

    return TokenData


def assemble(document: dict[str, Any], data: Any, seed: int) -> Assembled:
    """The task of a recipe, with the weights that it starts from, and its splits. Raises InputError."""
    import torch

    torch.manual_seed(seed)  # initial weights
    kinds = {
        "codec": build_codec,
        "few_step": build_few_step,
        "vocoder": build_vocoder,
        "tts_ar": build_tts,
        "tts_masked": build_tts,
    }
    if document.get("task") not in kinds:
        raise InputError(f"recipe: task must be one of {', '.join(kinds)}")
    task, train, valid = kinds[document["task"]](document, data)
    if document.get("init"):
        initialise(task, str(document["init"]))
    return task, train, valid


def build_codec(document: dict[str, Any], data: DataConfig) -> Assembled:
    """The task that trains a codec, and its splits. Raises InputError."""
    from tadicodec.text.tokens import load_tokenizer
    from tadicodec.train.codec_objective import CodecObjective
    from tadicodec.train.codec_task import CodecTask

    config = CodecConfig.from_dict(document["model"])
    objective = checked(CodecObjective, document.get("objective", {}), "objective")
    tokenizer = load_tokenizer(config, Path(document["model"].get("tokenizer_folder", "")))
    check_text(config, objective, tokenizer)
    if objective.part == "decoder":
        check_remembered(data)
    return CodecTask(config, objective), *speech_splits(data, tokenizer, config.mel)


def build_few_step(document: dict[str, Any], data: DataConfig) -> Assembled:
    """The task that makes a codec's decoder faster, and its splits. Raises InputError."""
    from tadicodec.codec import Codec
    from tadicodec.train.few_step_task import FewStepObjective, FewStepTask

    model = document["model"]
    if set(model) != {"pretrained"} or not isinstance(model["pretrained"], str):
        raise InputError("recipe: model of a few_step task holds one key, pretrained: a folder, an id or bundled")
    teacher = Codec.from_pretrained(model["pretrained"])
    objective = checked(FewStepObjective, document.get("objective", {}), "objective")
    check_remembered(data)
    return FewStepTask(teacher, objective), *speech_splits(data, teacher.tokenizer, teacher.config.mel)


def speech_splits(data: DataConfig, tokenizer: TextTokenizer, mel: MelConfig) -> tuple[Data, dict[str, Data]]:
    """Training and validation of a codec: known voices, unseen ones where there are any (split `valid_unseen`), and the
    known ones damaged in each way where training damages."""
    from tadicodec.data.balance import hearings
    from tadicodec.data.collate import Collator
    from tadicodec.data.damage import KINDS
    from tadicodec.data.features import Features, splits_of
    from tadicodec.data.hearing import Hearing

    def split(name: str, bare: float = 0.0, balanced: bool = False, **heard: Any) -> Data:
        limits = {"min_frames": data.min_frames, "max_frames": min(data.max_frames, data.frames)}
        features = Features(data.features, name, **limits)
        hearing = Hearing(features, mel, **heard) if heard else None
        times = hearings(features.clips, data.shares) if balanced else None
        return Data([clip.frames for clip in features.clips], Collator(features, tokenizer, bare, hearing), times)

    heard = {"voices": data.voices, "damage": data.damage, "masks": data.masks}
    train = split(data.train_split, data.bare_text, bool(data.shares), **heard)
    valid = {"valid": split(data.valid_split)}
    if f"{data.valid_split}_unseen" in splits_of(data.features):
        valid["valid_unseen"] = split(f"{data.valid_split}_unseen")
    if data.damage:
        valid |= {f"valid_{kind}": split(data.valid_split, damage=1.0, kind=kind) for kind in KINDS}
    return train, valid


def check_remembered(data: DataConfig) -> None:
    """Raises InputError where clips would not be what their remembered codes say."""
    if data.voices:
        raise InputError(
            "data: voices makes a clip another at every hearing; codes that rest are computed once: leave it 0"
        )


def build_tts(document: dict[str, Any], data: Any) -> Assembled:
    """The task that trains a speech language model, and its splits. Raises InputError."""
    from tadicodec.train import token_recipe

    build_task = token_recipe.build_ar if document["task"] == "tts_ar" else token_recipe.build_masked
    task, train, valid = build_task(document, data, checked)
    return task, train, {"valid": valid}


def check_text(config: CodecConfig, objective: CodecObjective, tokenizer: TextTokenizer) -> None:
    """Raise InputError where the text side would break after hours, or never learn."""
    rows = config.autoencoder.text_vocab_size
    if tokenizer.vocab_size > rows:
        raise InputError(f"model: text_vocab_size is {rows}, the tokenizer has {tokenizer.vocab_size} ids; raise it")
    if config.autoencoder.aligned and objective.ctc_weight == 0 and objective.part == "all":
        raise InputError("objective: with ctc_weight 0 the aligner would stay untrained; give it a weight such as 0.3")
    if config.autoencoder.transcriber_layers and objective.transcript_weight == 0 and objective.part == "all":
        raise InputError(
            "objective: with transcript_weight 0 the transcriber would stay untrained; 0.2 is a good weight"
        )


def build_vocoder(document: dict[str, Any], data: DataConfig) -> Assembled:
    """The task that trains a vocoder, and its splits. Raises InputError."""
    from tadicodec.config import AutoencoderConfig, VocoderConfig
    from tadicodec.data.balance import hearings
    from tadicodec.data.collate import CropCollator
    from tadicodec.data.features import Features
    from tadicodec.train.vocoder_task import VocoderObjective, VocoderTask

    sections = document["model"].get("model")
    if not isinstance(sections, dict) or "vocos" not in sections:
        raise InputError("recipe: model.model.vocos is missing; it holds the sizes of the vocoder")
    mel = build(MelConfig, document["model"].get("preprocess", {}))
    config = build(VocoderConfig, sections["vocos"])
    bins = AutoencoderConfig(mel_dim=mel.num_mels)
    CodecConfig(mel, bins, config)  # a vocoder that no codec could use is refused here
    splits = []
    for split in (data.train_split, data.valid_split):
        features = Features(data.features, split, min_frames=data.crop_frames)
        crops = [replace(clip, frames=data.crop_frames) for clip in features.clips]
        times = hearings(crops, data.shares) if data.shares and split == data.train_split else None
        collate = CropCollator(features, data.crop_frames, mel.hop_size)
        splits.append(Data([crop.frames for crop in crops], collate, times))
    objective = checked(VocoderObjective, document.get("objective", {}), "objective")
    return VocoderTask(config, mel, objective), splits[0], {"valid": splits[1]}


def initialise(task: Task, name: str) -> None:
    """Start with a fresh optimiser from another run's averaged weights (a checkpoint folder), or from a model: a
    folder, a Hugging Face id, or "bundled".

    Heads that this objective does not train may be left over; nothing of the network may be missing. A model has no
    training-only heads: they start anew.
    """
    from safetensors.torch import load_file

    network, file = task.networks[task.ema], Path(name) / "average.safetensors"
    if not file.is_file():
        if hasattr(network, "network"):  # a speech language model: the learner holds it as it is saved
            from tadicodec.train.token_recipe import start_from_speaker

            return start_from_speaker(cast(Any, task), name)
        return start_from_model(network, name)
    try:
        missing = network.load_state_dict(load_file(file), strict=False).missing_keys
    except RuntimeError as error:
        raise InputError(f"init: {name} does not fit the model: {reason(error)}") from error
    if missing:
        raise InputError(f"init: {name} does not fit the model: it lacks {missing[0]}")


def start_from_model(network: nn.Module, name: str | None) -> None:
    """Fill a network with the weights of a model, packed ones too. Raises InputError where they do not fit."""
    from tadicodec.checkpoint import find_model, load_weights
    from tadicodec.codec import Codec
    from tadicodec.runtime.graph import plain
    from tadicodec.train.codec_network import CodecNetwork

    if isinstance(network, CodecNetwork):
        load_weights(network.codec, find_model(name) / "model.safetensors")
        return
    try:
        network.load_state_dict(plain(Codec.from_pretrained(name).vocoder).state_dict())
    except RuntimeError as error:
        raise InputError(f"init: the vocoder of {name} does not fit the recipe's: {reason(error)}") from error
