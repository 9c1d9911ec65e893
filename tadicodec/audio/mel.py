"""Log-mel spectrogram at 50 Hz, the only view of the signal that the model has."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tadicodec.config import MelConfig


class MelSpectrogram(nn.Module):
    """wave [B, N] -> normalised log-mel [B, N // hop, num_mels].

    Reflect padding of (n_fft - hop) / 2, no centring, magnitude sqrt(re^2 + im^2 + 1e-9), natural log of max(., 1e-5),
    then the configuration's mean and variance.
    """

    window: Tensor
    filters: Tensor

    def __init__(self, config: MelConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("window", torch.hann_window(config.win_size), persistent=False)
        self.register_buffer("filters", mel_filters(config), persistent=False)

    def forward(self, wave: Tensor) -> Tensor:
        log_mel = self.log_mel(wave)
        return (log_mel - self.config.mel_mean) / self.config.mel_var**0.5

    def log_mel(self, wave: Tensor) -> Tensor:
        """wave [B, N], N > (n_fft - hop) / 2 -> natural log-mel [B, F, num_mels]."""
        config = self.config
        pad = (config.n_fft - config.hop_size) // 2
        padded = F.pad(wave.unsqueeze(1), (pad, pad), mode="reflect").squeeze(1)
        spectrum = torch.stft(
            padded, config.n_fft, config.hop_size, config.win_size, self.window, center=False, return_complex=True
        )
        magnitude = torch.sqrt(spectrum.real.square() + spectrum.imag.square() + 1e-9)  # [B, bins, F]
        mel = torch.matmul(self.filters, magnitude)  # [B, num_mels, F]
        return mel.clamp(min=1e-5).log().transpose(1, 2)


def mel_filters(config: MelConfig) -> Tensor:
    """Slaney's triangular filters, area-normalised (librosa's default) [num_mels, n_fft // 2 + 1]."""
    bins = torch.linspace(0, config.sample_rate / 2, config.n_fft // 2 + 1, dtype=torch.float64)
    edges = mel_edges(config)
    width = edges.diff()
    slopes = edges[:, None] - bins[None, :]
    rising = -slopes[:-2] / width[:-1, None]
    falling = slopes[2:] / width[1:, None]
    triangles = torch.minimum(rising, falling).clamp(min=0)
    return (triangles * (2.0 / (edges[2:] - edges[:-2]))[:, None]).float()


def mel_edges(config: MelConfig) -> Tensor:
    """Where the bands begin, peak and end in Hz, each ending where the next but one begins [num_mels + 2] float64."""
    limits = hz_to_mel(torch.tensor([config.fmin, config.fmax], dtype=torch.float64))
    return mel_to_hz(torch.linspace(limits[0].item(), limits[1].item(), config.num_mels + 2, dtype=torch.float64))


# Slaney's scale is linear to 1 kHz (200/3 Hz a mel) and logarithmic above (27 steps for a factor of 6.4).
LINEAR_STEP, BREAK_HZ = 200.0 / 3, 1000.0
BREAK_MEL, LOG_STEP = BREAK_HZ / LINEAR_STEP, float(torch.log(torch.tensor(6.4, dtype=torch.float64)) / 27)


def hz_to_mel(hz: Tensor) -> Tensor:
    """Frequencies in Hz -> Slaney's mel."""
    above = BREAK_MEL + torch.log(hz.clamp(min=BREAK_HZ) / BREAK_HZ) / LOG_STEP
    return torch.where(hz >= BREAK_HZ, above, hz / LINEAR_STEP)


def mel_to_hz(mel: Tensor) -> Tensor:
    """Slaney's mel -> frequencies in Hz."""
    above = BREAK_HZ * torch.exp((mel - BREAK_MEL).clamp(min=0) * LOG_STEP)
    return torch.where(mel >= BREAK_MEL, above, mel * LINEAR_STEP)


def valid_bins(sample_rate: int, config: MelConfig) -> int:
    """How many mel bins a recording that was made at `sample_rate` can fill: the bands that lie wholly below half of
    it."""
    return int((mel_edges(config)[2:] <= sample_rate / 2 + 1e-6).sum())
