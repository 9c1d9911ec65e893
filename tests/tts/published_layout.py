"""Tiny random models in the layout of the published autoregressive ones: a transformers folder with its tokenizer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from tadicodec.tts.vocabulary import CODE, END, START


def tokenizer(codes: int, *, end: bool = True) -> Any:
    """Bytes and the published names, in the published order."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    inner = Tokenizer(models.BPE(vocab={letter: i for i, letter in enumerate(alphabet)}, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="<|im_end|>")
    names = ["<|im_start|>", "<|im_end|>"]
    if codes:
        names += [START, *([END] if end else []), *(CODE.format(code) for code in range(codes))]
    fast.add_tokens(names, special_tokens=True)
    return fast


def language_model(rows: int, kind: str = "qwen2", tied: bool = True) -> Any:
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(0)
    shape = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
    special = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None}
    config = AutoConfig.for_model(
        kind,
        vocab_size=rows,
        num_key_value_heads=1,
        tie_word_embeddings=tied,
        max_position_embeddings=512,
        **shape,
        **special,
    )
    return AutoModelForCausalLM.from_config(config)


def write_published(folder: Path, codes: int = 64, kind: str = "qwen2", tied: bool = True) -> Path:
    """Vocabulary rows beyond the tokenizer's, as published models have them."""
    names = tokenizer(codes)
    language_model(len(names) + 5, kind, tied).save_pretrained(folder)
    names.save_pretrained(folder)
    return folder
