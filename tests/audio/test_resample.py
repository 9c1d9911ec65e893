import numpy as np
import pytest

from tadicodec.audio.resample import resample


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 44100, 48000, 192000])
@pytest.mark.parametrize("length", [1, 2, 79, 80, 1000, 44101])
def test_length_is_rounded_up(rate, length):
    wave = np.ones(length, np.float32)
    assert len(resample(wave, rate, 24000)) == -(-length * 24000 // rate)
    assert resample(wave, rate, 24000).dtype == np.float32


@pytest.mark.parametrize("rate", [16000, 44100, 48000])
def test_a_tone_stays_where_it_was(rate):
    wave = np.sin(2 * np.pi * 440 * np.arange(rate) / rate).astype(np.float32)
    expected = np.sin(2 * np.pi * 440 * np.arange(24000) / 24000)
    np.testing.assert_allclose(resample(wave, rate, 24000)[1000:-1000], expected[1000:-1000], atol=1e-3)


def test_same_rate_changes_nothing():
    wave = np.random.default_rng(0).normal(size=100).astype(np.float32)
    assert resample(wave, 24000, 24000) is wave
