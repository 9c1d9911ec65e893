"""A network as an ONNX graph: what is traced, how, and how far ONNX Runtime is from torch."""

from __future__ import annotations

import copy
import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tadicodec.errors import InputError
from tadicodec.integers.lookup import Key, Table, replace_module
from tadicodec.integers.onnx_linear import load_onnx
from tadicodec.integers.packed_linear import PackedLinear
from tadicodec.model.fused import unfuse

OPSET = 17
Axes = dict[str, dict[int, str]]


@dataclass(frozen=True)
class Graph:
    """What becomes one ONNX file: a module, inputs by name on which it is traced, names of its outputs, and which of
    all their axes may have any size (names of axes that are alike are the same)."""

    name: str
    module: nn.Module
    inputs: dict[str, Tensor]
    outputs: tuple[str, ...]
    axes: Axes


def trace(graph: Graph) -> Any:
    """The graph as an `onnx.ModelProto`, its weights within.

    Raises:
        InputError: the packages of the extra `onnx` are missing.
    """
    onnx, _, _ = load_onnx()
    held = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # the tracer warns of what is fixed on purpose, and of its own age
        torch.onnx.export(
            graph.module.eval(),
            tuple(graph.inputs.values()),
            held,  # type: ignore[arg-type]  # it takes files, whatever its signature says
            dynamo=False,
            opset_version=OPSET,
            input_names=list(graph.inputs),
            output_names=list(graph.outputs),
            dynamic_axes={name: dict(axes) for name, axes in graph.axes.items()},
        )
    return onnx.load_from_string(held.getvalue())


def run(session: Any, inputs: dict[str, Tensor]) -> list[Tensor]:
    """One call of a session: tensors by name in, tensors out, all on the CPU."""
    given = {name: np.ascontiguousarray(value.numpy()) for name, value in inputs.items()}
    return [torch.from_numpy(value) for value in session.run(None, given)]


@torch.no_grad()
def distance(graph: Graph, session: Any) -> float:
    """The largest relative distance of an output from torch's, |onnx - torch| / |torch|, on the traced inputs."""
    expected = graph.module(*graph.inputs.values())
    outputs: Sequence[Tensor] = (expected,) if isinstance(expected, Tensor) else expected
    found = run(session, graph.inputs)
    return max(
        float((own - other).norm() / other.norm().clamp(min=1e-12)) for own, other in zip(found, outputs, strict=True)
    )


def plain(network: nn.Module) -> nn.Module:
    """A copy of a network on the CPU as it was trained: float32, its blocks unfused, packed layers as the Linear layers
    that they stand for.

    Raises:
        InputError: a layer that is no Linear layer, because it is tabulated or prepares its input.
    """
    network = copy.deepcopy(network).cpu().float()
    unfuse(network)
    for name, layer in list(network.named_modules()):
        if isinstance(layer, (Key, Table)):
            raise InputError("export: time gains are tabulated; export the model that was made without --tabulate")
        if isinstance(layer, PackedLinear):
            replace_module(network, name, unpacked(name, layer))
    return network.eval().requires_grad_(False)


def unpacked(name: str, layer: PackedLinear) -> nn.Linear:
    """The Linear layer that a packed one stands for. Raises InputError where it prepares its input."""
    linear = layer.unpacked()
    if linear is None:
        raise InputError(f"export: {name} rotates, scales or rounds its input, which is not exported; use method glm")
    return linear
