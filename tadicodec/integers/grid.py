"""Integer grids: which integers there are, which numbers share a scale, and the way there and back."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tadicodec.errors import InputError

GRANULARITIES = ("tensor", "row", "group", "token")


@dataclass(frozen=True)
class Grid:
    """The integers that numbers are rounded to, and which numbers share a scale.

    `row` (an output channel of a weight) and `token` (a position of an activation) both mean the whole last dimension.

    Raises:
        InputError: more than 8 bits or fewer than 2, an unknown granularity, or a group where none belongs.
    """

    bits: int
    signed: bool = True
    narrow: bool = False  # without the lowest value, so that the grid is symmetric: -7..7, or -1..1 (ternary)
    granularity: str = "row"
    group: int = 0  # consecutive values of the last dimension that share a scale, where granularity is "group"

    def __post_init__(self) -> None:
        if not 1 < self.bits <= 8:
            raise InputError(f"quantization: bits are 2 to 8, not {self.bits}")
        if self.granularity not in GRANULARITIES:
            raise InputError(f"quantization: granularity is one of {', '.join(GRANULARITIES)}")
        if (self.group > 0) != (self.granularity == "group"):
            raise InputError("quantization: a group size belongs to granularity 'group', and to no other")

    @property
    def lowest(self) -> int:
        """The smallest integer of the grid."""
        return 0 if not self.signed else -(2 ** (self.bits - 1)) + self.narrow

    @property
    def highest(self) -> int:
        """The largest integer of the grid."""
        return 2 ** (self.bits - self.signed) - 1


def weight_grid(bits: int, group: int = 0, *, signed: bool = True, narrow: bool = False) -> Grid:
    """The grid of a weight: one scale for each row (group 0), or for each group of so many inputs of a row."""
    return Grid(bits, signed, narrow, "group" if group else "row", group)


def split(values: Tensor, grid: Grid) -> Tensor:
    """Arrange values [..., i] so that the last dimension holds the numbers that share a scale.

    The result is [..., G, g], G groups of g numbers each; [1, 1, n] where the whole tensor shares one.

    Raises:
        InputError: the group does not divide the last dimension.
    """
    if grid.granularity == "tensor":
        return values.reshape(1, 1, -1)
    size = grid.group or values.shape[-1]
    if values.shape[-1] % size:
        raise InputError(
            f"quantization: groups of {size} do not divide {values.shape[-1]} inputs; choose another group"
        )
    return values.unflatten(-1, (-1, size))


def to_levels(groups: Tensor, scale: Tensor, zero: Tensor | None, grid: Grid) -> Tensor:
    """Round groups [..., G, g] to integers of the grid: round(x / scale) + zero, clamped to the grid.

    scale and zero (None: 0) are [..., G, 1]. The integers come out in the dtype of `groups`.
    """
    levels = torch.round(groups / scale)
    return (levels if zero is None else levels + zero).clamp(grid.lowest, grid.highest)


def from_levels(levels: Tensor, scale: Tensor, zero: Tensor | None) -> Tensor:
    """Turn integers [..., G, g] back into numbers: scale * (level - zero)."""
    return (levels if zero is None else levels - zero) * scale


def round_to_grid(values: Tensor, scale: Tensor, zero: Tensor | None, grid: Grid) -> Tensor:
    """The nearest values that the grid can express, in the shape of `values` [..., i]."""
    return from_levels(to_levels(split(values, grid), scale, zero, grid), scale, zero).reshape(values.shape)
