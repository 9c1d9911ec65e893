"""Tiny models and signals, made here: no test needs the network or anything outside the repository."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tadicodec.codec import Codec
from tadicodec.config import AutoencoderConfig, CodecConfig, InferenceConfig, SolverConfig, VocoderConfig
from tadicodec.model.autoencoder import Autoencoder
from tadicodec.model.vocoder import Vocoder
from tadicodec.text.tokens import ByteTokenizer

DATA = Path(__file__).parent / "data"


def tiny_config(**changes: object) -> CodecConfig:
    """A codec of a few thousand parameters with byte text."""
    shape = {
        "hidden_size": 32,
        "encoder_num_layers": 1,
        "decoder_num_layers": 2,
        "num_heads": 2,
        "text_vocab_size": 256,
        "patch_size": 2,
        "prior_layers": 1,
        "transcriber_layers": 1,
        "text_layers": 1,
        "aligner_layers": 1,
        **changes,
    }
    return CodecConfig(
        name="tiny",
        text_tokenizer="bytes",
        autoencoder=AutoencoderConfig(**shape),
        vocoder=VocoderConfig(dim=16, intermediate_dim=32, num_layers=1),
        inference=InferenceConfig(SolverConfig(2, 2.0), max_text_tokens=200, piece_seconds=12.0),
    )


def tiny_codec(seed: int = 0, **changes: object) -> Codec:
    torch.manual_seed(seed)
    config = tiny_config(**changes)
    model, vocoder = Autoencoder(config.autoencoder), Vocoder(config.vocoder)
    for parameter in model.parameters():  # time gains start at zero: give every path something to do
        if parameter.ndim == 2:
            torch.nn.init.normal_(parameter, std=0.15)
    return Codec(config, model, vocoder, ByteTokenizer())


@pytest.fixture(scope="session")
def codec() -> Codec:
    return tiny_codec()


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a saved tiny model."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    tiny_codec().save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def other_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another tiny model: same shapes, other weights."""
    folder = tmp_path_factory.mktemp("models") / "other"
    tiny_codec(seed=1).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_coder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a tiny autoregressive model with shared keys and values, in half precision: it squeezes token files."""
    from tadicodec.tts.folder import build_network, save_tts
    from tadicodec.tts.model_config import parse_tts_config

    torch.manual_seed(0)
    blocks = {"model_type": "llama", "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2}
    shape = {"transformers": blocks | heads, "codebook_size": 256, "code_features": 24, "duration_size": 64}
    config = parse_tts_config({"engine": "ar", "text": "bytes", "codec": "ab", "model": {"ar": shape}})
    network = build_network(config, inference=True)
    for value in network.parameters():
        if value.ndim == 2:
            torch.nn.init.normal_(value, std=0.3)
    folder = tmp_path_factory.mktemp("models") / "coder"
    save_tts(folder, config, network, dtype=torch.float16)
    return folder


def voice(seconds: float, sample_rate: int = 24000, pitch: float = 120.0, seed: int = 0) -> np.ndarray:
    """Something speech-like: a gliding harmonic tone with noise, in syllables. [N] float32"""
    count = int(seconds * sample_rate)
    time = np.arange(count) / sample_rate
    phase = 2 * np.pi * np.cumsum(pitch * (1 + 0.2 * np.sin(2 * np.pi * 0.7 * time))) / sample_rate
    tone = sum(np.sin(k * phase) / k for k in range(1, 20))
    syllables = 0.55 + 0.45 * np.sin(2 * np.pi * 4 * time)
    noise = np.random.default_rng(seed).normal(0, 0.01, count)
    return (0.1 * tone * syllables + noise).astype(np.float32)
