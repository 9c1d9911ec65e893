"""The only door to the loaders of transformers: no code of a folder runs, no pickle is read, nobody is asked.

Left to themselves they ask on standard input whether to run the Python files of a folder, and take a piped "y" for
consent. Nothing here needs such code: the published models are made of classes that transformers has.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tadicodec.errors import InputError, reason
from tadicodec.guards.extras import need

CODE_KEYS = ("auto_map", "custom_generate")  # of a configuration: which Python files make the classes
OWN_CODE = "custom_generate/generate.py"  # runs instead of a model's `generate`


def load_pretrained(kind: str, name: str | os.PathLike, **options: Any) -> Any:
    """An object without weights (a tokenizer, a feature extractor) by the name of its class in transformers.

    name: a folder, which is read without the network, or a Hugging Face id, which may be fetched.

    Raises:
        InputError: the folder asks for its own code to be run, or holds nothing that transformers can load.
    """
    refuse_code(Path(name))
    need("transformers", f"loading {name}")
    import transformers

    local = {"local_files_only": True} if Path(name).is_dir() else {}
    try:
        with silent():
            return getattr(transformers, kind).from_pretrained(str(name), trust_remote_code=False, **local, **options)
    except MemoryError:
        raise
    except Exception as error:  # what a damaged folder raises within the library is of any type
        why = "needs Python code of its own, which is never run" if asks_for_code(error) else reason(error)
        raise InputError(f"{name}: cannot be loaded as {kind} by transformers ({why})") from error


def load_network(kind: str, name: str | os.PathLike, **options: Any) -> tuple[Any, dict[str, Any]]:
    """A network by the name of its class in transformers, and which tensors were missing or left over.

    Weights are read from safetensors only.

    Raises:
        InputError: as `load_pretrained`.
    """
    return load_pretrained(kind, name, use_safetensors=True, output_loading_info=True, **options)


def build_empty(kind: str, config: Any, **options: Any) -> Any:
    """A network of a configuration of transformers, with random weights, by the name of its class there.

    Raises:
        InputError: transformers cannot build it.
    """
    import transformers

    try:
        return getattr(transformers, kind).from_config(config, trust_remote_code=False, **options)
    except MemoryError:
        raise
    except Exception as error:  # what odd sizes raise within the library is of any type
        raise InputError(f"config: transformers cannot build this {kind} ({reason(error)})") from error


@contextmanager
def silent() -> Iterator[None]:
    """While the context is open, transformers prints neither warnings nor bars. What it would warn of is an error here,
    said in one line."""
    from transformers import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(logging.CRITICAL)
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def refuse_code(folder: Path) -> None:
    """Raise InputError for a folder that holds Python files and a configuration that names them as its classes.

    A configuration that names code elsewhere, as published models do that transformers has learned since, is loaded
    with transformers' own classes, or not at all.
    """
    if not folder.is_dir():
        return
    if (folder / OWN_CODE).is_file():
        raise InputError(f"{folder}: asks for {OWN_CODE} to be run, which is never done; delete that file")
    for path in sorted(folder.glob("*.json")):
        for module in named_modules(path):
            if (folder / module).is_file():
                raise InputError(
                    f"{folder}: {path.name} asks for {module} to be run, which is never done; give a model made of "
                    "transformers' own classes"
                )


def named_modules(path: Path) -> list[str]:
    """Python files that a JSON file names as a folder's code; none where it is not JSON (the loader will say so)."""
    try:
        document = json.loads(path.read_bytes().decode("utf-8"))
    except (OSError, ValueError, RecursionError):
        return []
    found = [document.get(key) for key in CODE_KEYS] if isinstance(document, dict) else []
    return [name.rpartition(".")[0].replace(".", "/") + ".py" for name in strings(found) if "--" not in name]


def strings(value: Any) -> list[str]:
    """All strings in nested lists and dictionaries."""
    if isinstance(value, str):
        return [value]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for item in inner for text in strings(item)]


def asks_for_code(error: Exception) -> bool:
    """Whether an error of transformers says that a folder wants its own code to be run."""
    return "trust_remote_code" in str(error)
