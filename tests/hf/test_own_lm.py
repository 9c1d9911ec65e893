"""recipes/own_lm: any tokenizer and model learn to speak, from a corpus of real speech to a wave."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile
import torch

pytest.importorskip("transformers")
pytest.importorskip("datasets")

from tadicodec import Codec, InputError
from tadicodec.data.corpora.opening import open_corpus
from tadicodec.data.shards import TokenCorpus
from tadicodec.data.token_corpus import tokenize_corpus
from tadicodec.hf import SpeechCollator, add_speech_tokens, generate_speech
from tests.conftest import tiny_codec
from tests.tts.published_layout import language_model, tokenizer

ROOT = Path(__file__).parents[2]


def test_tokens_of_any_tokenizer() -> None:
    names = tokenizer(0)
    before = len(names)
    model = language_model(before)
    vocabulary = add_speech_tokens(names, model, 64)
    assert len(names) == before + 66 == model.get_input_embeddings().num_embeddings
    assert names.convert_ids_to_tokens(vocabulary.codes[7]) == "<|speech_7|>"
    assert add_speech_tokens(names, model, 64) == vocabulary  # a second time changes nothing
    wide = language_model(before + 500)
    add_speech_tokens(names, wide, 64)
    assert wide.get_input_embeddings().num_embeddings == before + 500  # never made smaller
    codes = torch.tensor([0, 63, 5])
    assert torch.equal(vocabulary.to_codes(vocabulary.to_ids(codes)), codes)
    assert vocabulary.to_codes([1, vocabulary.codes[3], vocabulary.end, vocabulary.codes[4]]).tolist() == [3]
    with pytest.raises(InputError, match="this vocabulary has 64"):
        vocabulary.to_ids([64])


def test_only_speech_counts_in_the_loss() -> None:
    names = tokenizer(0)
    vocabulary = add_speech_tokens(names, None, 64)
    collate = SpeechCollator(names, vocabulary, longest=12)
    batch = collate([{"text": "ab", "codes": [1, 2, 3]}, {"text": "c", "codes": [4]}, {"text": "x" * 20, "codes": [1]}])
    assert batch["input_ids"].shape == (2, 7)
    assert batch["attention_mask"].tolist() == [[1] * 7, [1] * 4 + [0] * 3]
    first = [-100] * 3 + [vocabulary.codes[code] for code in (1, 2, 3)] + [vocabulary.end]
    assert batch["labels"].tolist() == [first, [-100] * 2 + [vocabulary.codes[4], vocabulary.end] + [-100] * 3]
    with pytest.raises(InputError, match="raise longest"):
        collate([{"text": "x" * 20, "codes": [1]}])


def test_another_codebook_is_refused() -> None:
    names = tokenizer(0)
    model = language_model(len(names))
    vocabulary = add_speech_tokens(names, model, 64)
    with pytest.raises(InputError, match="64 codes, the codec 16384"):
        generate_speech(model, names, vocabulary, tiny_codec(), "hi")


def test_the_recipe_from_recordings_to_a_wave(tmp_path: Path) -> None:
    """Real speech to tokens, a tiny Qwen on them with transformers' Trainer, and back to a wave; the loss falls."""
    corpus = open_corpus(ROOT / "samples")
    tokenize_corpus(corpus, tmp_path / "tokens", Codec.from_pretrained())
    assert len(TokenCorpus(tmp_path / "tokens", "train")) == 4
    names = tokenizer(0)
    language_model(len(names)).save_pretrained(tmp_path / "base")
    names.save_pretrained(tmp_path / "base")
    command = [sys.executable, "recipes/own_lm/train.py", tmp_path / "tokens", tmp_path / "base", tmp_path / "out"]
    command += ["--steps", "40", "--batch", "4", "--lr", "1e-2", "--say", "He is amiable.", tmp_path / "said.wav"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "1"}
    environment |= {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    run = subprocess.run(list(map(str, command)), cwd=ROOT, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-2000:]
    lines = [json.loads(line.replace("'", '"')) for line in run.stdout.splitlines() if line.startswith("{'loss'")]
    losses = [float(line["loss"]) for line in lines]
    assert losses[-1] < losses[0] - 1, losses
    said = soundfile.info(tmp_path / "said.wav")
    assert said.samplerate == 24000 and said.frames % 3840 == 0 and said.frames > 0
