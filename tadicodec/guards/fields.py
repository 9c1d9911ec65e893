"""Fields of configurations: each section becomes a dataclass, every field checked for its type and its range."""

from __future__ import annotations

import math
from dataclasses import MISSING, fields
from typing import Any, TypeVar

from tadicodec.errors import InputError

T = TypeVar("T")


def require_range(section: str, config: object, low: float, high: float, *names: str) -> None:
    """Raise InputError that names the first of these fields of a recipe's section that is not within low .. high."""
    for name in names:
        if not low <= getattr(config, name) <= high:
            wanted = f"at least {low}" if high == math.inf else f"between {low} and {high}"
            raise InputError(f"recipe: {section}.{name} is {getattr(config, name)}; it must be {wanted}")


def require_positive(section: str, config: object, *names: str) -> None:
    """Raise InputError that names the first of these fields that is not a finite number above 0."""
    for name in names:
        if not 0 < getattr(config, name) < math.inf:
            raise InputError(f"config: {section} {name} must be positive, not {getattr(config, name)}")


def require_sizes(section: str, config: object, most: int, *names: str, least: int = 1) -> None:
    """Raise InputError that names the first of these fields that is not a whole number from `least` to `most`."""
    for name in names:
        value = getattr(config, name)
        if type(value) is not int or not least <= value <= most:
            wanted = "positive" if least == 1 else f"{least} or more"
            raise InputError(f"config: {section} {name} must be {wanted} and at most {most}, not {value}")


def build(kind: type[T], values: dict[str, Any]) -> T:
    """A dataclass from the keys of `values` that it knows, each checked against its default's type.

    Raises:
        InputError: `values` is no mapping, or a value is of another type or not finite.
    """
    if not isinstance(values, dict):
        raise InputError(f"config: {values!r} stands where a section (keys and values) belongs")
    known = {}
    for item in fields(kind):  # type: ignore[arg-type]
        if item.name not in values:
            continue
        default: Any = item.default if item.default_factory is MISSING else item.default_factory()
        value, kind_of_default = values[item.name], type(default)
        if kind_of_default is float and type(value) in (int, str):
            value = number(value)  # YAML reads 1e-3 as a string
        if type(value) is not kind_of_default:
            raise InputError(f"config: {item.name} must be {kind_of_default.__name__}, not {value!r}")
        if kind_of_default is float and not math.isfinite(value):
            raise InputError(f"config: {item.name} must be finite, not {value}")
        known[item.name] = value
    return kind(**known)


def number(value: int | str) -> float | int | str:
    """A number that stands as an integer or as text (YAML reads 1e-3 as text), as float; anything else as it is."""
    try:
        return float(value)
    except (ValueError, OverflowError):
        return value
