"""A codec in, the same codec in integers out, in memory and on disk."""

from __future__ import annotations

import copy
from dataclasses import replace
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
from tadicodec.quant.codec_tuning import tune_codec
from tadicodec.quant.conversion import check_fit, convert, prepare
from tadicodec.quant.job import Job

if TYPE_CHECKING:
    from tadicodec.data.features import Features


def quantize_codec(codec: Codec, job: Job, features: Features | None = None, *, progress: bool = False) -> Codec:
    """A quantized copy of a codec, on the same device. A vocoder that is stored in integers already stays as it is.

    features: prepared speech, which methods that train learn from.

    Raises:
        InputError: the codec is quantized already, a layer does not fit, or the method trains and has no features.
    """
    check_codec(codec, job)
    generator = torch.Generator().manual_seed(job.tune.seed)
    model, vocoder = copy.deepcopy(codec.model), copy.deepcopy(codec.vocoder)
    if job.method.trains:
        if features is None:
            raise InputError(f"{job.model.method} trains: give it a manifest or prepared features with --data")
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
    """Raise InputError for a codec that this job does not fit. Call it before training, which takes long."""
    if codec.config.quantization.get("model"):
        raise InputError("this model is quantized already; start from the float model")
    check_fit(codec.model, job.model)
    if not codec.config.quantization.get("vocoder"):
        check_fit(codec.vocoder, job.vocoder)


def tabulate_times(codec: Codec, model: nn.Module, dtype: torch.dtype) -> None:
    """Replace the time network and the time gains of `model`, a copy of the codec's network, by tables for the times
    that the codec's own solver visits."""
    times = torch.tensor(sorted(set(evaluation_times(codec.limits.solver()))), device=codec.device)
    source, size = "decoder.diff_step_mlp", codec.config.autoencoder.hidden_size
    readers = [name for name, _ in model.named_modules() if fnmatchcase(name, "decoder.*to_weight")]
    tabulate(model, source, readers, time_embedding(times, size), dtype, codec.model)


@torch.no_grad()
def round_the_rest(network: nn.Module, dtype: torch.dtype) -> None:
    """Give parameters that stay floating the values that they will have on disk, in place."""
    for parameter in network.parameters():
        parameter.copy_(parameter.to(dtype))


def save_quantized(codec: Codec, folder: Path | str, job: Job, *, overwrite: bool = False) -> None:
    """Write a model folder: integers, their scales as trained, and everything else in the precision of the scales.

    Raises:
        InputError: the folder exists (without overwrite) or cannot be written.
    """
    weights = {
        "model.safetensors": stored_tensors(codec.model, SCALES[job.model.scale]),
        "vocoder/model.safetensors": stored_tensors(codec.vocoder, SCALES[job.vocoder.scale]),
    }
    tokenizer = None if codec.folder is None else codec.folder / "text_tokenizer"
    save_model(Path(folder), codec.config, weights, tokenizer=tokenizer, overwrite=overwrite)


def stored_tensors(network: nn.Module, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """A network's tensors by name, with its parameters in `dtype`."""
    tensors = network.state_dict()
    for name, _ in network.named_parameters():
        tensors[name] = tensors[name].to(dtype)
    return tensors


def sizes(before: Codec, after: Codec, job: Job) -> dict[str, Any]:
    """For the network and for the vocoder: bytes of the weights in float32, bytes as stored, their ratio, and how many
    layers are packed."""
    found = {}
    for name, dtype in (("model", job.model.scale), ("vocoder", job.vocoder.scale)):
        whole = 4 * count_weights(getattr(before, name))
        own = sum(t.nbytes for t in stored_tensors(getattr(after, name), SCALES[dtype]).values())
        layers = sum(isinstance(layer, PackedLinear) for layer in getattr(after, name).modules())
        found[name] = {"float32_bytes": whole, "bytes": own, "share": round(own / whole, 4), "layers": layers}
    return found


def check_destination(folder: Path | str, overwrite: bool) -> None:
    """Raise InputError for a folder that may not be written. Call it before training, which takes long."""
    check_replaceable(Path(folder).resolve(), overwrite)
