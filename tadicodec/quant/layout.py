"""Which layers of a network are packed, and how: read from the network, or put into an empty one."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import torch
from torch import nn

from tadicodec.errors import InputError
from tadicodec.quant.packed import Format, PackedLinear
from tadicodec.quant.packing import ORDER


def describe(model: nn.Module) -> list[dict[str, Any]]:
    """The packed layers of a network, one entry a format: what config.json holds."""
    found: dict[Format, list[str]] = {}
    for name, layer in model.named_modules():
        if isinstance(layer, PackedLinear):
            found.setdefault(layer.form, []).append(name)
    return [{**asdict(form), "packing": ORDER, "layers": names} for form, names in found.items()]


def restore(model: nn.Module, description: list[dict[str, Any]]) -> nn.Module:
    """Put empty packed layers where a description has them, in place, ready for their tensors.

    Raises:
        InputError: the description is damaged, of another packing, or of another network.
    """
    layers = linear_layers(model)
    try:
        for entry in description:
            if entry["packing"] != ORDER:
                raise InputError(f"config: packing {entry['packing']!r} is not supported, only {ORDER!r}")
            form = Format.from_dict(entry)
            for name in entry["layers"]:
                if name not in layers:
                    raise InputError(f"config: {name} is quantized, but this model has no such Linear layer")
                old = layers[name]
                form.groups(old.in_features, name)
                with torch.device(old.weight.device):
                    replace(model, name, PackedLinear(old.in_features, old.out_features, old.bias is not None, form))
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"config: the quantization section is damaged ({error!r})") from error
    return model


def linear_layers(model: nn.Module) -> dict[str, nn.Linear]:
    """By name, subclasses excepted (they may use their weight in ways of their own)."""
    return {name: module for name, module in model.named_modules() if type(module) is nn.Linear}


def replace(model: nn.Module, name: str, layer: nn.Module) -> None:
    parent, _, last = name.rpartition(".")
    layer.train(model.training)
    setattr(model.get_submodule(parent), last, layer)
