"""A Linear layer made of integers: what every method ends in, on disk and in memory."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tadicodec.errors import InputError
from tadicodec.guards.fields import build
from tadicodec.integers.activation import Activation, rotate
from tadicodec.integers.packing import pack, storage_width, unpack

SCALES = {"float16": torch.float16, "float32": torch.float32}


@dataclass(frozen=True)
class Format:
    """How a layer is stored and what it does to its input, as config.json says it.

    Raises:
        InputError: a value out of range.
    """

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
        """Read an entry of config.json; keys that a format does not have are passed over. Raises InputError for values
        of the wrong kind."""
        plain = build(cls, {key: value for key, value in document.items() if key != "activation"})
        return cls(**{**asdict(plain), "activation": build(Activation, document.get("activation", {}))})

    @property
    def width(self) -> int:
        """Bits that a value takes on disk: 2, 4 or 8."""
        return storage_width(self.bits)

    @property
    def dtype(self) -> torch.dtype:
        """The type in which scales are stored."""
        return SCALES[self.scale]

    def groups(self, inputs: int, name: str = "a layer") -> int:
        """How many groups a row of so many inputs has. Raises InputError, which names the layer, where they do not come
        out even."""
        if self.group and inputs % self.group:
            raise InputError(
                f"quantization: groups of {self.group} do not divide the {inputs} inputs of {name}; choose another "
                "group, or list the layer under keep"
            )
        return inputs // self.group if self.group else 1


@dataclass(frozen=True)
class Integers:
    """A weight as integers: scale * (levels - zero), or scale * levels without a zero.

    levels [o, i] (signed where there is no zero), scale and zero [o, G, 1] for G groups a row.
    """

    levels: Tensor
    scale: Tensor
    zero: Tensor | None = None

    def weight(self) -> Tensor:
        """The weight [o, i] float32 that the integers stand for."""
        groups = self.levels.float().unflatten(-1, (self.scale.shape[1], -1))
        return ((groups if self.zero is None else groups - self.zero.float()) * self.scale.float()).flatten(-2)


class PackedLinear(nn.Module):
    """A Linear layer y = W x + b that unpacks and scales its weight when it is used.

    Gradients reach x; the bias learns only if it is told to.
    """

    packed: Tensor
    scale: Tensor
    zero: Tensor | None
    signs: Tensor | None
    smooth: Tensor | None

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
        """Pack the integers that a method has found.

        bias [o], signs [i] of a rotation and smooth [i], by which the input is divided, go along where the format has
        them. Nothing is rounded again, except scales to the precision in which they are stored.
        """
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
        """Half of the stored range, which is added to signed integers so that they can be stored without a sign."""
        return 2 ** (self.form.width - 1)

    def levels(self) -> Tensor:
        """The stored integers [o, i] int16: signed, or from 0 upwards where there is a zero point."""
        values = unpack(self.packed, self.form.width, self.in_features).to(torch.int16)
        return values if self.form.zero else values - self.middle

    def integers(self) -> Integers:
        """The stored integers with their scales and zeros."""
        zero = None if self.zero is None else self.zero[..., None]
        return Integers(self.levels(), self.scale[..., None], zero)

    def weight(self) -> Tensor:
        """The weight [o, i] float32, which belongs to the rotated and smoothed input."""
        return self.integers().weight()

    def unpacked(self) -> nn.Linear | None:
        """The Linear layer in float32 that this one stands for; None where it rotates, scales or rounds its input."""
        if self.form.rotated or self.form.smoothed or self.form.activation.bits:
            return None
        linear = nn.Linear(self.in_features, self.out_features, bias=self.bias is not None, device=self.packed.device)
        linear.weight.data = self.weight()
        if self.bias is not None:
            linear.bias.data.copy_(self.bias)
        return linear.requires_grad_(False)

    def prepare_input(self, x: Tensor) -> Tensor:
        """Inputs [..., i] -> divided by `smooth`, rotated and rounded, as far as the format says so."""
        return prepare_input(x, self.form, self.signs, self.smooth)

    def forward(self, x: Tensor) -> Tensor:
        """Inputs [..., i] -> outputs [..., o] in the dtype of the inputs."""
        return F.linear(self.prepare_input(x), self.weight().to(x.dtype), cast(self.bias, x.dtype))

    def extra_repr(self) -> str:
        """Sizes and format, for printing the network."""
        return f"{self.in_features}, {self.out_features}, {self.form}"


def prepare_input(x: Tensor, form: Format, signs: Tensor | None, smooth: Tensor | None) -> Tensor:
    """Inputs [..., i] of a layer -> divided by smooth [i], rotated with signs [i], and rounded as the format says."""
    if smooth is not None:
        x = x / smooth.to(x.dtype)
    if signs is not None:
        x = rotate(x, signs)
    return form.activation(x)


def cast(bias: Tensor | None, dtype: torch.dtype) -> Tensor | None:
    """A bias in another dtype, or None where there is none."""
    return None if bias is None else bias.to(dtype)
