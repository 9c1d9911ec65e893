"""The quantization methods: name, where a layer of it is made, what it starts from and what it needs. Everything else
asks this table, so a new method is one entry here and one file with its layer. Nothing heavy is imported."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from tadicodec.errors import InputError


@dataclass(frozen=True)
class Method:
    """One way to make integers of a Linear layer.

    layer         "module:class" of the layer while it is trained
    quantization  values that a recipe's section of this name starts from; `tuning` likewise
    trains        whether it learns from speech; the others only round
    sees_inputs   whether it looks at what enters its layers before training
    intervenes    whether a float teacher steps in while the first steps are trained, so that it must imitate that
    """

    layer: str
    quantization: dict[str, Any] = field(default_factory=dict)
    tuning: dict[str, Any] = field(default_factory=dict)
    trains: bool = True
    sees_inputs: bool = False
    intervenes: bool = False

    def load_layer(self) -> type:
        """The class of its layers, a `quant.trained.TrainedLinear`; imports torch."""
        module, name = self.layer.split(":")
        return getattr(import_module(module), name)


METHODS: dict[str, Method] = {
    "glm": Method("tadicodec.quant.glm:GLMLinear", trains=False),
    "lr_qat": Method(
        "tadicodec.quant.lr_qat:LRQATLinear",
        quantization={"bits": 4, "rank": 16},
        tuning={"lr": 3e-3, "scale_lr": 1e-5},
    ),
    "l4q": Method(
        "tadicodec.quant.l4q:L4QLinear",
        quantization={"bits": 4, "rank": 4, "searched": True},
        tuning={"lr": 3e-3, "scale_lr": 1e-4, "weight_decay": 0.01},
    ),
    "teacher_intervention": Method(
        "tadicodec.quant.ternary:TernaryLinear",
        quantization={"bits": 2, "activation": {"bits": 8, "symmetric": True}},
        tuning={"lr": 3e-4, "weight_decay": 0.01, "intervene": 120},
        intervenes=True,
    ),
    "zero_qat": Method(
        "tadicodec.quant.zero_qat:ZeroQATLinear",
        quantization={"bits": 4, "group": 0, "activation": {"bits": 4}, "rotation": "all", "variant": "layers"},
        tuning={"lr": 0.03},
        sees_inputs=True,
    ),
    "roste": Method(
        "tadicodec.quant.roste:RoSTELinear",
        quantization={"bits": 4, "group": 0, "activation": {"bits": 4, "clip": 0.95, "floor": True}},
        tuning={"lr": 1e-4},
        sees_inputs=True,
    ),
}


def find_method(name: object) -> Method:
    """The method of this name. Raises InputError for any other value."""
    if not isinstance(name, str) or name not in METHODS:
        raise InputError(f"quantization: method is one of {', '.join(METHODS)}, not {name!r}")
    return METHODS[name]
