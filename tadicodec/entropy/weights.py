"""The weights of a model folder as arrays, and how many heads its Llama has."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from tadicodec.errors import InputError, reason
from tadicodec.guards.documents import read_config_file

WEIGHTS = "model.safetensors"


def read_llama(folder: Path, section: tuple[str, ...]) -> tuple[int, dict[str, np.ndarray]]:
    """The number of heads that a section of config.json names, and the tensors.

    Raises:
        InputError: not a model of a plain Llama.
    """
    values: Any = read_config_file(folder / "config.json")
    for name in section:
        values = values.get(name) if isinstance(values, dict) else None
    heads = values.get("num_attention_heads") if isinstance(values, dict) else None
    if type(heads) is not int or heads < 1 or values.get("model_type") != "llama":
        raise InputError(f"{folder}: codes are squeezed by models of our own layout with a plain Llama, not by this")
    try:
        return heads, load_file(folder / WEIGHTS)
    except (OSError, SafetensorError, ValueError, TypeError) as error:
        raise InputError(f"{folder / WEIGHTS}: cannot be read ({reason(error)})") from error


def fingerprint(folders: Sequence[Path], words: str) -> bytes:
    """The SHA-256 of some words and of the weights of these models, in this order. Raises InputError."""
    digest = hashlib.sha256(words.encode())
    for folder in folders:
        try:
            digest.update((folder / WEIGHTS).read_bytes())
        except OSError as error:
            raise InputError(f"{folder / WEIGHTS}: cannot be read ({reason(error)})") from error
    return digest.digest()
