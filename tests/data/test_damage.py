"""Damaged speech as the encoder hears it: each damage does what it says, and lengths stay."""

from __future__ import annotations

import numpy as np
import pytest

from tadicodec.data import damage
from tests.conftest import voice

WAVE = voice(2.0)[: 12 * 3840]


def draw() -> np.random.Generator:
    return np.random.default_rng(0)


def spectrum(wave: np.ndarray) -> np.ndarray:
    """Power in bands of 1 kHz [12]."""
    power = np.abs(np.fft.rfft(wave)) ** 2
    return power[: len(power) // 12 * 12].reshape(12, -1).sum(1)


def below(wave: np.ndarray, added: np.ndarray) -> float:
    return 20 * np.log10(damage.rms(wave) / damage.rms(added))


@pytest.mark.parametrize("kind", damage.KINDS)
def test_kinds_keep_the_length_and_repeat(kind: str) -> None:
    one, other = (damage.KINDS[kind](WAVE, draw()) for _ in range(2))
    assert one.shape == WAVE.shape and np.isfinite(one).all()
    assert np.array_equal(one, other) and not np.allclose(one, WAVE, atol=1e-3)


def test_noise_and_rooms_are_as_far_below_as_they_say() -> None:
    for tilt in (0.0, 2.0):
        assert below(WAVE, damage.noise(WAVE, draw(), below=15, tilt=tilt) - WAVE) == pytest.approx(15, abs=0.1)
    tail = damage.room(WAVE, draw(), seconds=0.4, below=6) - WAVE
    assert below(WAVE, tail) == pytest.approx(6, abs=0.1)
    assert np.abs(tail[:119]).max() < 1e-6  # the first wall


def test_a_microphone_changes_frequencies_by_at_most_what_it_may() -> None:
    heard = damage.coloured(WAVE, draw(), most=6)
    ratio = np.abs(np.fft.rfft(heard)) / np.abs(np.fft.rfft(WAVE)).clip(1e-9)
    gain = 20 * np.log10(ratio[np.abs(np.fft.rfft(WAVE)) > 1e-3])
    assert np.abs(gain).max() <= 6.01 and gain.max() - gain.min() > 6
    assert np.allclose(damage.coloured(WAVE, draw(), most=0), WAVE, atol=1e-6)


def test_levels_clip_at_full_scale() -> None:
    assert damage.rms(damage.level(WAVE, -30)) == pytest.approx(damage.rms(WAVE) / 10**1.5, rel=1e-3)
    assert np.abs(damage.level(WAVE, 60)).max() == 1.0


def test_a_telephone_ends_at_four_kilohertz() -> None:
    heard, was = spectrum(damage.telephone(WAVE)), spectrum(WAVE)
    assert (heard[5:] < 1e-6 * was[:3].sum()).all() and heard[1] == pytest.approx(was[1], rel=0.2)


def test_a_coder_with_bits_enough_changes_little_and_without_drops_the_soft() -> None:
    fine, coarse = (damage.coded(WAVE, below=size) for size in (90, 12))
    assert below(WAVE, fine - WAVE) > 12 and below(WAVE, coarse - WAVE) < below(WAVE, fine - WAVE)
    assert fine.shape == WAVE.shape


def test_another_voice_is_higher_and_shorter() -> None:
    tone = np.sin(2 * np.pi * 1000 * np.arange(24000) / 24000).astype(np.float32)
    higher = damage.resampled(tone, 1.25)
    assert len(higher) == 19200 and np.abs(higher).max() == pytest.approx(1, abs=0.05)
    assert np.abs(np.fft.rfft(higher)).argmax() * 24000 / len(higher) == pytest.approx(1250, abs=2)
    assert len(damage.resampled(tone, 0.8)) == 29760  # whole frames


def test_some_of_everything_and_sometimes_nothing() -> None:
    heard = [damage.damaged(WAVE, np.random.default_rng(seed)) for seed in range(40)]
    same = sum(np.array_equal(item, WAVE) for item in heard)
    assert same < 12 and all(item.shape == WAVE.shape and item.dtype == np.float32 for item in heard)
