"""Damaged recordings as training hears them: each damage does what it says, and only to whom it was dealt."""

from __future__ import annotations

import torch

from tadicodec.config import MelConfig
from tadicodec.train.degrade import DECIBEL, FLOOR, LOUDEST, SOFTEST, Damage, degrade

CONFIG = MelConfig()
BAND, NOISE, ROOM, LEVEL = range(4)


def normalised(log: torch.Tensor) -> torch.Tensor:
    return (log - CONFIG.mel_mean) / CONFIG.mel_var**0.5


def logs(mel: torch.Tensor) -> torch.Tensor:
    return mel * CONFIG.mel_var**0.5 + CONFIG.mel_mean


def damaged(kind: int | None, strength: float = 0.5) -> tuple[torch.Tensor, torch.Tensor]:
    """Logs of two items before and after; only the second suffers."""
    log = torch.rand(2, 30, 128, generator=torch.Generator().manual_seed(0)) * 4 - 8
    suffers = torch.zeros(2, 4, dtype=torch.bool)
    if kind is not None:
        suffers[1, kind] = True
    damage = Damage(suffers, torch.full((2, 7), strength), torch.zeros(2, 30, 128))
    out = logs(degrade(normalised(log), damage, CONFIG))
    torch.testing.assert_close(out[0], log[0], atol=1e-4, rtol=0)
    return log[1], out[1]


def test_who_suffers_nothing_stays_as_he_is() -> None:
    before, after = damaged(None)
    torch.testing.assert_close(after, before, atol=1e-4, rtol=0)


def test_levels_go_up_and_down() -> None:
    for strength, gain in ((0.0, SOFTEST), (1.0, LOUDEST)):
        before, after = damaged(LEVEL, strength)
        torch.testing.assert_close(after, (before + gain / DECIBEL).clamp(min=FLOOR), atol=1e-4, rtol=0)


def test_a_band_ends_and_noise_and_rooms_only_add() -> None:
    _, after = damaged(BAND, 0.0)
    torch.testing.assert_close(after[:, 100:], torch.full((30, 28), FLOOR), atol=1e-3, rtol=0)
    for kind in (NOISE, ROOM):
        before, after = damaged(kind)
        assert (after >= before - 1e-4).all() and (after > before + 1e-3).any()


def test_draws_repeat_and_their_share_is_the_one_asked_for() -> None:
    one, other = (Damage.draw((4000, 1, 1), 0.25, torch.Generator().manual_seed(0)) for _ in range(2))
    assert torch.equal(one.suffers, other.suffers) and torch.equal(one.hiss, other.hiss)
    assert abs(float(one.suffers.float().mean()) - 0.125) < 0.02  # each with probability a half
