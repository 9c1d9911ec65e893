"""Soft and loud recordings come to the level of training speech; the rest, and pauses, stay as they are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from tadicodec.audio.level import MOST, TOLERANCE, Leveller, speech_power
from tadicodec.codec import Codec
from tests.conftest import tiny_codec


def speech(level: float, seconds: float = 1.0) -> np.ndarray:
    """Noise with pauses, `level` dB of full scale where it is loud."""
    draw = np.random.default_rng(0)
    wave = draw.standard_normal(int(24000 * seconds)).astype(np.float32)
    wave[:6000] *= 1e-4
    return wave * np.float32(10 ** (level / 20) / np.sqrt(speech_power(wave)))


def decibel(samples: np.ndarray) -> float:
    return 10 * np.log10(speech_power(samples))


def test_pauses_do_not_count() -> None:
    assert decibel(speech(-22)) == pytest.approx(-22, abs=1e-3)
    assert decibel(speech(-22)[6000:]) == pytest.approx(-22, abs=0.1)


@pytest.mark.parametrize("level", [-50.0, -30.0, -5.0])
def test_far_from_the_level_it_is_brought_there(level: float) -> None:
    assert decibel(Leveller(-22.0)(speech(level))) == pytest.approx(-22, abs=1e-3)


def test_near_the_level_or_without_one_nothing_changes() -> None:
    for wave, level in ((speech(-22 + TOLERANCE - 0.1), -22.0), (speech(-50), 0.0), (speech(-80), -22.0)):
        assert Leveller(level)(wave) is wave
    assert decibel(Leveller(-22.0)(speech(-69))) == pytest.approx(-69 + MOST, abs=1e-3)


def test_a_pause_is_not_blown_up() -> None:
    leveller = Leveller(-22.0)
    leveller(speech(-30))
    assert decibel(leveller(speech(-60))) == pytest.approx(-52, abs=1e-3)


def test_a_soft_recording_has_the_codes_of_a_loud_one() -> None:
    """Whole, in blocks, in a batch, and as a prompt; longer than a piece."""
    tiny = tiny_codec()
    config = replace(tiny.config, inference=replace(tiny.config.inference, level=-22.0))
    codec = Codec(config, tiny.model, tiny.vocoder, tiny.tokenizer)
    loud = speech(-22, 13.0)
    soft = loud * np.float32(2**-6)  # exact in floating point, and so is its inverse to a rounding
    whole = codec.encode(loud, 24000, text="").codes
    assert (codec.encode(soft, 24000, text="").codes == whole).float().mean() > 0.95
    alone = codec.encode(soft, 24000, text="").codes
    assert torch.equal(codec.encode_blocks(iter(np.array_split(soft, 7)), text="").codes, alone)
    assert torch.equal(codec.encode([soft, loud], 24000, text="").codes[:1], alone)
    short = slice(0, 3 * 24000)
    torch.testing.assert_close(
        codec.prompt(soft[short], 24000, text="").mel, codec.prompt(loud[short], 24000, text="").mel, atol=0.2, rtol=0
    )
