"""`prepare` -> train -> `convert`: any network's Linear layers to integers."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tadicodec.errors import InputError
from tadicodec.quant.config import QuantConfig
from tadicodec.quant.glm import GLMLinear, round_linear
from tadicodec.quant.l4q import L4QLinear
from tadicodec.quant.layout import linear_layers
from tadicodec.quant.lr_qat import LRQATLinear
from tadicodec.quant.packed import Format
from tadicodec.quant.roste import RoSTELinear
from tadicodec.quant.tables import put
from tadicodec.quant.ternary import TernaryLinear
from tadicodec.quant.trained import TrainedLinear
from tadicodec.quant.zero_qat import ZeroQATLinear

LAYERS: dict[str, type[TrainedLinear]] = {
    "glm": GLMLinear,
    "lr_qat": LRQATLinear,
    "l4q": L4QLinear,
    "teacher_intervention": TernaryLinear,
    "zero_qat": ZeroQATLinear,
    "roste": RoSTELinear,
}


def prepare(
    model: nn.Module,
    config: QuantConfig,
    generator: torch.Generator,
    inputs: dict[str, Tensor] | None = None,
) -> nn.Module:
    """Swap the layers that `config` names for trainable rounded ones, in place. Everything else stops learning.

    inputs: for methods that look at activations, [n, i] of every layer (`observe.collect_inputs`).

    Raises:
        InputError: no layer has such a name, or a layer's inputs do not come out even.
    """
    layers = linear_layers(model)
    taken = [name for name in layers if config.takes(name)]
    if not taken:
        raise InputError(f"quantization: the network has no Linear layer named {' or '.join(config.layers)}")
    for name in taken:
        config.format.groups(layers[name].in_features, name)
    others = Format(config.other_bits or 8, scale=config.scale)
    kind = LAYERS[config.method]
    for name, layer in layers.items():
        if config.takes(name):
            own = None if inputs is None else inputs.get(name)
            made = kind.make(layer, config, own, generator)
            put(model, name, made if kind.trains(name, config) else made.pack())
        elif config.rounds(name):
            put(model, name, round_linear(layer, others))
    model.requires_grad_(False)
    for layer in each_trained(model):
        for parameter in (*layer.weights(), *layer.scales()):
            parameter.requires_grad_()
    return model


def convert(model: nn.Module) -> nn.Module:
    """Leave nothing but packed integers where `prepare` put rounded layers, in place."""
    for name, layer in list(model.named_modules()):
        if isinstance(layer, TrainedLinear):
            put(model, name, layer.pack())
    return model.requires_grad_(False)


def each_trained(model: nn.Module) -> list[TrainedLinear]:
    """The rounded layers between `prepare` and `convert`."""
    return [layer for layer in model.modules() if isinstance(layer, TrainedLinear)]
