"""Folders of speech language models: finding, loading (strictly) and saving."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tadicodec.checkpoint import (
    BUNDLED,
    check_numbers,
    find_model,
    load_weights,
    replaced,
    save_model,
    to_dtype,
    unfilled,
)
from tadicodec.errors import InputError
from tadicodec.guards import arguments
from tadicodec.guards.pretrained import build_empty, load_network, load_pretrained
from tadicodec.integers.layout import restore, to_precision
from tadicodec.outputs import writing
from tadicodec.tts.autoregressive import ArConfig, ExtendedLM, SpeechLM
from tadicodec.tts.llama import Llama
from tadicodec.tts.masked import MaskedNetwork
from tadicodec.tts.model_config import ENGINES, HF_SECTION, MASKED, TtsConfig, read_tts_config
from tadicodec.tts.text_reader import load_tokenizer
from tadicodec.tts.vocabulary import tokenizer_vocabulary

DEFAULT_ENGINE = MASKED
HUB_FILES = ("*.json", "*.safetensors", "*.model", "*.txt", "*.jinja")


def find_tts_model(name: str | os.PathLike | None, engine: str | None) -> Path:
    """The folder of a model: None is the bundled one of this engine, otherwise a folder or a Hugging Face id.

    Raises:
        InputError: no such model.
    """
    if engine is not None and (not isinstance(engine, str) or engine not in ENGINES):
        raise InputError(f"engine {arguments.described(engine)}: there are {' and '.join(ENGINES)}")
    if name is not None and not (isinstance(name, str) and name == BUNDLED):
        return find_model(name, HUB_FILES)
    engine = engine or DEFAULT_ENGINE
    folder = arguments.packaged("tts", "assets", engine)
    if not (folder / "config.json").is_file():
        raise InputError(f"no {engine} model is bundled; give one with --tts-model (a folder or id)")
    return folder


def load_tts(folder: Path, dtype: torch.dtype = torch.float32) -> tuple[TtsConfig, nn.Module]:
    """Configuration and network (MaskedNetwork, SpeechLM or ExtendedLM) of a folder, in evaluation mode.

    Raises:
        InputError: files that do not fit together.
    """
    config = read_tts_config(folder / "config.json")
    if config.shape is None:
        return config, load_transformers(folder, dtype, config.quantization.get("model", []))
    with unfilled():
        network = restore(build_network(config, inference=True), config.quantization.get("model", []))
    load_weights(network, folder / "model.safetensors")
    return config, to_precision(network, dtype).eval().requires_grad_(False)


def build_network(config: TtsConfig, inference: bool = False) -> nn.Module:
    """A network of our own layout, or the published masked model's, with random weights. inference: see `SpeechLM`."""
    if isinstance(config.shape, ArConfig):
        network = SpeechLM(config.shape, inference)
        if isinstance(network.lm, Llama):
            network.lm.cache = config.cache
        return network
    assert config.shape is not None  # models in transformers' layout do not come here
    return MaskedNetwork(config.shape)


def load_transformers(folder: Path, dtype: torch.dtype, packed: list[dict[str, Any]]) -> ExtendedLM:
    """A causal language model whose tokenizer names codes, as the published ones are. Runs no code of the folder.

    packed: which of its layers are stored as integers.

    Raises:
        InputError: files that do not fit together.
    """
    place = folder / "text_tokenizer"
    vocabulary = tokenizer_vocabulary(load_tokenizer(place if place.is_dir() else folder))
    if packed:
        with unfilled():
            network = restore(ExtendedLM(empty_causal_lm(folder), vocabulary), packed)
        load_weights(network, folder / "model.safetensors")
        return to_precision(network, dtype).eval().requires_grad_(False)
    lm = load_causal_lm(folder, dtype)
    rows = lm.get_input_embeddings().num_embeddings
    if vocabulary.size > rows:
        raise InputError(f"{folder}: the tokenizer has ids up to {vocabulary.size - 1}, the model {rows} rows")
    return ExtendedLM(lm.eval().requires_grad_(False), vocabulary)


def empty_causal_lm(folder: Path) -> Any:
    """The causal language model of a folder's configuration, without its weights. Raises InputError."""
    return build_empty("AutoModelForCausalLM", load_pretrained("AutoConfig", folder), dtype=torch.float32)


def load_causal_lm(folder: Path, dtype: torch.dtype) -> Any:
    """A causal language model in transformers' layout. Raises InputError unless its weights are safetensors and
    complete."""
    lm, found = load_network("AutoModelForCausalLM", folder, dtype=dtype)
    lacking = sorted(found["missing_keys"]) + sorted(found["unexpected_keys"])
    if lacking:
        raise InputError(f"{folder}: {lacking[0]} is missing from the weights or not part of the model")
    check_numbers(lm.state_dict(), folder)
    return lm


def save_tts(
    folder: Path,
    config: TtsConfig,
    network: nn.Module,
    *,
    tokenizer: Path | None = None,
    dtype: torch.dtype | None = None,
    overwrite: bool = False,
) -> None:
    """Write config.json, model.safetensors and, for models that read chat messages, text_tokenizer/ (a copy of the
    folder `tokenizer`).

    Raises:
        InputError: the folder exists (without overwrite) or cannot be written.
    """
    tensors = to_dtype(network.state_dict(), dtype or torch.float32)
    save_model(folder, config, {"model.safetensors": tensors}, tokenizer=tokenizer, overwrite=overwrite)


def save_transformers(folder: Path, config: TtsConfig, lm: Any, tokenizer: Any) -> None:
    """Write a causal LM with its tokenizer in transformers' layout, replacing what the same run wrote before."""
    from transformers import GenerationConfig

    folder = Path(folder).resolve()
    with writing(folder), replaced(folder) as draft:
        ours = config.to_dict()
        kept = ("codec", "codec_name", "text", "name", "sampling", "decoding")
        setattr(lm.config, HF_SECTION, {key: ours[key] for key in kept})
        lm.generation_config = GenerationConfig()  # our own sampling decides, not the base model's
        lm.save_pretrained(str(draft))
        tokenizer.save_pretrained(str(draft))
