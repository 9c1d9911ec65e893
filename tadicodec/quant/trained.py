"""What the methods' layers have in common: a Linear layer whose weight is rounded while it is trained."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tadicodec.integers.packed_linear import Format, Integers, PackedLinear
from tadicodec.quant.settings import QuantConfig, TuneConfig
from tadicodec.quant.zeroth import Directions


class TrainedLinear(nn.Module, ABC):
    """Replaces a Linear layer between `prepare` and `convert`. A method says how its weight is made."""

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
        """From a layer and, for methods that need them, some of its inputs [n, i]."""

    @classmethod
    def trains(cls, name: str, config: QuantConfig) -> bool:
        """Whether a layer of this name learns at all."""
        return True

    @abstractmethod
    def weight(self) -> Tensor:
        """The rounded weight [o, i], differentiable."""

    @abstractmethod
    def integers(self) -> Integers:
        """Its integers: `integers().weight()` is `weight()`."""

    def prepare_input(self, x: Tensor) -> Tensor:
        return self.form.activation(x)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(self.prepare_input(x), self.weight(), self.bias)

    def weights(self) -> Iterator[nn.Parameter]:
        """Parameters that learn at `lr`."""
        return iter(())

    def scales(self) -> Iterator[nn.Parameter]:
        """Parameters that learn at `scale_lr`."""
        return iter(())

    def directions(self, tune: TuneConfig) -> list[Directions]:
        """What is perturbed, how far and at which rate, where there are no gradients."""
        return []

    @torch.no_grad()
    def pack(self) -> PackedLinear:
        """The layer that takes this one's place for good."""
        return PackedLinear.of(self.integers(), self.bias, self.stored_format(), **self.input_tensors())

    def input_tensors(self) -> dict[str, Tensor | None]:
        """What the packed layer needs to prepare its input: `signs`, `smooth`."""
        return {}

    def stored_format(self) -> Format:
        return self.form
