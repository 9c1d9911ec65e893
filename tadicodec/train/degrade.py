"""What happens to recordings before anyone encodes them, imitated on the mel: telephones, noise, rooms, other levels.

The encoder hears the damaged mel, the decoder is still asked for the clean one. Working on the mel keeps this out of
the prepared features, so every hearing of a clip is damaged differently.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from tadicodec.config import MelConfig

DECIBEL = 8.686  # per neper: the mel is a natural logarithm of magnitudes
FLOOR = -11.513  # ln 1e-5, where the front end clips
LOWEST_CUT, TELEPHONE_LOW = 0.62, 0.09  # shares of the 128 bins: 3.4 kHz and 0.3 kHz
TAIL = 16  # frames of reverberation, 0.32 s
SOFTEST, LOUDEST = -30.0, 6.0  # dB


@dataclass(frozen=True)
class Damage:
    """Drawn for each item: which of the four it suffers [B, 4], and how strongly [B, 7] in 0..1; noise [B, F, 128]."""

    suffers: Tensor
    strength: Tensor
    hiss: Tensor

    @classmethod
    def draw(cls, shape: tuple[int, int, int], probability: float, generator: torch.Generator) -> Damage:
        chosen = torch.rand(shape[0], 1, generator=generator) < probability
        each = torch.rand(shape[0], 4, generator=generator) < 0.5
        return cls(chosen & each, torch.rand(shape[0], 7, generator=generator), torch.randn(shape, generator=generator))


def degrade(mel: Tensor, damage: Damage, config: MelConfig) -> Tensor:
    """Normalized mel [B, F, 128] -> what a worse microphone, line or room would have made of it [B, F, 128]."""
    scale = config.mel_var**0.5
    log = mel * scale + config.mel_mean
    band, noise, room, level = (damage.suffers[:, i].to(mel.device)[:, None, None] for i in range(4))
    strength = damage.strength.to(mel.device)[:, :, None, None]
    log = torch.where(room, reverberant(log, strength[:, 0], strength[:, 1]), log)
    log = torch.where(noise, noisy(log, damage.hiss.to(mel.device), strength[:, 2], strength[:, 3]), log)
    gain = (SOFTEST + (LOUDEST - SOFTEST) * strength[:, 6]) / DECIBEL
    log = torch.where(level, (log + gain).clamp(min=FLOOR), log)
    log = torch.where(band & outside(strength[:, 4], strength[:, 5], mel.shape[-1]), FLOOR, log)
    return (log - config.mel_mean) / scale


def reverberant(log: Tensor, wet: Tensor, length: Tensor) -> Tensor:
    """A decaying tail of 0.15 to 0.6 s (60 dB) behind every frame, 3 to 15 dB down."""
    rate = 0.02 * 60 / DECIBEL / (0.15 + 0.45 * length)  # nepers a frame
    age = torch.arange(TAIL, 0, -1, device=log.device)[None, :, None]
    kernel = torch.exp(-2 * rate * age) * 10 ** (-(3 + 12 * wet) / 10)  # [B, TAIL, 1], of powers, oldest first
    kernel = kernel * (1 - torch.exp(-2 * rate))
    power = torch.exp(2 * log)
    past = F.pad(power, (0, 0, TAIL, 0)).unfold(1, TAIL, 1)[:, :-1]  # [B, F, 128, TAIL]
    return 0.5 * torch.log(power + (past * kernel[:, None, None, :, 0]).sum(-1))


def noisy(log: Tensor, hiss: Tensor, level: Tensor, tilt: Tensor) -> Tensor:
    """Stationary noise 8 to 35 dB below the item's loud frames, tilted by up to 20 dB over the spectrum."""
    loud = log.mean(-1, keepdim=True).amax(1, keepdim=True)
    slope = torch.linspace(-0.5, 0.5, log.shape[-1], device=log.device) * (tilt - 0.5) * 40 / DECIBEL
    noise = loud - (8 + 27 * level) / DECIBEL + slope + 0.4 * hiss
    return 0.5 * torch.logaddexp(2 * log, 2 * noise)


def outside(high: Tensor, low: Tensor, bins: int) -> Tensor:
    """Bins [B, 1, 128] that a telephone or an 8 to 22 kHz recording lacks; half of them lack the lowest, too."""
    share = (torch.arange(bins, device=high.device) + 0.5) / bins
    return (share > LOWEST_CUT + (1 - LOWEST_CUT) * high) | ((share < TELEPHONE_LOW) & (low < 0.5))
