"""What to do to a network, and how long: two dataclasses, and the YAML file that holds both."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, TypeVar

from tadicodec.errors import InputError
from tadicodec.guards.documents import read_yaml
from tadicodec.guards.fields import build
from tadicodec.integers.activation import Activation
from tadicodec.integers.packed_linear import Format
from tadicodec.quant.methods import find_method

T = TypeVar("T")
IMITATE, OWN = "imitate", "codec"  # losses with gradients
BUILT_IN_JUDGES = ("words", "voice")  # without; `quant/decode_loss.py` says what they are


@dataclass(frozen=True)
class QuantConfig:
    """What becomes integers, and how: the one description that `prepare` and `convert` follow.

    Names of layers are the network's; * matches anything.

    Raises:
        InputError: a value out of range, or two that exclude each other.
    """

    method: str = "glm"
    bits: int = 8
    group: int = 0  # inputs that share a scale; 0: the whole row
    scale: str = "float16"  # how scales are stored, and what training sees of them
    layers: tuple[str, ...] = ("*",)  # that the method takes
    other_bits: int = 0  # of the remaining Linear layers, rounded to nearest per row beforehand; 0: left alone
    keep: tuple[str, ...] = ()  # that nothing touches
    activation: Activation = field(default_factory=Activation)
    rank: int = 8  # of the corrections (LR-QAT, L4Q)
    alpha: float = 0.0  # their gain is alpha / rank; 0: gain 1
    store: str = "fixed"  # LR-QAT's frozen weight: "fixed" point in a byte, "float", or rounded "integer"
    loftq: int = 0  # LR-QAT: rounds of LoftQ that fill the correction beforehand
    learn_offset: bool = False  # L4Q: an offset of every group
    searched: bool = False  # L4Q: scales start where rounding errors are least; as published, nothing is clipped
    rotation: str = "adaptive"  # RoSTE, ZeroQAT: by measured error; "all" or "none" to compare
    variant: str = "full"  # ZeroQAT: "light" moves q and v only, "scales" no weight, "layers" three numbers a layer

    def __post_init__(self) -> None:
        Format(self.bits, self.group, self.scale)
        find_method(self.method)
        choices = {"store": ("fixed", "float", "integer"), "rotation": ("adaptive", "all", "none")}
        for name, values in (choices | {"variant": ("full", "light", "scales", "layers")}).items():
            if getattr(self, name) not in values:
                raise InputError(f"quantization: {name} is one of {', '.join(values)}, not {getattr(self, name)!r}")
        if self.rank < 1 or self.loftq < 0 or self.alpha < 0:
            raise InputError("quantization: rank is 1 or more, loftq and alpha are 0 or more")
        if self.learn_offset and self.scale != "float32":
            raise InputError("quantization: learn_offset needs scale: float32, which can hold an offset as trained")
        if self.other_bits and not 2 <= self.other_bits <= 8:
            raise InputError(f"quantization: other_bits are 2 to 8, or 0 for none, not {self.other_bits}")

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> QuantConfig:
        """Read a recipe's section `quantization`. Raises InputError for keys that do not exist and values of the wrong
        kind."""
        known = exact(cls, document, "quantization")
        activation = exact(Activation, known.pop("activation", {}), "quantization.activation")
        plain = build(cls, known)
        return cls(
            **{**{f.name: getattr(plain, f.name) for f in fields(cls)}, "activation": build(Activation, activation)}
        )

    @property
    def format(self) -> Format:
        """How the method's layers are stored."""
        return Format(self.bits, self.group, self.scale, activation=self.activation)

    @property
    def gain(self) -> float:
        """The numerator of a correction's gain: alpha, or the rank where alpha is 0."""
        return self.alpha or float(self.rank)

    def takes(self, name: str) -> bool:
        """Whether the method takes the layer of this name."""
        return matches(name, self.layers) and not matches(name, self.keep)

    def rounds(self, name: str) -> bool:
        """Whether the layer of this name is rounded to nearest, because the method does not take it."""
        return bool(self.other_bits) and not self.takes(name) and not matches(name, self.keep)


