"""A tiny spoken language: every letter has a sound, every speaker a timbre. Its corpora come without audio."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tadicodec.data.shard_writer import Mark, write_shard
from tadicodec.data.shards import arrow, schema
from tadicodec.speech import Prompt
from tadicodec.tts.model_config import TtsConfig, parse_tts_config

LETTERS = "abcdefg "
CODES = 64  # 3 bits of letter, 1 of whether it has just begun, 2 of speaker
SPEAKERS = 4
LENGTHS = {letter: 1 + index % 3 for index, letter in enumerate(LETTERS)}  # tokens a letter is held


def speak(text: str, speaker: int) -> tuple[np.ndarray, np.ndarray]:
    """Codes [T] of a text, and the token at which each letter begins [L]; one token of silence goes before."""
    codes, starts = [LETTERS.index(" ") * 8 + speaker], []
    for letter in text:
        starts.append(len(codes))
        for place in range(LENGTHS[letter]):
            codes.append(LETTERS.index(letter) * 8 + 4 * (place == 0) + speaker)
    return np.array(codes), np.array(starts, dtype=np.float32)


def words(random: np.random.Generator, letters: int) -> str:
    text = "".join(random.choice(list(LETTERS), letters))
    return " ".join(text.split()) or "a"


def write_language(folder: Path, count: int = 120, seed: int = 0, timed: bool = True) -> Path:
    """Shards of a corpus, every fifth utterance of split valid."""
    random, rows = np.random.default_rng(seed), []
    for number in range(count):
        text, speaker = words(random, int(random.integers(3, 9))), int(random.integers(SPEAKERS))
        codes, starts = speak(text, speaker)
        rows.append(
            {
                "id": str(number),
                "speaker": f"s{speaker}",
                "text": text,
                "split": "train" if number % 5 else "valid",
                "codes": codes.tolist(),
                "seconds": len(codes) * 0.16,
                "codec": "language",
                "starts": starts.tolist() if timed else None,
            }
        )
    folder.mkdir(parents=True, exist_ok=True)
    half = len(rows) // 2
    for shard, part in enumerate((rows[:half], rows[half:])):
        write_shard(folder / f"{shard:05d}.parquet", part, Mark("test", 2))
    assert arrow().parquet.read_schema(folder / "00000.parquet").names == schema().names
    return folder


def masked_model(codes: int = CODES, codec: str = "", **changes: Any) -> dict[str, Any]:
    """The `model` section of a tiny masked model."""
    shape = {
        "hidden_size": 48,
        "num_layers": 2,
        "num_heads": 2,
        "intermediate_size": 96,
        "cond_codebook_size": codes,
        "phone_vocab_size": 256,
        "code_features": 32,
        "text_layers": 1,
        "text_size": 32,
        "duration_size": 32,
        **changes,
    }
    return {"name": "tiny", "text": "bytes", "codec": codec, "model": {"mgm": shape}, "sampling": {"steps": 6}}


def ar_model(codes: int = CODES, codec: str = "", **changes: Any) -> dict[str, Any]:
    """The `model` section of a tiny autoregressive model."""
    lm = {
        "model_type": "llama",
        "hidden_size": 48,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        **changes,
    }
    shape = {"codebook_size": codes, "code_features": 32, "duration_size": 32, "transformers": lm}
    return {"name": "tiny", "text": "bytes", "codec": codec, "model": {"ar": shape}}


def config_of(engine: str, codes: int = CODES, codec: str = "", **changes: Any) -> TtsConfig:
    make = ar_model if engine == "ar" else masked_model
    return parse_tts_config({"engine": engine, **make(codes, codec, **changes)})


def voice_prompt(text: str, speaker: int) -> Prompt:
    """A prompt in this language; it has no mel, as no codec decodes it."""
    import torch

    codes, _ = speak(text, speaker)
    return Prompt(torch.zeros(8 * len(codes), 128), torch.from_numpy(codes), text)
