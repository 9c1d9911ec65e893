"""Recipes of speech language models: from YAML sections to a task and its token corpora."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import torch

from tadicodec.checkpoint import BUNDLED, find_model, load_weights
from tadicodec.data.shards import TokenCorpus
from tadicodec.data.token_batches import TokenCollator, TokenData
from tadicodec.errors import InputError
from tadicodec.train.ar_task import ArLearner, ArObjective, ArTask
from tadicodec.train.loop import Data
from tadicodec.train.masked_task import MaskedLearner, MaskedObjective, MaskedTask
from tadicodec.train.task import Task
from tadicodec.tts.autoregressive import ArConfig, ExtendedLM, SpeechLM
from tadicodec.tts.folder import HUB_FILES, build_network, find_tts_model, load_causal_lm
from tadicodec.tts.masked import MaskedConfig, MaskedNetwork
from tadicodec.tts.model_config import AR, HF_SECTION, MASKED, TtsConfig, parse_tts_config, read_tts_config
from tadicodec.tts.text_reader import BYTES, ChatReader, TextReader, load_reader, load_tokenizer
from tadicodec.tts.vocabulary import add_codes, tokenizer_vocabulary

MODEL_KEYS = {
    "name",
    "text",
    "tokenizer_folder",
    "codec",
    "codec_name",
    "pretrained",
    "codebook_size",
    "model",
    "sampling",
    "decoding",
}
Check = Callable[[type, dict[str, Any], str], Any]


def build_masked(document: dict[str, Any], data: TokenData, checked: Check) -> tuple[Task, Data, Data]:
    """The task that trains a masked model, and its splits. Raises InputError."""
    config = read_config(document["model"], MASKED)
    shape = cast(MaskedConfig, config.shape)
    folder = Path(document["model"].get("tokenizer_folder", ""))
    reader = load_reader(config.text, folder)
    if reader.vocab_size > shape.phone_vocab_size:
        raise InputError(f"model: phone_vocab_size is below the tokenizer's {reader.vocab_size} ids; raise it")
    objective = checked(MaskedObjective, document.get("objective", {}), "objective")
    in_a_row = not shape.text_layers
    train, valid, config = splits(data, reader, config, shape.cond_codebook_size, in_a_row=in_a_row)
    tokenizer = None if config.text == BYTES else folder
    network = cast(MaskedNetwork, build_network(config))
    return MaskedTask(config, network, objective, tokenizer), train, valid


def build_ar(document: dict[str, Any], data: TokenData, checked: Check) -> tuple[Task, Data, Data]:
    """The task that trains an autoregressive model, and its splits. Raises InputError."""
    objective = checked(ArObjective, document.get("objective", {}), "objective")
    if "pretrained" in document["model"]:
        return build_extended(document["model"], data, objective)
    config = read_config(document["model"], AR)
    reader = load_reader(config.text, Path())
    train, valid, config = splits(data, reader, config, cast(ArConfig, config.shape).codebook_size, in_a_row=True)
    return ArTask(config, cast(SpeechLM, build_network(config)), objective), train, valid


def build_extended(model: dict[str, Any], data: TokenData, objective: ArObjective) -> tuple[Task, Data, Data]:
    """The task that trains a pretrained text model, whose vocabulary is extended by the codes, and its splits. Raises
    InputError."""
    size = model.get("codebook_size", ArConfig.codebook_size)
    if not isinstance(size, int) or size < 2 or size & (size - 1):
        raise InputError("model: codebook_size is a power of two")
    folder = find_model(str(model["pretrained"]), HUB_FILES)
    tokenizer = load_tokenizer(folder)
    add_codes(tokenizer, size)
    lm = load_causal_lm(folder, torch.float32)
    lm.resize_token_embeddings(max(len(tokenizer), lm.get_input_embeddings().num_embeddings))
    known = {key: model[key] for key in ("name", "text", "codec", "sampling", "decoding") if key in model}
    config = parse_tts_config({"model_type": lm.config.model_type, HF_SECTION: known})
    if config.text == BYTES:
        raise InputError("model: a pretrained language model reads chat messages; text is qwen or phi")
    reader = ChatReader(tokenizer, config.text)
    train, valid, config = splits(data, reader, config, size, in_a_row=True)
    return ArTask(config, ExtendedLM(lm, tokenizer_vocabulary(tokenizer)), objective, tokenizer), train, valid


def start_from_speaker(task: ArTask | MaskedTask, name: str) -> None:
    """Begin with the weights of a speech language model: a folder, a hub id, or "bundled", the one of the task's
    engine.

    Raises InputError for one that speaks another codec's codes, which would mean nothing here.
    """
    folder = find_tts_model(name, task.config.engine if name == BUNDLED else None)
    own, other = task.config.codec, read_tts_config(folder / "config.json").codec
    if own and other and own != other:
        raise InputError(f"init: {name} speaks the codes of codec {other}, the corpus holds those of {own}")
    load_weights(cast(ArLearner | MaskedLearner, task.networks[task.ema]).network, folder / "model.safetensors")


def read_config(model: dict[str, Any], engine: str) -> TtsConfig:
    """The `model` section: what config.json of an exported model will hold."""
    unknown = set(model) - MODEL_KEYS
    if unknown:
        raise InputError(f"recipe: model has no {min(unknown)!r}; it has {', '.join(sorted(MODEL_KEYS))}")
    if not isinstance(model.get("model"), dict):
        raise InputError("recipe: model.model is missing; it holds the sizes of the network")
    try:
        config = parse_tts_config({"text": BYTES, **model, "engine": engine})
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"recipe: model is not a configuration of a language model: {error!r}") from error
    if config.engine != engine or config.shape is None:
        raise InputError(f"recipe: model.model is not the configuration of this task's engine ({engine})")
    return config


def splits(
    data: TokenData, reader: TextReader, config: TtsConfig, codebook_size: int, *, in_a_row: bool
) -> tuple[Data, Data, TtsConfig]:
    """Training and validation, and the configuration with the codec that made the codes.

    in_a_row: text counts in the size of a batch. Raises InputError for a corpus of another codec than the
    configuration's.
    """
    found = []
    for split in (data.train_split, data.valid_split):
        corpus = TokenCorpus(data.corpus, split, min_tokens=data.min_tokens, max_tokens=data.max_tokens)
        if corpus.top_code() >= codebook_size:
            raise InputError(f"{data.corpus}: holds code {corpus.top_code()}, the model has {codebook_size}")
        collate = TokenCollator(corpus, reader, config, data)
        found.append(Data(lengths_of(corpus, collate, data, in_a_row), collate))
    if config.codec and config.codec != corpus.codec:
        raise InputError(
            f"{data.corpus}: codes of codec {corpus.codec_name or 'unknown'} ({corpus.codec}), not of {config.codec}; "
            "tokenize with the --model that this training names"
        )
    return found[0], found[1], replace(config, codec=corpus.codec, codec_name=corpus.codec_name)


def lengths_of(corpus: TokenCorpus, collate: TokenCollator, data: TokenData, in_a_row: bool) -> list[int]:
    """The most places that each utterance takes in a batch, with another one before it."""
    own = [tokens + (collate.text_length(i) if in_a_row else 0) for i, tokens in enumerate(corpus.tokens)]
    if not data.pair:
        return own
    before = max((own[i] for i, tokens in enumerate(corpus.tokens) if tokens <= data.pair_tokens), default=0)
    return [length + before for length in own]
