"""A Linear layer made of integers: what every method ends in, on disk and in memory."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tadicodec.config import build
from tadicodec.errors import InputError
from tadicodec.integers.activation import Activation, rotate
from tadicodec.integers.packing import pack, storage_width, unpack

SCALES = {"float16": torch.float16, "float32": torch.float32}


@dataclass(frozen=True)
class Format:
    """How a layer is stored and what it does to its input, as config.json says it."""

    bits: int = 8
    group: int = 0  # inputs that share a scale; 0: the whole row
    scale: str = "float16"
    zero: bool = False  # a stored zero point a group; without, it is the middle of the stored width
    rotated: bool = False  # the input is turned by a randomised Hadamard matrix, the weight is stored turned
    smoothed: bool = False  # the input is divided by a vector, which the weight holds
    activation: Activation = field(default_factory=Activation)

    def __post_init__(self) -> None:
        if not 2 <= self.bits <= 8:
            raise InputError(f"quantization: bits are 2 to 8, not {self.bits}")
        if self.scale not in SCALES:
            raise InputError(f"quantization: scales are {' or '.join(SCALES)}, not {self.scale!r}")
        if self.group < 0:
            raise InputError("quantization: a group holds 1 input or more; 0 is the whole row")

    @classmethod
    def from_dict(cls, document: dict) -> Format:
        """Raises InputError for values of the wrong kind."""
        plain = build(cls, {key: value for key, value in document.items() if key != "activation"})
        return cls(**{**asdict(plain), "activation": build(Activation, document.get("activation", {}))})

    @property
    def width(self) -> int:
        return storage_width(self.bits)

    @property
    def dtype(self) -> torch.dtype:
        return SCALES[self.scale]

    def groups(self, inputs: int, name: str = "a layer") -> int:
        """How many a row has. Raises InputError where they do not come out even."""
        if self.group and inputs % self.group:
            raise InputError(
                f"quantization: groups of {self.group} do not divide the {inputs} inputs of {name}; choose another "
                "group, or list the layer under keep"
            )
        return inputs // self.group if self.group else 1


@dataclass(frozen=True)
class Integers:
    """levels [o, i] (signed without `zero`), scale and zero [o, G, 1]: the weight is s (q - z), or s q."""

    levels: Tensor
    scale: Tensor
    zero: Tensor | None = None

    def weight(self) -> Tensor:
        """[o, i] float32."""
        groups = self.levels.float().unflatten(-1, (self.scale.shape[1], -1))
        return ((groups if self.zero is None else groups - self.zero.float()) * self.scale.float()).flatten(-2)


class PackedLinear(nn.Module):
    """y = W x + b with W unpacked and scaled when it is needed; gradients reach x, and the bias if it wants them."""

    def __init__(self, in_features: int, out_features: int, bias: bool, form: Format) -> None:
        super().__init__()
        self.in_features, self.out_features, self.form = in_features, out_features, form
        groups = form.groups(in_features)
        size = -(-in_features * form.width // 8)
        self.register_buffer("packed", torch.zeros(out_features, size, dtype=torch.uint8))
        self.register_buffer("scale", torch.ones(out_features, groups, dtype=form.dtype))
        self.register_buffer("zero", torch.zeros(out_features, groups, dtype=form.dtype) if form.zero else None)
        self.register_buffer("signs", torch.ones(in_features, dtype=torch.int8) if form.rotated else None)
        self.register_buffer("smooth", torch.ones(in_features) if form.smoothed else None)
        self.bias = nn.Parameter(torch.zeros(out_features), requires_grad=False) if bias else None

    @classmethod
    def of(
        cls,
        integers: Integers,
        bias: Tensor | None,
        form: Format,
        *,
        signs: Tensor | None = None,
        smooth: Tensor | None = None,
    ) -> PackedLinear:
        """Pack what a method has found. Nothing is rounded again but scales to their stored precision."""
        rows, columns = integers.levels.shape
        layer = cls(columns, rows, bias is not None, form).to(integers.levels.device)
        shift = 0 if form.zero else layer.middle
        layer.packed.copy_(pack(integers.levels + shift, form.width))
        layer.scale.copy_(integers.scale.flatten(1))
        for name, value in (("zero", integers.zero), ("signs", signs), ("smooth", smooth), ("bias", bias)):
            if value is not None:
                getattr(layer, name).data.copy_(value.detach().reshape(getattr(layer, name).shape))
        return layer

    @property
    def middle(self) -> int:
        return 2 ** (self.form.width - 1)

    def levels(self) -> Tensor:
        """The stored integers [o, i]: signed, or 0.. where there is a zero point. int16"""
        values = unpack(self.packed, self.form.width, self.in_features).to(torch.int16)
        return values if self.form.zero else values - self.middle

    def integers(self) -> Integers:
        zero = None if self.zero is None else self.zero[..., None]
        return Integers(self.levels(), self.scale[..., None], zero)

    def weight(self) -> Tensor:
        """[o, i] float32, of the turned and smoothed input."""
        return self.integers().weight()

    def prepare_input(self, x: Tensor) -> Tensor:
        """[..., i] -> smoothed, turned and rounded."""
        if self.smooth is not None:
            x = x / self.smooth.to(x.dtype)
        if self.signs is not None:
            x = rotate(x, self.signs)
        return self.form.activation(x)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(self.prepare_input(x), self.weight().to(x.dtype), cast(self.bias, x.dtype))

    def extra_repr(self) -> str:
        return f"{self.in_features}, {self.out_features}, {self.form}"


def cast(bias: Tensor | None, dtype: torch.dtype) -> Tensor | None:
    return None if bias is None else bias.to(dtype)
