"""JSON and YAML as this package takes them: plain values, every key once, nothing that is not a number."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from tadicodec.errors import InputError, reason
from tadicodec.guards.streams import read_text_file

COMMENT = re.compile(r'("(?:\\.|[^"\\])*")|//[^\n]*')
LARGEST = 1 << 63  # of whole numbers, exclusive: what a tensor's size or a seed can be
MOST_VALUES = 100_000  # of a YAML document
PLAIN = (str, int, float, bool, type(None))


def parse_json(text: str) -> Any:
    """A JSON document.

    Raises:
        ValueError: not JSON, NaN or infinity (which JSON does not have), nested too deep, or a key that stands twice
            in one object with different values.
    """
    try:
        return json.loads(text, object_pairs_hook=unique_keys, parse_constant=no_number)
    except RecursionError as error:
        raise ValueError("nested too deep") from error


def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The pairs of a JSON object as a dictionary. Raises ValueError for a key that stands there twice, with different
    values."""
    document = dict(pairs)
    for key, value in pairs if len(document) < len(pairs) else ():
        if document[key] != value:
            raise ValueError(f"{key!r} stands there twice, with different values")
    return document


def no_number(name: str) -> Any:
    """Raise ValueError for NaN and infinity, which JSON does not have."""
    raise ValueError(f"{name} is no number that JSON knows")


def read_config_file(path: Path) -> dict[str, Any]:
    """A model's config.json, which may carry // comments, as the published ones do.

    Raises:
        InputError: missing, not UTF-8, not JSON, or not an object with keys and values.
    """
    try:
        text = read_text_file(path)
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not valid JSON: not UTF-8 text") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({reason(error)}); every model has one") from error
    try:
        document = parse_json(COMMENT.sub(lambda found: found.group(1) or "", text))
    except ValueError as error:
        raise InputError(f"{path}: not valid JSON: {reason(error)}") from error
    if not isinstance(document, dict):
        raise InputError(f"{path}: not a configuration (an object with keys and values)")
    return document


def read_yaml(path: Path) -> Any:
    """A recipe's document. Raises InputError for a file that is not UTF-8 text or that `parse_yaml` refuses."""
    try:
        return parse_yaml(read_text_file(path))
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not valid YAML: not UTF-8 text") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({reason(error)})") from error
    except ValueError as error:
        raise InputError(f"{path}: not valid YAML: {error}") from error


def parse_yaml(text: str) -> Any:
    """A YAML document of mappings with text as keys, lists, text, numbers, true, false and null.

    Dates and times of day stay the text they are, as a recipe means nothing by them; what YAML has beyond that (tags,
    sets, numbers as keys) is refused.

    Raises:
        ValueError: not YAML, or something else; the message is one line.
    """
    import yaml

    class Loader(yaml.SafeLoader):
        yaml_implicit_resolvers = {
            first: [(tag, pattern) for tag, pattern in found if not tag.endswith((":timestamp", ":merge"))]
            for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
        }

    try:
        # a SafeLoader without dates; references (*name) are written out, as often as they stand there
        return plain(yaml.load(text, Loader=Loader), [MOST_VALUES])  # noqa: S506
    except RecursionError as error:
        raise ValueError("nested too deep") from error
    except (yaml.YAMLError, ValueError, OverflowError, TypeError, AttributeError) as error:
        raise ValueError(reason(error)) from error


def plain(value: Any, left: list[int]) -> Any:
    """A copy of what JSON could say too, at most left[0] values in all. Raises ValueError for anything else."""
    left[0] -= 1
    if left[0] < 0:
        raise ValueError("too long, or a reference to a place around itself")
    if isinstance(value, list):
        return [plain(inner, left) for inner in value]
    if isinstance(value, dict):
        return {named(key): plain(inner, left) for key, inner in value.items()}
    if not isinstance(value, PLAIN):
        raise ValueError(f"{value!r} is neither text nor a number")
    if isinstance(value, int) and abs(value) >= LARGEST:
        raise ValueError("a whole number of more than 63 bits")
    return value


def named(key: Any) -> str:
    """A key of a mapping. Raises ValueError unless it is text."""
    if not isinstance(key, str):
        raise ValueError(f"{key!r} stands where a name belongs; put it in quotes if it is one")
    return key
