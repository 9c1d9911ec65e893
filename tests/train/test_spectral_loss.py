"""The distance between waves, and what it must not look at."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tadicodec.audio.mel import valid_bins
from tadicodec.config import MelConfig
from tadicodec.train.spectral_loss import SpectralLoss, low_pass, upper_edges

MEL = MelConfig()
SAMPLES = 48 * 480


@pytest.fixture(scope="module")
def loss() -> SpectralLoss:
    return SpectralLoss(MEL)


def tone(hertz: float) -> Tensor:
    return 0.1 * torch.sin(torch.arange(SAMPLES).double() * (2 * torch.pi * hertz / 24000)).float()[None]


def test_equal_waves_are_at_no_distance(loss: SpectralLoss) -> None:
    terms = loss(tone(300), tone(300), torch.tensor([128]))
    assert terms.keys() == {"mel", "short"}
    assert terms["mel"] == 0 and terms["short"] == 0


def test_it_is_the_codecs_own_mel(loss: SpectralLoss) -> None:
    """Twice as loud is log 2 away wherever there is sound."""
    noise = torch.randn(1, SAMPLES, generator=torch.Generator().manual_seed(0))
    terms = loss(noise, 2 * noise, torch.tensor([128]))
    assert terms["mel"].item() == pytest.approx(0.6931, abs=1e-3)
    assert terms["short"].item() == pytest.approx(0.6931, abs=1e-3)


def test_limit_is_below_the_original_nyquist_frequency(loss: SpectralLoss) -> None:
    for rate in (8000, 16000, 22050):
        limit = loss.limit(torch.tensor([valid_bins(rate, MEL)]))
        assert 0.45 * rate < limit.item() <= rate / 2
    assert loss.limit(torch.tensor([128])).item() == pytest.approx(12000)


def test_nothing_above_the_bandwidth_counts(loss: SpectralLoss) -> None:
    bandwidth = torch.tensor([valid_bins(16000, MEL), 128])
    real = tone(300).expand(2, -1)
    fake = real + tone(10000)
    limit = loss.limit(bandwidth)
    kept = [low_pass(wave, limit, 24000) for wave in (fake, real)]
    torch.testing.assert_close(kept[0][0], real[0], atol=1e-5, rtol=0)
    assert torch.allclose(kept[0][1], fake[1], atol=1e-5)
    narrow = loss(kept[0][:1], kept[1][:1], bandwidth[:1])
    assert narrow["mel"] < 1e-3 and narrow["short"] < 1e-3
    assert loss(fake, real, torch.tensor([128, 128]))["mel"] > 0.1


def test_masked_bins_are_left_out_of_the_mean(loss: SpectralLoss) -> None:
    """Errors far above the limit weigh nothing, with or without the low-pass."""
    bandwidth = torch.tensor([60])
    noise = torch.randn(1, SAMPLES, generator=torch.Generator().manual_seed(0))
    limit = loss.limit(bandwidth)
    quiet, loud = low_pass(noise, limit, 24000), low_pass(2 * noise, limit, 24000)
    assert loss(quiet, loud, bandwidth)["mel"].item() == pytest.approx(0.6931, abs=0.02)


def test_edges_end_at_the_top() -> None:
    edges = upper_edges(MEL)
    assert edges.shape == (128,) and (edges.diff() > 0).all() and edges[-1].item() == pytest.approx(12000)


def test_full_band_is_untouched() -> None:
    wave = tone(11000)
    assert low_pass(wave, torch.tensor([12000.0]), 24000) is wave


def test_lengths_must_agree(loss: SpectralLoss) -> None:
    with pytest.raises(ValueError, match="cannot be compared"):
        loss(tone(300), tone(300)[:, :-1], torch.tensor([128]))
