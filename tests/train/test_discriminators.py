"""The vocoder's critics: what they return, and who gets which gradient."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tadicodec.errors import InputError
from tadicodec.train.discriminators import (
    PERIODS,
    WINDOWS,
    DiscriminatorConfig,
    Discriminators,
    PeriodDiscriminator,
    SpectralDiscriminator,
)

TINY = DiscriminatorConfig(periods=2, period_width=4, period_max=8, resolutions=2, spectral_width=4, spectral_layers=2)


@pytest.fixture
def critics() -> Discriminators:
    torch.manual_seed(0)
    return Discriminators(TINY)


def waves(length: int = 4800) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    real, fake = torch.randn(2, 2, length, generator=generator) * 0.1
    return real, fake


def has_gradients(network: nn.Module) -> bool:
    return any(parameter.grad is not None for parameter in network.parameters())


@pytest.mark.parametrize("period", PERIODS)
def test_period_critic_of_any_length(period: int) -> None:
    critic = PeriodDiscriminator(period, TINY)
    *hidden, verdict = critic(torch.randn(3, 4801))
    assert len(hidden) == 5
    assert [len(layer) for layer in hidden] == [3 * period] * 5
    assert [layer.shape[1] for layer in hidden] == [4, 8, 8, 8, 8]
    assert verdict.shape == (3, period * hidden[-1].shape[2])


@pytest.mark.parametrize("n_fft", WINDOWS)
def test_spectral_critic(n_fft: int) -> None:
    *hidden, verdict = SpectralDiscriminator(n_fft, TINY)(torch.randn(3, 4800))
    assert [(len(layer), layer.shape[3]) for layer in hidden] == [(3, 4)] * 3
    assert hidden[0].shape[2] == n_fft // 4 and hidden[1].shape[2] == n_fft // 8
    assert verdict.shape == (3, hidden[-1][0, :, :, 0].numel())


def test_period_critic_sees_every_periodth_sample() -> None:
    """One column is one phase of the period: changing it leaves the verdicts on the others alone."""
    critic = PeriodDiscriminator(3, TINY)
    wave = torch.randn(1, 900)
    changed = wave.clone()
    changed[:, 1::3] += 1
    before, after = (critic(x)[-1].view(3, -1) for x in (wave, changed))
    assert torch.equal(before[[0, 2]], after[[0, 2]]) and not torch.equal(before[1], after[1])


def test_critics_learn_but_do_not_teach_in_forward(critics: Discriminators) -> None:
    real, fake = waves()
    fake.requires_grad_()
    critics(real, fake).backward()
    assert fake.grad is None
    assert all(parameter.grad is not None for parameter in critics.parameters())


def test_critics_teach_but_do_not_learn_in_judge(critics: Discriminators) -> None:
    real, fake = waves()
    fake.requires_grad_()
    terms = critics.judge(real, fake)
    assert terms.keys() == {"adversarial", "matching"}
    (terms["adversarial"] + terms["matching"]).backward()
    assert fake.grad is not None and fake.grad.abs().sum() > 0
    assert not has_gradients(critics)
    assert all(parameter.requires_grad for parameter in critics.parameters())


def test_equal_waves_match(critics: Discriminators) -> None:
    real, fake = waves()
    assert critics.judge(real, real)["matching"] == 0
    assert critics.judge(real, fake)["matching"] > 0


def test_critics_tell_noise_from_tone(critics: Discriminators) -> None:
    noise, _ = waves()
    tone = 0.1 * torch.sin(torch.arange(4800) * 0.1).expand(2, -1)
    optimizer = torch.optim.Adam(critics.parameters(), lr=1e-2)
    losses = []
    for _ in range(30):
        loss = critics(tone, noise)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[0] == pytest.approx(2, abs=0.5) and losses[-1] < 1


def test_bfloat16_stays_finite(critics: Discriminators) -> None:
    real, fake = waves()
    with torch.autocast("cpu", torch.bfloat16):
        terms = [critics(real, fake), *critics.judge(real, torch.zeros_like(fake)).values()]
    assert torch.stack(terms).isfinite().all()


def test_default_is_much_smaller_than_hifi_gan() -> None:
    """HiFi-GAN's period discriminators alone have 41 million parameters."""
    assert sum(parameter.numel() for parameter in Discriminators(DiscriminatorConfig()).parameters()) < 1e6


@pytest.mark.parametrize(
    "changes", [{"periods": 6}, {"resolutions": -1}, {"periods": 0, "resolutions": 0}, {"spectral_width": 0}]
)
def test_impossible_sizes(changes: dict[str, int]) -> None:
    with pytest.raises(InputError, match="objective"):
        DiscriminatorConfig(**changes)
