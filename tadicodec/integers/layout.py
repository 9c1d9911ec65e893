"""Which layers of a network are packed, and how: read from a network, or put into an empty one."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, TypeVar

import torch
from torch import nn

from tadicodec.errors import InputError
from tadicodec.integers.lookup import Key, Table, replace_module
from tadicodec.integers.packed_linear import SCALES, Format, PackedLinear
from tadicodec.integers.packing import ORDER

TABLES = "tables"
N = TypeVar("N", bound=nn.Module)


def describe(model: nn.Module) -> list[dict[str, Any]]:
    """List the packed layers of a network, one entry for each format, as config.json stores them."""
    found: dict[Format, list[str]] = {}
    for name, layer in model.named_modules():
        if isinstance(layer, PackedLinear):
            found.setdefault(layer.form, []).append(name)
    packed = [{**asdict(form), "packing": ORDER, "layers": names} for form, names in found.items()]
    return packed + describe_tables(model)


def describe_tables(model: nn.Module) -> list[dict[str, Any]]:
    """One entry with the sizes of all tables that replace layers; an empty list where there are none."""
    modules = dict(model.named_modules())
    keys = {name: list(m.keys.shape) for name, m in modules.items() if isinstance(m, Key)}
    tables = {name: list(m.rows.shape) for name, m in modules.items() if isinstance(m, Table)}
    scales = {str(m.rows.dtype).removeprefix("torch.") for m in modules.values() if isinstance(m, Table)}
    return [{"packing": TABLES, "scale": scales.pop(), "keys": keys, "tables": tables}] if tables else []


def restore(model: N, description: list[dict[str, Any]]) -> N:
    """Put empty packed layers into a network, in place, where a description has them; their tensors are loaded
    afterwards.

    Raises:
        InputError: the description is damaged, of another packing, or of another network.
    """
    layers = linear_layers(model)
    try:
        for entry in description:
            if entry["packing"] == TABLES:
                restore_tables(model, entry)
                continue
            if entry["packing"] != ORDER:
                raise InputError(f"config: packing {entry['packing']!r} is not supported, only {ORDER!r}")
            form = Format.from_dict(entry)
            for name in entry["layers"]:
                if name not in layers:
                    raise InputError(f"config: {name} is quantized, but this model has no such Linear layer")
                old = layers[name]
                form.groups(old.in_features, name)
                with torch.device(old.weight.device):
                    replace_module(
                        model, name, PackedLinear(old.in_features, old.out_features, old.bias is not None, form)
                    )
    except InputError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"config: the quantization section is damaged ({error!r})") from error
    return model


def restore_tables(model: nn.Module, entry: dict[str, Any]) -> None:
    """Put empty tables into a network, in place, where an entry of a description has them.

    Raises:
        InputError: the network has no module of such a name.
    """
    modules = dict(model.named_modules())
    for name in (*entry["keys"], *entry["tables"]):
        if name not in modules:
            raise InputError(f"config: {name} is tabulated, but this model has no such module")
    device = next(model.parameters()).device
    with torch.device(device):
        for name, (count, size) in entry["keys"].items():
            replace_module(model, name, Key(count, size))
        for name, (count, size) in entry["tables"].items():
            replace_module(model, name, Table(count, size, SCALES[entry["scale"]]))


def to_precision(model: N, dtype: torch.dtype) -> N:
    """Put a network's floating tensors in another precision, in place, except the scales of packed layers and tables,
    which say what their integers stand for."""
    for module in model.modules():
        tensors = (*module._parameters.values(), *module._buffers.values())
        for tensor in () if isinstance(module, (PackedLinear, Key, Table)) else tensors:
            if tensor is not None and tensor.is_floating_point():
                tensor.data = tensor.data.to(dtype)
    return model


def linear_layers(model: nn.Module) -> dict[str, nn.Linear]:
    """All Linear layers by name, without subclasses, which may use their weight in ways of their own."""
    return {name: module for name, module in model.named_modules() if type(module) is nn.Linear}


def count_weights(model: nn.Module) -> int:
    """The number of a network's parameters, packed and tabulated ones included."""
    packed = sum(m.in_features * m.out_features for m in model.modules() if isinstance(m, PackedLinear))
    tables = sum(m.rows.numel() for m in model.modules() if isinstance(m, Table))
    return packed + tables + sum(parameter.numel() for parameter in model.parameters())
