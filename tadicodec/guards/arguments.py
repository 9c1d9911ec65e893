"""Checks of what callers hand in: each refusal is an InputError that says what to write instead.

They know nothing of models, so every public entry point of the package can use them.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from importlib.resources import files
from numbers import Integral, Real
from pathlib import Path
from typing import Any, TypeVar

from tadicodec.errors import InputError

T = TypeVar("T")


def whole(name: str, value: Any, least: int, hint: str = "") -> int:
    """A whole number of at least `least`. Raises InputError for anything else, a bool included."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise InputError(f"{name} {described(value)}: give a whole number of at least {least}{hint}")
    return int(value)


def number(name: str, value: Any, least: float, most: float, hint: str = "") -> float:
    """A number from `least` to `most`. Raises InputError for anything else, a bool and NaN included."""
    if isinstance(value, bool) or not isinstance(value, Real) or not least <= float(value) <= most:
        limit = f"of at least {least:g}" if math.isinf(most) else f"from {least:g} to {most:g}"
        raise InputError(f"{name} {described(value)}: give a number {limit}{hint}")
    if math.isinf(float(value)):
        raise InputError(f"{name} {described(value)}: give a finite number{hint}")
    return float(value)


def kind(name: str, value: T, wanted: type | tuple[type, ...], made_by: str) -> T:
    """`value` itself, if it is an instance of `wanted`. Raises InputError that says what makes one."""
    if not isinstance(value, wanted):
        raise InputError(f"{name} is {made_by}, not {described(value)}")
    return value


def series(name: str, value: Any) -> Iterator[Any]:
    """What can be gone through item by item. Raises InputError."""
    try:
        return iter(value)
    except TypeError:
        raise InputError(f"{name} is a list or an iterator of them, not {described(value)}") from None


def packaged(*parts: str) -> Path:
    """The path of what comes with the package, such as packaged("tts", "assets", "ar")."""
    return Path(str(files("tadicodec"))).joinpath(*parts)


def path(name: str, value: Any) -> Path:
    """A place in the file system. Raises InputError for what is no string and no path, or a name with a NUL in it."""
    if not isinstance(value, (str, os.PathLike)) or isinstance(os.fspath(value), bytes):
        raise InputError(f"{name} is a path or its name as a string, not {described(value)}")
    if "\0" in os.fspath(value):  # no system takes it, and Python says so in another way at each call
        raise InputError(f"{name} is a path without NUL characters, not {described(str(value))}")
    return Path(value)


def texts(text: Any, count: int) -> tuple[str | None, ...]:
    """One text (or None) for each of `count` items; a single one serves all. Raises InputError."""
    if text is None or isinstance(text, str):
        return (text,) * count
    if not isinstance(text, (list, tuple)):
        raise InputError(f"text is a string, None, or a list with one for each item, not {described(text)}")
    for item in text:
        if item is not None and not isinstance(item, str):
            raise InputError(f"a text is a string or None, not {described(item)}")
    if len(text) != count:
        raise InputError(f"{count} {'item' if count == 1 else 'items'} but {len(text)} texts; give one text for each")
    return tuple(text)


def described(value: Any) -> str:
    """A value for a message: short ones as they are, others by their type."""
    shown = repr(value)
    article = f"of type {type(value).__name__}"
    return shown if len(shown) <= 40 and "\n" not in shown and " at 0x" not in shown else f"something {article}"
