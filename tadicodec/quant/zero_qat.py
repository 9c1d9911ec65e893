"""ZeroQAT (2025): quantization-aware training from losses alone, no backward pass and nothing stored for one.

Learned are the weights, the shares of their ranges that are kept (max sigmoid(g), min sigmoid(g'), as OmniQuant) and a
smoothing of the input channels, in log space. The shift of the inputs is left out: it is zero for weight-only rounding,
and no norm here has a place for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn

from tadicodec.integers.activation import smoothing_scale
from tadicodec.integers.grid import split, to_levels, weight_grid
from tadicodec.integers.packed_linear import Format, Integers
from tadicodec.integers.ranges import ends, least_error_share, min_max
from tadicodec.integers.straight import fake_quantize, round_through, stored
from tadicodec.quant.perturbation import Directions
from tadicodec.quant.quant_settings import QuantConfig, TuneConfig
from tadicodec.quant.trained import TrainedLinear

WIDEST = 0.982  # sigmoid(4), OmniQuant's start
MEAN_SIZE = 0.798  # E |N(0, 1)|
LOG_STEP = 0.02  # perturbation of range shares and smoothing
LIGHT = ("*q_proj", "*v_proj")


class ZeroQATLinear(TrainedLinear):
    """A layer that learns from losses alone: ranges, a smoothing of its inputs and, depending on the variant, its
    weight."""

    gradients = False

    def __init__(self, linear: nn.Linear, config: QuantConfig, inputs: Tensor | None) -> None:
        super().__init__(linear, config)
        self.grid = weight_grid(config.bits, config.group, signed=False)
        self.variant = config.variant
        self.latent = nn.Parameter(linear.weight.detach().clone())
        self.log_smooth: nn.Parameter | None = None
        if config.activation.bits and inputs is not None:
            self.log_smooth = nn.Parameter(smoothing_scale(inputs, self.latent.detach()).log())
        share = least_error_share(split(self.smoothed_weight().detach(), self.grid), self.grid).clamp(max=WIDEST)
        self.low = nn.Parameter(share.logit())
        self.high = nn.Parameter(share.logit())

    @classmethod
    def make(
        cls, linear: nn.Linear, config: QuantConfig, inputs: Tensor | None, generator: torch.Generator
    ) -> ZeroQATLinear:
        return cls(linear, config, inputs)

    @classmethod
    def trains(cls, name: str, config: QuantConfig) -> bool:
        """The light variant trains queries and values only."""
        return config.variant != "light" or any(fnmatchcase(name, pattern) for pattern in LIGHT)

    @property
    def smooth(self) -> Tensor | None:
        """The factors [i] by which inputs are divided, or None."""
        return None if self.log_smooth is None else self.log_smooth.exp()

    def smoothed_weight(self) -> Tensor:
        """The weight [o, i] multiplied by the factors by which inputs are divided."""
        return self.latent if self.smooth is None else self.latent * self.smooth

    def prepare_input(self, x: Tensor) -> Tensor:
        return self.form.activation(x if self.smooth is None else x / self.smooth)

    def range(self) -> tuple[Tensor, Tensor, Tensor]:
        """Groups [o, G, g] of the smoothed weight, and their scale and zero [o, G, 1] each."""
        groups = split(self.smoothed_weight(), self.grid)
        low, high = ends(groups)
        low, high = low.clamp(max=0) * self.low.sigmoid(), high.clamp(min=0) * self.high.sigmoid()
        scale = stored(min_max(low, high, self.grid)[0], self.form.dtype)
        return groups, scale, round_through(-low / scale)

    def weight(self) -> Tensor:
        """The rounded weight [o, i], which belongs to the smoothed input."""
        groups, scale, zero = self.range()
        return fake_quantize(groups.flatten(-2), scale, zero, self.grid)

    @torch.no_grad()
    def integers(self) -> Integers:
        groups, scale, zero = self.range()
        return Integers(to_levels(groups, scale, zero, self.grid).flatten(-2), scale.to(self.form.dtype), zero)

    def input_tensors(self) -> dict[str, Tensor | None]:
        return {"smooth": self.smooth}

    def stored_format(self) -> Format:
        return replace(self.form, zero=True, smoothed=self.log_smooth is not None)

    def weights(self) -> Iterator[nn.Parameter]:
        if self.variant != "scales":
            yield self.latent

    def scales(self) -> Iterator[nn.Parameter]:
        if self.variant == "light":
            return
        yield from (self.low, self.high)
        if self.log_smooth is not None:
            yield self.log_smooth

    @torch.no_grad()
    def directions(self, tune: TuneConfig) -> list[Directions]:
        """How this layer is perturbed.

        A weight moves so far that the wanted share of its integers changes: below one in a hundred the loss stands
        still, above a third it is another network's. The rate is the share of a perturbation that a step of usual size
        moves, so the movement over a training is between rate * sqrt(steps) and rate * steps perturbations.
        """
        found = []
        if weights := tuple(self.weights()):
            found.append(Directions(weights, self.epsilon(tune.flips), tune.lr))
        if scales := tuple(self.scales()):
            found.append(Directions(scales, LOG_STEP, tune.lr))
        return found

    @torch.no_grad()
    def epsilon(self, flips: float) -> float:
        """The size of a perturbation of the weight that changes this share of the integers.

        It is measured, because where the ends of a row move its zero point can move, and with it the whole row.
        """
        start, before = self.latent.clone(), self.integers().levels
        noise = torch.randn(start.shape, generator=torch.Generator().manual_seed(0)).to(start)
        epsilon = flips * float(self.range()[1].mean()) / MEAN_SIZE
        for _ in range(3):
            self.latent.copy_(start + epsilon * noise)
            epsilon *= (flips / max(self.flipped(before), flips / 4)) ** 0.7
        self.latent.copy_(start)
        return epsilon

    @torch.no_grad()
    def flipped(self, before: Tensor) -> float:
        """The share of the integers that differ from `before` [o, i]."""
        return float((self.integers().levels != before).float().mean())
