"""Matrices stored in 8 bits and computed with in full precision: a quarter of the download, the same network.

A file holds such a matrix under its own name as integers [o, i] int8, and beside it `NAME.scale` [o, 1], one a row in
half precision, as in GLM-130B. Loading multiplies them out, so that whoever trains, rounds or compiles the network sees
floats. (Layers that also compute with integers are `packed_linear.PackedLinear`.)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from tadicodec.integers.grid import split, to_levels, weight_grid
from tadicodec.integers.ranges import absmax

SCALE = ".scale"
GRID = weight_grid(8, narrow=True)


def store_matrices(tensors: Mapping[str, Tensor], chosen: Callable[[str], bool]) -> dict[str, Tensor]:
    """A network's tensors as a file holds them: the matrices that are `chosen` by name as integers with their scales,
    all others, and what is stored so already, as they are."""
    stored: dict[str, Tensor] = {}
    for name, value in tensors.items():
        whole = value.ndim == 2 and value.is_floating_point() and not name.endswith(SCALE)
        if whole and chosen(name):
            stored[name], stored[name + SCALE] = to_integers(value)
        else:
            stored[name] = value
    return stored


@torch.no_grad()
def to_integers(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """[o, i] -> levels [o, i] int8 and scales [o, 1] float16; of what they give back, again the same."""
    groups = split(matrix.detach().float(), GRID)
    scale = absmax(groups, GRID).half()
    levels = to_levels(groups, scale.float(), None, GRID).flatten(-2)
    return levels.to(torch.int8), scale.flatten(1)


def from_integers(levels: Tensor, scale: Tensor) -> Tensor:
    """levels [o, i] int8, scales [o, 1] -> [o, i] float32."""
    return levels.float() * scale.float()


def scales_of(found: Mapping[str, Any]) -> dict[str, str]:
    """Names of the scales in a file, by the names of their matrices; `found` are the file's slices by name."""
    integers = (name for name, piece in found.items() if piece.get_dtype() == "I8")
    return {name: name + SCALE for name in integers if name + SCALE in found}
