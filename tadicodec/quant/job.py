"""`tadicodec quantize`: a codec in, the same codec in integers out."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from tadicodec.checkpoint import check_replaceable, save_model
from tadicodec.codec import Codec
from tadicodec.errors import InputError
from tadicodec.integers.layout import count_weights, describe
from tadicodec.integers.lookup import tabulate
from tadicodec.integers.packed_linear import SCALES, PackedLinear
from tadicodec.model.decoder import time_embedding
from tadicodec.model.flow import evaluation_times
from tadicodec.quant.conversion import check_fit, convert, prepare
from tadicodec.quant.recipe import QuantConfig, TuneConfig

if TYPE_CHECKING:
    from tadicodec.data.features import Features

# Blocks at the wanted bits, every other matrix in 8, and what touches the codes themselves as it is.
CODEC = {"layers": ["*_proj"], "other_bits": 8, "keep": ["vq_*"]}
VOCODER = {"bits": 8, "keep": ["head.*"]}
SMALL_GROUP = 32  # below 8 bits one scale a row is coarse
# Where a method starts from, if not told otherwise: quantization and tuning, as in recipes/quant.
STARTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "lr_qat": ({"bits": 4, "rank": 16}, {"lr": 1e-3, "scale_lr": 1e-5}),
    "l4q": ({"bits": 4, "rank": 4}, {"lr": 5e-4, "scale_lr": 1e-5, "weight_decay": 0.01}),
    "teacher_intervention": (
        {"bits": 2, "activation": {"bits": 8, "symmetric": True}},
        {"lr": 3e-4, "weight_decay": 0.01, "intervene": 120},
    ),
    "zero_qat": ({"bits": 4, "variant": "scales"}, {"lr": 3e-2}),
    "roste": ({"bits": 4, "group": 0, "activation": {"bits": 4, "clip": 0.95, "floor": True}}, {"lr": 1e-4}),
}


@dataclass(frozen=True)
class Job:
    """What to do to the codec's network and to its vocoder, and how to train."""

    model: QuantConfig
    vocoder: QuantConfig
    tune: TuneConfig
    tabulate: bool = False  # time gains for the model's own solver settings only

    @classmethod
    def from_sections(cls, sections: dict[str, dict[str, Any]], *, tabulate: bool = False) -> Job:
        """From a recipe's sections; what they do not say is where the method starts from. Raises InputError."""
        given = sections.get("quantization", {})
        start, tuning = STARTS.get(str(given.get("method")), ({}, {}))
        wanted = {**CODEC, **start, **given}
        if wanted.get("bits") in range(2, 8):
            wanted.setdefault("group", SMALL_GROUP)
        vocoder = QuantConfig.from_dict({**VOCODER, **sections.get("vocoder", {})})
        if vocoder.method != "glm":
            raise InputError("quantization: the vocoder is rounded after training (method glm)")
        tune = TuneConfig.from_dict({**tuning, **sections.get("tuning", {})})
        if wanted.get("method") == "teacher_intervention" and tune.loss != "imitate":
            raise InputError("tuning: teacher_intervention learns from its teacher; use loss: imitate")
        return cls(QuantConfig.from_dict(wanted), vocoder, tune, tabulate)

    @property
    def trains(self) -> bool:
        return self.model.method != "glm"


def quantize_codec(codec: Codec, job: Job, features: Features | None = None, *, progress: bool = False) -> Codec:
    """A quantized copy of a codec; a vocoder that is stored in integers already stays as it is.

    Raises:
        InputError: the codec is quantized already, a layer does not fit, or the method trains and has no features.
    """
    check_codec(codec, job)
    if job.trains and features is None:
        raise InputError(f"{job.model.method} trains: give it a manifest or prepared features with --data")
    generator = torch.Generator().manual_seed(job.tune.seed)
    model, vocoder = copy.deepcopy(codec.model), copy.deepcopy(codec.vocoder)
    if job.trains:
        from tadicodec.quant.codec_tuning import tune_codec

        tune_codec(codec, model, job, features, generator, progress=progress)
    else:
        prepare(model, job.model, generator)
    if not codec.config.quantization.get("vocoder"):
        prepare(vocoder, job.vocoder, generator)
    for network, scale in ((model, job.model.scale), (vocoder, job.vocoder.scale)):
        round_the_rest(convert(network), SCALES[scale])
    if job.tabulate:
        tabulate_times(codec, model, SCALES[job.model.scale])
    section = {
        "method": job.model.method,
        "bits": job.model.bits,
        "group": job.model.group,
        "model": describe(model),
        "vocoder": describe(vocoder),
    }
    result = Codec(replace(codec.config, quantization=section), model, vocoder, codec.tokenizer)
    result.folder = codec.folder
    return result.to(codec.device, codec.dtype)


def check_codec(codec: Codec, job: Job) -> None:
    """Before anything long is computed: raise InputError for a codec that this job does not fit."""
    if codec.config.quantization.get("model"):
        raise InputError("this model is quantized already; start from the float model")
    check_fit(codec.model, job.model)
    if not codec.config.quantization.get("vocoder"):
        check_fit(codec.vocoder, job.vocoder)


def tabulate_times(codec: Codec, model: nn.Module, dtype: torch.dtype) -> None:
    """Time network and time gains of a copy of the codec's network, for the times its own solver visits."""
    times = torch.tensor(sorted(set(evaluation_times(codec.limits.solver()))), device=codec.device)
    source, size = "decoder.diff_step_mlp", codec.config.autoencoder.hidden_size
    readers = [name for name, _ in model.named_modules() if fnmatchcase(name, "decoder.*to_weight")]
    tabulate(model, source, readers, time_embedding(times, size), dtype, codec.model)


@torch.no_grad()
def round_the_rest(network: nn.Module, dtype: torch.dtype) -> None:
    """Parameters that stay floating take the values they will have on disk."""
    for parameter in network.parameters():
        parameter.copy_(parameter.to(dtype))


def save_quantized(codec: Codec, folder: Path | str, job: Job, *, overwrite: bool = False) -> None:
    """Write the folder: integers, their scales as trained, and everything else in the scales' precision.

    Raises:
        InputError: the folder exists (without overwrite) or cannot be written.
    """
    weights = {
        "model.safetensors": small(codec.model, SCALES[job.model.scale]),
        "vocoder/model.safetensors": small(codec.vocoder, SCALES[job.vocoder.scale]),
    }
    tokenizer = None if codec.folder is None else codec.folder / "text_tokenizer"
    tokenizer = tokenizer if tokenizer is not None and tokenizer.is_dir() else None
    save_model(Path(folder), codec.config, weights, tokenizer=tokenizer, overwrite=overwrite)


def small(network: nn.Module, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    tensors = network.state_dict()
    for name, _ in network.named_parameters():
        tensors[name] = tensors[name].to(dtype)
    return tensors


def sizes(before: Codec, after: Codec, job: Job) -> dict[str, Any]:
    """Bytes of the weights on disk, and of float32's."""
    found = {}
    for name, dtype in (("model", job.model.scale), ("vocoder", job.vocoder.scale)):
        whole = 4 * count_weights(getattr(before, name))
        own = sum(t.nbytes for t in small(getattr(after, name), SCALES[dtype]).values())
        layers = sum(isinstance(layer, PackedLinear) for layer in getattr(after, name).modules())
        found[name] = {"float32_bytes": whole, "bytes": own, "share": round(own / whole, 4), "layers": layers}
    return found


def check_destination(folder: Path | str, overwrite: bool) -> None:
    """Before anything long is computed. Raises InputError."""
    check_replaceable(Path(folder).resolve(), overwrite)
