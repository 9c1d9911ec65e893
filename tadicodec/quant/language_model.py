"""A speech language model in, the same model in integers out, in memory and on disk."""

from __future__ import annotations

import copy
from dataclasses import asdict, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tadicodec.checkpoint import save_model
from tadicodec.errors import InputError
from tadicodec.integers.layout import count_weights, describe
from tadicodec.integers.packed_linear import SCALES, PackedLinear
from tadicodec.quant.codec_quantizer import round_the_rest, stored_tensors
from tadicodec.quant.conversion import check_fit, convert, prepare
from tadicodec.quant.job import SMALL_GROUP
from tadicodec.quant.methods import find_method
from tadicodec.quant.quant_settings import QuantConfig
from tadicodec.tts.autoregressive import ExtendedLM, SpeechLM
from tadicodec.tts.cache import CacheFormat
from tadicodec.tts.llama import Llama
from tadicodec.tts.model_config import HF_SECTION, TtsConfig

# Blocks at the wanted bits, other matrices in 8. What says how long text takes is tiny and decides every length, and an
# output matrix that is also the table of inputs has to stay a table.
BLOCKS, OTHERS, KEEP = ("*_proj",), 8, ("duration*", "*lm_head")


def language_job(sections: dict[str, dict[str, Any]], config: TtsConfig, network: nn.Module) -> QuantConfig:
    """What becomes of a speech language model's layers, from a recipe's section `quantization`.

    Raises:
        InputError: a model that is quantized already, a value out of range, a method that trains, or layers that the
            network does not have.
    """
    if config.quantization:
        raise InputError("this model is quantized already; start from the float model")
    given = sections.get("quantization", {})
    if sections.get("vocoder"):
        raise InputError("quantization: a speech language model has no vocoder; leave that section out")
    if find_method(given.get("method", QuantConfig.method)).trains:
        raise InputError(
            f"quantization: {given['method']} trains codecs; a speech language model is rounded without training "
            "(--method glm)"
        )
    names = [name for name, _ in network.named_modules()]
    keep = [pattern for pattern in KEEP if any(fnmatchcase(name, pattern) for name in names)]
    wanted = {"layers": list(BLOCKS), "other_bits": OTHERS, "keep": keep, **given}
    if wanted.get("bits") in range(2, 8):
        wanted.setdefault("group", SMALL_GROUP)
    job = QuantConfig.from_dict(wanted)
    check_fit(network, job)
    return job


def quantize_language_model(
    config: TtsConfig, network: nn.Module, job: QuantConfig, cache: CacheFormat = CacheFormat()
) -> tuple[TtsConfig, nn.Module]:
    """A quantized copy of a loaded speech language model, with the configuration that describes it.

    cache: how it keeps keys and values while it speaks, for autoregressive models.

    Raises:
        InputError: the model cannot keep keys and values in that way.
    """
    result = copy.deepcopy(network)
    prepare(result, job, torch.Generator().manual_seed(0))
    round_the_rest(convert(result), SCALES[job.scale])
    section: dict[str, Any] = {"method": job.method, "bits": job.bits, "group": job.group, "model": describe(result)}
    if cache.bits:
        section["cache"] = asdict(cache)
    made = replace(config, quantization=section)
    if isinstance(result, SpeechLM) and isinstance(result.lm, Llama):
        result.lm.cache = made.cache
    return made, result


def save_language_model(
    folder: Path | str,
    config: TtsConfig,
    network: nn.Module,
    job: QuantConfig,
    *,
    tokenizer: Path | None = None,
    overwrite: bool = False,
) -> None:
    """Write a folder that `Speaker.from_pretrained` loads. tokenizer: a folder whose tokenizer goes along, for models
    that read chat messages.

    Raises:
        InputError: the folder exists (without overwrite) or cannot be written.
    """
    weights = {"model.safetensors": stored_tensors(network, SCALES[job.scale])}
    described: Any = Transformers(config, network.lm) if isinstance(network, ExtendedLM) else config
    save_model(Path(folder), described, weights, tokenizer=tokenizer, overwrite=overwrite)


class Transformers:
    """The config.json of a model in transformers' layout, with this package's section."""

    def __init__(self, config: TtsConfig, lm: Any) -> None:
        self.config, self.lm = config, lm

    def to_dict(self) -> dict[str, Any]:
        """transformers' own configuration, and what this package adds under its name."""
        ours = self.config.to_dict()
        kept = ("codec", "codec_name", "text", "name", "sampling", "decoding", "quantization")
        return {**self.lm.config.to_dict(), HF_SECTION: {key: ours[key] for key in kept}}


def language_size(network: nn.Module, job: QuantConfig) -> dict[str, Any]:
    """Bytes of a quantized network in float32, bytes as stored, their ratio, and how many layers are packed."""
    whole = 4 * count_weights(network)
    own = sum(tensor.nbytes for tensor in stored_tensors(network, SCALES[job.scale]).values())
    layers = sum(isinstance(layer, PackedLinear) for layer in network.modules())
    return {"float32_bytes": whole, "bytes": own, "share": round(own / whole, 4), "layers": layers}
