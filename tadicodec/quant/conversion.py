"""A network's Linear layers to integers: `prepare`, train if the method does, `convert`."""

from __future__ import annotations

from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn

from tadicodec.errors import InputError
from tadicodec.integers.layout import linear_layers
from tadicodec.integers.lookup import replace_module
from tadicodec.integers.packed_linear import Format
from tadicodec.quant.glm import round_linear
from tadicodec.quant.methods import find_method
from tadicodec.quant.quant_settings import QuantConfig
from tadicodec.quant.trained import TrainedLinear


def prepare(
    model: nn.Module,
    config: QuantConfig,
    generator: torch.Generator,
    inputs: dict[str, Tensor] | None = None,
) -> nn.Module:
    """Swap the layers that `config` names for trainable rounded ones, in place. Everything else stops learning.

    inputs: some inputs [n, i] of every layer by name (`observe.collect_inputs`), for methods that look at activations.

    Raises:
        InputError: no layer has such a name, or the group does not divide a layer's inputs.
    """
    check_fit(model, config)
    layers = linear_layers(model)
    others = Format(config.other_bits or 8, scale=config.scale)
    kind: type[TrainedLinear] = find_method(config.method).load_layer()
    for name, layer in layers.items():
        if config.takes(name):
            own = None if inputs is None else inputs.get(name)
            made = kind.make(layer, config, own, generator)
            chosen: nn.Module = made if kind.trains(name, config) else made.pack()
            replace_module(model, name, chosen.to(layer.weight.device))
        elif config.rounds(name):
            replace_module(model, name, round_linear(layer, others))
    model.requires_grad_(False)
    for trained in each_trained(model):
        for parameter in (*trained.weights(), *trained.scales()):
            parameter.requires_grad_()
    return model


def check_fit(model: nn.Module, config: QuantConfig) -> None:
    """Raise InputError unless the network has the layers that `config` names and the group divides their inputs."""
    layers = linear_layers(model)
    for pattern in (*config.layers, *config.keep):
        if not any(fnmatchcase(name, pattern) for name, _ in model.named_modules()):
            raise InputError(f"quantization: the network has no layer named {pattern}")
    taken = [name for name in layers if config.takes(name)]
    if not taken:
        names = " or ".join(config.layers)
        raise InputError(f"quantization: the network has no Linear layer named {names} that is not under keep")
    for name in taken:
        config.format.groups(layers[name].in_features, name)


def convert(model: nn.Module) -> nn.Module:
    """Replace the rounded layers that `prepare` put there by packed integers, in place."""
    for name, layer in list(model.named_modules()):
        if isinstance(layer, TrainedLinear):
            replace_module(model, name, layer.pack())
    return model.requires_grad_(False)


def each_trained(model: nn.Module) -> list[TrainedLinear]:
    """The rounded layers that stand in a network between `prepare` and `convert`."""
    return [layer for layer in model.modules() if isinstance(layer, TrainedLinear)]
