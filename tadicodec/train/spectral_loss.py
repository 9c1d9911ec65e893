"""Distance between two waves as log-mel spectrograms: the codec's own, and shorter windows for sharp onsets.

Nothing above a recording's bandwidth is known, so nothing there is compared.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import cast

import torch
from torch import Tensor, nn

from tadicodec.audio.mel import MelSpectrogram, hz_to_mel, mel_to_hz
from tadicodec.config import MelConfig

# Windows of the other spectrograms, and as many bins as each resolves where mel bands are narrowest.
SHORT_WINDOWS = ((1024, 80), (512, 40), (256, 20))


class SpectralLoss(nn.Module):
    """Mean absolute difference of log-mels."""

    def __init__(self, mel: MelConfig) -> None:
        super().__init__()
        short = [replace(mel, n_fft=n, win_size=n, hop_size=n // 4, num_mels=bins) for n, bins in SHORT_WINDOWS]
        self.spectrograms = nn.ModuleList(MelSpectrogram(config) for config in (mel, *short))
        for number, config in enumerate((mel, *short)):
            self.register_buffer(f"edges_{number}", upper_edges(config), persistent=False)

    def forward(self, fake: Tensor, real: Tensor, bandwidth: Tensor) -> dict[str, Tensor]:
        """Float32 waves [B, N], bandwidth [B] mel bins -> "mel" (the codec's), "short" (mean of the others).

        Raises:
            ValueError: the waves do not have the same length.
        """
        if fake.shape != real.shape:
            raise ValueError(f"waves of {list(fake.shape)} and {list(real.shape)} samples cannot be compared")
        limit = self.limit(bandwidth)
        errors = []
        for number, spectrogram in enumerate(cast(Iterable[MelSpectrogram], self.spectrograms)):
            error = (spectrogram.log_mel(fake) - spectrogram.log_mel(real)).abs()  # [B, F, bins]
            known = (self.get_buffer(f"edges_{number}") <= limit[:, None]).float()[:, None]  # [B, 1, bins]
            errors.append((error.mean(1, keepdim=True) * known).sum() / known.sum().clamp(min=1))
        return {"mel": errors[0], "short": torch.stack(errors[1:]).mean()}

    def limit(self, bandwidth: Tensor) -> Tensor:
        """Mel bins [B] -> the frequency in Hz [B] where the last of them ends."""
        edges = self.get_buffer("edges_0")
        return edges[(bandwidth.to(edges.device) - 1).clamp(0, len(edges) - 1)]


def upper_edges(config: MelConfig) -> Tensor:
    """Frequency in Hz where each mel band ends: [num_mels]."""
    low, high = hz_to_mel(torch.tensor([config.fmin, config.fmax], dtype=torch.float64)).tolist()
    return mel_to_hz(torch.linspace(low, high, config.num_mels + 2, dtype=torch.float64))[2:].float()


def low_pass(wave: Tensor, limit: Tensor, sample_rate: int) -> Tensor:
    """Remove everything above limit [B] Hz from wave [B, N]; full-band items stay as they are.

    One FFT over the whole crop: the same for both waves that are compared, so its edges do not matter.
    """
    nyquist = sample_rate / 2
    if bool((limit >= nyquist - 1).all()):
        return wave
    frequencies = torch.linspace(0, nyquist, wave.shape[1] // 2 + 1, device=wave.device)
    kept = (frequencies <= limit[:, None]) | (limit[:, None] >= nyquist - 1)
    return torch.fft.irfft(torch.fft.rfft(wave) * kept, n=wave.shape[1])
