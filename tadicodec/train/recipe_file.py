"""The YAML file of a recipe: read with the base that it names and the overrides of the command line, and checked."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

from tadicodec.errors import InputError
from tadicodec.guards.documents import parse_yaml, read_yaml
from tadicodec.guards.fields import build

SECTIONS = ("base", "task", "out", "data", "model", "objective", "optim", "loop", "init")
PRECISIONS = {"float32": "no", "bf16": "bf16"}  # float16 would need its loss scale in every checkpoint


def read_recipe(path: Path, overrides: list[str]) -> dict[str, Any]:
    """The YAML file, laid over the one that it names as its `base` if it does, with the overrides put in.

    Raises:
        InputError: not such a file, a base that is missing or leads back here, or sections of the wrong kind.
    """
    document = read_with_base(path)
    for override in overrides:
        override_key(document, override)
    check_document(path, document)
    return document


def read_with_base(path: Path, above: tuple[Path, ...] = ()) -> dict[str, Any]:
    """A recipe and, beneath it, its base: a path relative to the recipe. `above` are the recipes that led here."""
    if not path.is_file():
        asked = f"{above[-1]}: its base {path}" if above else str(path)
        raise InputError(f"{asked}: no such recipe; see recipes/ for the ones that come with the project")
    document = read_yaml(path)
    if not isinstance(document, dict):
        raise InputError(f"{path}: not a recipe (a mapping with the keys {', '.join(SECTIONS)})")
    base = document.pop("base", None)
    if base is None:
        return document
    if not isinstance(base, str):
        raise InputError(f"{path}: base is the path of another recipe, not {base!r}")
    if path.resolve() in above:
        raise InputError(f"{path}: is its own base; leave one of the two out")
    return laid_over(read_with_base(path.parent / base, (*above, path.resolve())), document)


def laid_over(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Two nested mappings as one: what the upper one says replaces what the lower one says, section by section."""
    both = {
        key: laid_over(below[key], value) if isinstance(value, dict) and isinstance(below.get(key), dict) else value
        for key, value in above.items()
    }
    return {**below, **both}


def check_document(path: Path, document: dict[str, Any]) -> None:
    """Raise InputError for sections that are unknown, missing or of the wrong kind."""
    unknown = {str(key) for key in set(document) - {*SECTIONS, "precision"}}
    if unknown:
        raise InputError(f"{path}: unknown section {min(unknown)!r}; there are {', '.join(SECTIONS)}, precision")
    for needed in ("task", "out", "model"):
        if needed not in document:
            raise InputError(f"{path}: section {needed!r} is missing")
    for name in {"data", "model", "objective", "optim", "loop"} & set(document):
        if not isinstance(document[name], dict):
            raise InputError(f"{path}: {name} is a section with keys and values, not {document[name]!r}")
    for name in {"task", "out", "init"} & set(document):
        if not isinstance(document[name], str) and not (name == "init" and document[name] is None):
            raise InputError(f"{path}: {name} must be text, not {document[name]!r}")
    precision = document.get("precision", "bf16")
    if not isinstance(precision, str) or precision not in PRECISIONS:
        raise InputError(f"{path}: precision is {' or '.join(PRECISIONS)}, not {precision!r}")


def override_key(document: dict[str, Any], override: str) -> None:
    """Set a value by "a.b.c=value", which is read as YAML. Raises InputError for anything else."""
    keys, separator, value = override.partition("=")
    if not separator:
        raise InputError(f"{override!r}: overrides have the form section.key=value")
    *parents, last = keys.split(".")
    place = document
    for key in parents:
        place = place.setdefault(key, {})
        if not isinstance(place, dict):
            raise InputError(f"{override!r}: {key!r} is not a section")
    try:
        place[last] = parse_yaml(value)
    except ValueError as error:
        raise InputError(f"{override!r}: the value is not valid YAML ({error})") from error


def checked(kind: type, values: dict[str, Any], section: str) -> Any:
    """A dataclass from a recipe's section. Unlike a published config.json, a recipe may not hold keys that the class
    does not have. Raises InputError."""
    known = [item.name for item in fields(kind)]
    unknown = {str(key) for key in set(values) - set(known)}
    if unknown:
        raise InputError(f"recipe: {section} has no {min(unknown)!r}; it has {', '.join(known)}")
    return build(kind, values)
