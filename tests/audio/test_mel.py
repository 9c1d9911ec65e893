"""The filterbank is librosa's, and the band limit knows which bins a recording fills."""

from __future__ import annotations

import numpy as np
import pytest

from tadicodec.audio.mel import mel_filters, valid_bins
from tadicodec.config import MelConfig


def test_filters_are_librosas() -> None:
    librosa = pytest.importorskip("librosa")
    expected = librosa.filters.mel(sr=24000, n_fft=1920, n_mels=128, fmin=0, fmax=12000)
    np.testing.assert_allclose(mel_filters(MelConfig()).numpy(), expected, atol=1e-7)


def test_band_limits() -> None:
    assert valid_bins(48000, MelConfig()) == valid_bins(24000, MelConfig()) == 128
    assert 90 < valid_bins(16000, MelConfig()) < 128
    assert valid_bins(8000, MelConfig()) < valid_bins(16000, MelConfig())
