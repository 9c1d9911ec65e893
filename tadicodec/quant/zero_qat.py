"""ZeroQAT (2025): quantization-aware training from losses alone, no backward pass and nothing stored for one.

Learned are the weights, the shares of their ranges that are kept (max sigmoid(g), min sigmoid(g'), as OmniQuant) and a
smoothing of the input channels, in log space. The shift of the inputs is left out: it is zero for weight-only rounding,
and no norm here has a place for it. As in RoSTE, a rotation may stand in front of a layer, behind the smoothing.

What losses alone find out falls with the number of parameters, so the variant "layers" has three numbers a layer: how
much is smoothed, which share of their ranges its weights keep, and which its inputs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn

from tadicodec.integers.activation import Activation, rotate, smoothing_scale
from tadicodec.integers.grid import split, to_levels, weight_grid
from tadicodec.integers.packed_linear import Format, Integers, prepare_input
from tadicodec.integers.ranges import ends, least_error_share, min_max
from tadicodec.integers.straight import fake_quantize, round_through, stored
from tadicodec.quant.perturbation import Directions
from tadicodec.quant.quant_settings import QuantConfig, TuneConfig
from tadicodec.quant.rotation import choose_rotation, rounding_error
from tadicodec.quant.trained import TrainedLinear

WIDEST = 0.982  # sigmoid(4), OmniQuant's start
MEAN_SIZE = 0.798  # E |N(0, 1)|
LOG_STEP = 0.02  # perturbation of range shares and smoothing
LAYER_STEP = 0.3  # of a number that a whole layer shares: its effect has to stand out from roundings that flip
LIGHT = ("*q_proj", "*v_proj")


class ZeroQATLinear(TrainedLinear):
    """A layer that learns from losses alone: ranges, a smoothing of its inputs and, depending on the variant, its
    weight."""

    gradients = False
    signs: Tensor | None

    def __init__(
        self, linear: nn.Linear, config: QuantConfig, inputs: Tensor | None, signs: Tensor | None = None
    ) -> None:
        super().__init__(linear, config)
        self.grid = weight_grid(config.bits, config.group, signed=False)
        self.variant = config.variant
        self.latent = nn.Parameter(linear.weight.detach().clone())
        self.register_buffer("signs", signs)
        self.log_smooth: nn.Parameter | None = None
        if config.activation.bits and inputs is not None:
            self.log_smooth = nn.Parameter(smoothing_scale(inputs, self.latent.detach()).log())
        self.amount = nn.Parameter(torch.ones(()))  # of the smoothing
        self.spread = nn.Parameter(torch.zeros(()))  # added to all of `low` and `high`
        self.clip = nn.Parameter(torch.tensor(min(config.activation.clip, WIDEST)).logit())
        share = least_error_share(split(self.turned_weight().detach(), self.grid), self.grid).clamp(max=WIDEST)
        self.low = nn.Parameter(share.logit())
        self.high = nn.Parameter(share.logit())

    @classmethod
    def make(
        cls, linear: nn.Linear, config: QuantConfig, inputs: Tensor | None, generator: torch.Generator
    ) -> ZeroQATLinear:
        if inputs is None and config.rotation == "adaptive":
            return cls(linear, config, None)
        return choose_rotation(lambda signs: cls(linear, config, inputs, signs), linear, config, inputs, generator)

    @classmethod
    def trains(cls, name: str, config: QuantConfig) -> bool:
        """The light variant trains queries and values only."""
        return config.variant != "light" or any(fnmatchcase(name, pattern) for pattern in LIGHT)

    @property
    def smooth(self) -> Tensor | None:
        """The factors [i] by which inputs are divided, or None."""
        return None if self.log_smooth is None else (self.amount * self.log_smooth).exp()

    def turned_weight(self) -> Tensor:
        """The weight [o, i] multiplied by the factors by which inputs are divided, and rotated with them."""
        weight = self.latent if self.smooth is None else self.latent * self.smooth
        return weight if self.signs is None else rotate(weight, self.signs)

    def prepare_input(self, x: Tensor) -> Tensor:
        return prepare_input(x, self.stored_format(), self.signs, self.smooth)

    def activation(self) -> Activation:
        """How inputs are rounded; the variant "layers" learns its clip."""
        form = self.form.activation
        return replace(form, clip=float(self.clip.detach().sigmoid())) if self.variant == "layers" else form

    @torch.no_grad()
    def error(self, inputs: Tensor) -> Tensor:
        """Relative squared error of the rounded weight plus that of the rounded inputs [n, i]."""
        whole = replace(self.stored_format(), activation=Activation())
        x = prepare_input(inputs, whole, self.signs, self.smooth)
        return rounding_error(self.weight(), self.turned_weight()) + rounding_error(self.activation()(x), x)

    def range(self) -> tuple[Tensor, Tensor, Tensor]:
        """Groups [o, G, g] of the weight as inputs meet it, and their scale and zero [o, G, 1] each."""
        groups = split(self.turned_weight(), self.grid)
        low, high = ends(groups)
        low = low.clamp(max=0) * (self.low + self.spread).sigmoid()
        high = high.clamp(min=0) * (self.high + self.spread).sigmoid()
        scale = stored(min_max(low, high, self.grid)[0], self.form.dtype)
        return groups, scale, round_through(-low / scale)

    def weight(self) -> Tensor:
        """The rounded weight [o, i], which belongs to the smoothed and rotated input."""
        groups, scale, zero = self.range()
        return fake_quantize(groups.flatten(-2), scale, zero, self.grid)

    @torch.no_grad()
    def integers(self) -> Integers:
        groups, scale, zero = self.range()
        return Integers(to_levels(groups, scale, zero, self.grid).flatten(-2), scale.to(self.form.dtype), zero)

    def input_tensors(self) -> dict[str, Tensor | None]:
        return {"smooth": self.smooth, "signs": self.signs}

    def stored_format(self) -> Format:
        turned, smoothed = self.signs is not None, self.log_smooth is not None
        return replace(self.form, zero=True, rotated=turned, smoothed=smoothed, activation=self.activation())

    def weights(self) -> Iterator[nn.Parameter]:
        if self.variant in ("light", "full"):
            yield self.latent

    def scales(self) -> Iterator[nn.Parameter]:
        if self.variant == "layers":
            yield self.spread
            if self.log_smooth is not None:
                yield from (self.amount, self.clip)
        elif self.variant != "light":
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
            found.append(Directions(scales, LAYER_STEP if self.variant == "layers" else LOG_STEP, tune.lr))
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
