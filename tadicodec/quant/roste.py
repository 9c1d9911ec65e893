"""RoSTE (Wei et al. 2025): train at 4 bits with a rotation before a quantizer only where it lowers the error.

Q_x(R x) Q_w(W R')': weights per row (or group) and activations per token on min-max grids of which `clip` is kept.
Gradients pass straight through both quantizers in the rotated space, even where values are clipped; ranges count as
constant. Latent weights stay unrotated.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor, nn

from tadicodec.integers.activation import rotate
from tadicodec.integers.grid import split, to_levels, weight_grid
from tadicodec.integers.packed_linear import Format, Integers
from tadicodec.integers.ranges import ends, min_max
from tadicodec.integers.straight import through
from tadicodec.quant.quant_settings import QuantConfig
from tadicodec.quant.rotation import choose_rotation, rounding_error
from tadicodec.quant.trained import TrainedLinear


class RoSTELinear(TrainedLinear):
    """A layer whose input and weight are rotated before they are rounded, where that lowers the error; its weight
    learns."""

    signs: Tensor | None

    def __init__(self, linear: nn.Linear, config: QuantConfig, signs: Tensor | None) -> None:
        super().__init__(linear, config)
        self.grid = weight_grid(config.bits, config.group, signed=False)
        self.latent = nn.Parameter(linear.weight.detach().clone())
        self.register_buffer("signs", signs)

    @classmethod
    def make(
        cls, linear: nn.Linear, config: QuantConfig, inputs: Tensor | None, generator: torch.Generator
    ) -> RoSTELinear:
        """The layer with or without its rotation, as `config.rotation` says. Raises InputError where the choice needs
        inputs and there are none."""
        return choose_rotation(lambda signs: cls(linear, config, signs), linear, config, inputs, generator)

    @torch.no_grad()
    def error(self, inputs: Tensor) -> Tensor:
        """Relative squared error of the rounded weight plus that of the rounded inputs [n, i] (eq. 12)."""
        weight, x = self.turned(self.latent), self.turned(inputs)
        return rounding_error(self.weight(), weight) + rounding_error(self.form.activation(x), x)

    def turned(self, values: Tensor) -> Tensor:
        """Values [..., i] after the layer's rotation, if it has one."""
        return values if self.signs is None else rotate(values, self.signs)

    def prepare_input(self, x: Tensor) -> Tensor:
        return self.form.activation(self.turned(x), through_clipped=True)

    def weight(self) -> Tensor:
        """The rounded weight [o, i], which belongs to the rotated input."""
        return through(self.turned(self.latent), self.integers().weight())

    @torch.no_grad()
    def integers(self) -> Integers:
        groups = split(self.turned(self.latent), self.grid)
        low, high = (end.clamp(max=0) if i == 0 else end.clamp(min=0) for i, end in enumerate(ends(groups)))
        scale, _ = min_max(low, high, self.grid, self.form.activation.clip)
        scale = scale.to(self.form.dtype)
        zero = (-low / scale.float()).floor()
        return Integers(to_levels(groups, scale.float(), zero, self.grid).flatten(-2), scale, zero)

    def input_tensors(self) -> dict[str, Tensor | None]:
        return {"signs": self.signs}

    def stored_format(self) -> Format:
        return replace(self.form, zero=True, rotated=self.signs is not None)

    def weights(self) -> Iterator[nn.Parameter]:
        yield self.latent
