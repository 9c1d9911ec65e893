"""The discriminators of the vocoder: a multi-period one on the wave, a multi-resolution one on complex spectrograms.

They are HiFi-GAN's and Vocos's with every size a field: the defaults fit a CPU, recipes/vocoder/full.yaml a GPU.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

from tadicodec.errors import InputError

PERIODS = (2, 3, 5, 7, 11)  # samples; primes, so that no two see the same folding
WINDOWS = (1024, 2048, 512)  # samples
SLOPE = 0.1  # of the leaky ReLUs


@dataclass(frozen=True)
class DiscriminatorConfig:
    """How many discriminators there are and how wide they are."""

    periods: int = 3  # the first so many of PERIODS
    period_width: int = 16  # channels of the first layer
    period_growth: int = 2  # from layer to layer
    period_max: int = 128  # channels
    resolutions: int = 3  # the first so many of WINDOWS
    spectral_width: int = 16  # channels of every layer
    spectral_layers: int = 4  # each halves the frequency axis

    def __post_init__(self) -> None:
        if not 0 <= self.periods <= len(PERIODS):
            raise InputError(f"objective: periods is 0 to {len(PERIODS)}")
        if not 0 <= self.resolutions <= len(WINDOWS):
            raise InputError(f"objective: resolutions is 0 to {len(WINDOWS)}")
        if self.periods + self.resolutions == 0:
            raise InputError("objective: periods and resolutions cannot both be 0")
        if min(self.period_width, self.period_growth, self.spectral_width, self.spectral_layers) < 1:
            raise InputError("objective: widths, growth and layers of the discriminators must be positive")


class Discriminators(nn.Module):
    """All discriminators. `forward` is their own loss; `judge` is what they tell the generator."""

    def __init__(self, config: DiscriminatorConfig) -> None:
        super().__init__()
        self.period = nn.ModuleList(PeriodDiscriminator(period, config) for period in PERIODS[: config.periods])
        self.spectral = nn.ModuleList(SpectralDiscriminator(n, config) for n in WINDOWS[: config.resolutions])

    def forward(self, real: Tensor, fake: Tensor) -> Tensor:
        """Real and generated waves [B, N] -> the discriminators' hinge loss, a mean over all of them. Gradients reach
        them only."""
        waves = torch.cat([real, fake.detach()])
        verdicts = [critic(waves)[-1].float().chunk(2) for critic in self.critics()]
        return mean(F.relu(1 - real).mean() + F.relu(1 + fake).mean() for real, fake in verdicts)

    def judge(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """Real and generated waves [B, N] -> "adversarial" (hinge) and "matching" (hidden layers), means over all
        discriminators.

        Gradients reach `fake` only: those of the discriminators, which nobody would use, are not computed.
        """
        adversarial, matching = [], []
        with frozen(self):
            for critic in self.critics():
                with torch.no_grad():
                    wanted = critic(real)[:-1]
                *hidden, verdict = critic(fake)
                adversarial.append(F.relu(1 - verdict.float()).mean())
                matching.append(mean(map(distance, hidden, wanted)))
        return {"adversarial": mean(adversarial), "matching": mean(matching)}

    def critics(self) -> list[nn.Module]:
        """All discriminators as one list."""
        return [*self.period, *self.spectral]


class PeriodDiscriminator(nn.Module):
    """Convolutions along every period-th sample."""

    def __init__(self, period: int, config: DiscriminatorConfig) -> None:
        super().__init__()
        self.period = period
        growth = (config.period_width * config.period_growth**i for i in range(4))
        widths = [1, *(min(width, config.period_max) for width in growth)]
        layers = [nn.Conv1d(a, b, kernel_size=5, stride=3, padding=2) for a, b in pairwise(widths)]
        layers.append(nn.Conv1d(widths[-1], widths[-1], kernel_size=5, padding=2))
        self.layers = nn.ModuleList(weight_norm(layer) for layer in layers)
        self.verdict = weight_norm(nn.Conv1d(widths[-1], 1, kernel_size=3, padding=1))

    def forward(self, wave: Tensor) -> list[Tensor]:
        """[B, N] -> each hidden layer [B * period, width, steps], then the verdict [B, period * steps]."""
        x = F.pad(wave[:, None], (0, -wave.shape[1] % self.period), mode="reflect")
        # A kernel of (k, 1) on [B, 1, N / period, period] is this one, with the columns in the batch.
        x = x.unflatten(2, (-1, self.period)).permute(0, 3, 1, 2).flatten(0, 1)  # [B * period, 1, N / period]
        hidden = []
        for layer in self.layers:
            x = F.leaky_relu(layer(x), SLOPE)
            hidden.append(x)
        return [*hidden, self.verdict(x).unflatten(0, (len(wave), -1)).flatten(1)]


class SpectralDiscriminator(nn.Module):
    """Convolutions over the complex short-time spectrum."""

    def __init__(self, n_fft: int, config: DiscriminatorConfig) -> None:
        super().__init__()
        self.n_fft = n_fft
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)
        widths = [2, *[config.spectral_width] * config.spectral_layers]
        layers = [nn.Conv2d(a, b, kernel_size=(3, 5), stride=(1, 2), padding=(1, 2)) for a, b in pairwise(widths)]
        layers.append(nn.Conv2d(widths[-1], widths[-1], kernel_size=3, padding=1))
        self.layers = nn.ModuleList(weight_norm(layer) for layer in layers)
        self.verdict = weight_norm(nn.Conv2d(widths[-1], 1, kernel_size=3, padding=1))

    def forward(self, wave: Tensor) -> list[Tensor]:
        """[B, N] -> each hidden layer [B, steps, bands, width], then the verdict [B, steps * bands]."""
        x = self.spectrum(wave).to(memory_format=torch.channels_last)  # twice as fast as the default on a CPU
        hidden = []
        for layer in self.layers:
            x = F.leaky_relu(layer(x), SLOPE)
            hidden.append(x.permute(0, 2, 3, 1))  # as it lies in memory: gradients of another layout are slow
        return [*hidden, self.verdict(x).flatten(1)]

    def spectrum(self, wave: Tensor) -> Tensor:
        """[B, N] -> real and imaginary part [B, 2, F, n_fft / 2], magnitudes raised to 0.3.

        Compressed, because the quiet upper half of speech would otherwise be invisible beside the lower.
        """
        with torch.autocast(wave.device.type, enabled=False):
            hop = self.n_fft // 4
            spectrum = torch.stft(
                wave.float(), self.n_fft, hop, window=self.window / self.n_fft**0.5, return_complex=True
            )
            parts = torch.view_as_real(spectrum[:, 1:]).permute(0, 3, 2, 1)  # without 0 Hz: a power of two of bins
            return parts * (parts.square().sum(1, keepdim=True) + 1e-6) ** -0.35


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """While the context is open, the module's parameters get no gradient."""
    learning = [parameter for parameter in module.parameters() if parameter.requires_grad]
    for parameter in learning:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in learning:
            parameter.requires_grad_(True)


def distance(mine: Tensor, theirs: Tensor) -> Tensor:
    """L1 relative to the size of `theirs`, so that every layer counts alike."""
    return (mine - theirs).abs().mean(dtype=torch.float32) / theirs.abs().mean(dtype=torch.float32).clamp(min=1e-5)


def mean(terms: Iterable[Tensor]) -> Tensor:
    """The mean of scalars, as a tensor."""
    return torch.stack(list(terms)).mean()
