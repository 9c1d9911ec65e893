"""What the methods' layers have in common: a Linear layer whose weight is rounded while it is trained."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tadicodec.integers.packed_linear import Format, Integers, PackedLinear
from tadicodec.quant.perturbation import Directions
from tadicodec.quant.quant_settings import QuantConfig, TuneConfig


class TrainedLinear(nn.Module, ABC):
    """A Linear layer between `prepare` and `convert`: its weight is rounded in every forward pass while it is trained.

    A method is a subclass that says how its weight is made.
    """

    gradients = True  # False: it learns from losses alone, along `directions`

    def __init__(self, linear: nn.Linear, config: QuantConfig) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.form: Format = config.format
        self.bias = linear.bias

    @classmethod
    @abstractmethod
    def make(
        cls, linear: nn.Linear, config: QuantConfig, inputs: Tensor | None, generator: torch.Generator
    ) -> TrainedLinear:
        """The layer that replaces a Linear layer. inputs: some of its inputs [n, i], for methods that need them."""

    @classmethod
    def trains(cls, name: str, config: QuantConfig) -> bool:
        """Whether the layer of this name learns at all; one that does not is packed at once."""
        return True

    @abstractmethod
    def weight(self) -> Tensor:
        """The rounded weight [o, i], with gradients."""

    @abstractmethod
    def integers(self) -> Integers:
        """The integers of the rounded weight: `integers().weight()` equals `weight()`."""

    def prepare_input(self, x: Tensor) -> Tensor:
        """Inputs [..., i] -> rounded, if the format says so."""
        return self.form.activation(x)

    def forward(self, x: Tensor) -> Tensor:
        """Inputs [..., i] -> outputs [..., o]."""
        return F.linear(self.prepare_input(x), self.weight(), self.bias)

    def weights(self) -> Iterator[nn.Parameter]:
        """Parameters that learn at the rate `lr`."""
        return iter(())

    def scales(self) -> Iterator[nn.Parameter]:
        """Parameters that learn at the rate `scale_lr`."""
        return iter(())

    def directions(self, tune: TuneConfig) -> list[Directions]:
        """For layers without gradients: which parameters are perturbed, how far, and at which rate they move."""
        return []

    @torch.no_grad()
    def pack(self) -> PackedLinear:
        """The layer of packed integers that takes this one's place for good."""
        return PackedLinear.of(self.integers(), self.bias, self.stored_format(), **self.input_tensors())

    def input_tensors(self) -> dict[str, Tensor | None]:
        """What the packed layer needs to prepare its input: `signs` of a rotation, `smooth` of a smoothing."""
        return {}

    def stored_format(self) -> Format:
        """The format of the packed layer."""
        return self.form
