"""Published autoregressive models: their prompt to the letter, their token names, their folders."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from tadicodec.errors import InputError
from tadicodec.speech import Prompt
from tadicodec.tts.engines import load_engine
from tadicodec.tts.folder import load_tts
from tadicodec.tts.text_reader import chat, load_reader
from tadicodec.tts.vocabulary import tokenizer_vocabulary
from tests.tts.published_layout import language_model, tokenizer, write_published

QWEN = (
    "<|im_start|>system\nYou are a powerful AI assistant for speech understanding and generation.<|im_end|>\n"
    "<|im_start|>user\nPlease speak the following text out loud: One.Two.<|im_end|>\n<|im_start|>assistant\n"
)
PHI = (
    "<|system|>\nYou are a powerful AI assistant for speech understanding and generation.<|end|>\n"
    "<|user|>\nPlease speak the following text out loud: One.Two.<|end|>\n<|assistant|>"
)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_published(tmp_path_factory.mktemp("published") / "qwen")


def prompt(count: int = 5) -> Prompt:
    return Prompt(torch.zeros(8 * count, 128), torch.arange(count), "One.")


def test_prompt_strings() -> None:
    assert chat("One.Two.", "qwen") == QWEN and chat("One.Two.", "phi") == PHI


def test_prompt_and_codes_are_what_the_published_code_feeds(published: Path) -> None:
    engine = load_engine(published)
    script = engine.script("Two.", prompt())
    names = engine.reader.tokenizer
    assert names.decode(script.ids.tolist()) == QWEN
    whole = QWEN + "<|start_of_audio|><|audio_0|><|audio_1|>"
    vocabulary = engine.vocabulary
    assert names.encode(whole)[len(script.ids) :] == [vocabulary.start, *vocabulary.codes[:2]]
    assert engine.codebook_size == 64 and script.starts is None
    assert names.convert_ids_to_tokens(vocabulary.ends[0]) == "<|end_of_audio|>"


@pytest.mark.parametrize("kind, tied", [("qwen2", True), ("phi3", False), ("qwen3", False)])
def test_folders_load_and_speak(tmp_path: Path, kind: str, tied: bool) -> None:
    folder = write_published(tmp_path / kind, kind=kind, tied=tied)
    engine = load_engine(folder)
    assert engine.config.text == ("phi" if kind == "phi3" else "qwen")
    codes = engine.sample(engine.script("Two.", prompt()), prompt(), torch.Generator().manual_seed(0))
    assert len(codes) and 0 <= int(codes.min()) <= int(codes.max()) < 64
    own = AutoModelForCausalLM.from_pretrained(folder).state_dict()
    network = load_tts(folder)[1]
    assert all(torch.equal(value, own[name.removeprefix("lm.")]) for name, value in network.state_dict().items())
    fresh = load_tts(folder)[1]
    fresh.load_state_dict(network.state_dict())  # tied tensors are left out when saved and found when loaded


def test_what_is_no_speech_model_is_refused(tmp_path: Path) -> None:
    names = tokenizer(0)
    language_model(len(names)).save_pretrained(tmp_path)
    names.save_pretrained(tmp_path)
    with pytest.raises(InputError, match=re.escape("no <|start_of_audio|>")):
        load_engine(tmp_path)
    tokenizer(64).save_pretrained(tmp_path)
    with pytest.raises(InputError, match="rows"):
        load_engine(tmp_path)
    tokenizer(63).save_pretrained(tmp_path)
    with pytest.raises(InputError, match="not a whole codebook"):
        load_engine(tmp_path)
    tokenizer(64).save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(InputError, match="cannot be loaded as AutoModelForCausalLM"):
        load_engine(tmp_path)


def test_the_turns_end_serves_where_audio_has_none() -> None:
    names = tokenizer(8, end=False)
    assert tokenizer_vocabulary(names).ends == (names.convert_tokens_to_ids("<|im_end|>"),)


def test_a_tokenizer_beside_a_config_with_comments(tmp_path: Path) -> None:
    """The published masked model's config.json is not transformers', and not strict JSON."""
    folder = tmp_path / "mgm"
    tokenizer(64).save_pretrained(str(folder))
    (folder / "config.json").write_text('{\n  // as published\n  "model": {}\n}\n')
    assert load_reader("qwen", folder, alone=True).encode("hi")
    with pytest.raises(InputError, match="cannot be loaded as AutoTokenizer"):
        load_reader("qwen", folder, alone=False)
