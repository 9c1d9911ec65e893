"""Transcripts of real speech by the bundled model: the same in a batch, in blocks and alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from tadicodec import Codec
from tadicodec.model.transcriber import best_path
from tadicodec.text.normalize import from_letters, letters_only
from tadicodec.train.word_errors import edits

SAMPLES = sorted((Path(__file__).parents[2] / "samples").glob("austen_*.flac"))[1:4]


@pytest.fixture(scope="module")
def codec() -> Codec:
    return Codec.from_pretrained()


@pytest.fixture(scope="module")
def waves() -> list[np.ndarray]:
    return [soundfile.read(path, dtype="float32")[0] for path in SAMPLES]


def test_a_batch_hears_what_is_heard_alone(codec: Codec, waves: list[np.ndarray]) -> None:
    rate_of = soundfile.info(SAMPLES[0]).samplerate
    together = codec.encode(waves, rate_of)
    assert together.text == tuple(codec.encode(wave, rate_of).text[0] for wave in waves)
    assert together.text == codec.encode(waves, rate_of).text


def test_blocks_hear_what_is_heard_at_once(codec: Codec, waves: list[np.ndarray]) -> None:
    wave = np.concatenate([waves[0], np.zeros(12_000, np.float32), waves[1]])
    blocks = codec.encode_blocks(wave[start : start + 5_000] for start in range(0, len(wave), 5_000))
    assert blocks.text == codec.encode(wave, 24_000).text


def test_fewer_letters_are_wrong_than_on_the_best_path(codec: Codec, waves: list[np.ndarray]) -> None:
    wrong = {"found": 0, "greedy": 0}
    for path, wave in zip(SAMPLES, waves, strict=True):
        said = letters_only(path.with_suffix(".txt").read_text())
        with torch.inference_mode():
            _, heard = codec.model.listen(codec.encoder.mel(torch.from_numpy(wave)))
        greedy = from_letters(best_path(heard[0][None], torch.tensor([len(heard[0])]))[0])
        wrong["greedy"] += edits(list(said), list(greedy))
        wrong["found"] += edits(list(said), list(codec.encode(wave, 24_000).text[0] or ""))
    assert wrong["found"] < wrong["greedy"]