@dataclass(frozen=True)
class TuneConfig:
    """How a method that trains is trained."""

    steps: int = 1000
    seed: int = 0
    lr: float = 1e-3  # of weights or corrections; ZeroQAT: of everything, the share of a perturbation a step moves
    scale_lr: float = 0.0  # of scales, where they are learned; 0: lr / 50
    weight_decay: float = 0.0
    clip: float = 1.0  # gradient norm
    warmup: float = 0.1  # share of the steps; after it a linear fall to zero
    loss: str = IMITATE  # the float network's outputs; "codec" is the codec's own training loss; or of a judge (judged)
    frames: int = 1200  # padded mel frames a step
    max_frames: int = 800  # of a clip
    intervene: int = 60  # Teacher Intervention: first steps, in which the teacher's signals replace the student's
    mode: str = "gradual"  # "output", "context", "map", or output -> context -> map
    flips: float = 0.1  # ZeroQAT: share of the roundings that a perturbation changes
    directions: int = 1  # ZeroQAT: perturbations a step

    def __post_init__(self) -> None:
        if self.steps < 0 or self.intervene < 0 or self.frames < 1 or self.directions < 1:
            raise InputError("tuning: steps and intervene are 0 or more, frames and directions 1 or more")
        if self.clip <= 0 or min(self.lr, self.scale_lr, self.weight_decay, self.seed) < 0:
            raise InputError("tuning: clip is above 0; lr, scale_lr, weight_decay and seed are 0 or more")
        if not 0 <= self.warmup <= 1 or not 0 < self.flips < 1:
            raise InputError("tuning: warmup is 0 to 1, flips between 0 and 1")
        if self.loss not in (IMITATE, OWN) and not self.judged:
            raise InputError("tuning: loss is 'imitate', 'codec', 'words', 'voice' or 'module:function'")
        if self.mode not in ("gradual", "output", "context", "map"):
            raise InputError("tuning: mode is 'gradual', 'output', 'context' or 'map'")

    @property
    def judged(self) -> bool:
        """Whether the loss is a number without gradients that a judge gives: "words", "voice" or "module:function"."""
        return self.loss in BUILT_IN_JUDGES or all(self.loss.partition(":"))

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> TuneConfig:
        """Read a recipe's section `tuning`. Raises InputError for keys that do not exist and values of the wrong
        kind."""
        return build(cls, exact(cls, document, "tuning"))


def exact(kind: type[T], document: dict[str, Any], section: str) -> dict[str, Any]:
    """A section of a recipe with its lists as tuples. Raises InputError for a key that `kind` does not have."""
    if not isinstance(document, dict):
        raise InputError(f"{section}: keys and values belong here, not {document!r}")
    known = [item.name for item in fields(kind)]  # type: ignore[arg-type]
    unknown = sorted(str(key) for key in document if key not in known)
    if unknown:
        raise InputError(f"{section} has no {unknown[0]!r}; it has {', '.join(known)}")
    return {key: names(value, key) if isinstance(value, list) else value for key, value in document.items()}


def names(values: list[Any], key: str) -> tuple[str, ...]:
    """A list of layer names as a tuple. Raises InputError for anything else."""
    if not all(isinstance(value, str) for value in values):
        raise InputError(f"quantization: {key} is a list of layer names, not {values!r}")
    return tuple(values)


def matches(name: str, patterns: tuple[str, ...]) -> bool:
    """Whether a name fits one of the patterns, in which * matches anything."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def read_quant_recipe(path: Path | str) -> dict[str, dict[str, Any]]:
    """The sections `quantization`, `vocoder` and `tuning` of a YAML file; those it lacks are empty.

    Raises:
        InputError: the file cannot be read, or is no such recipe.
    """
    document = read_yaml(Path(path))
    sections = ("quantization", "vocoder", "tuning")
    if not isinstance(document, dict) or set(document) - set(sections):
        raise InputError(f"{path}: a quantization recipe has the sections {', '.join(sections)}")
    found = {name: document.get(name) or {} for name in sections}
    for name, section in found.items():
        if not isinstance(section, dict):
            raise InputError(f"{path}: {name} is a section with keys and values, not {section!r}")
    return found
