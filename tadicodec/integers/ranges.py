"""Scales from numbers: the rules by which methods choose a range before, or instead of, learning it.

Every rule takes groups [..., G, g] of numbers that share a scale, and gives the scale [..., G, 1] (and a zero, where
the grid is unsigned).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from tadicodec.integers.grid import Grid, from_levels, to_levels

LEAST = 2.0**-20  # of a scale: rows of zeros would divide by it; float16 can hold it
SHRINK = torch.linspace(0.3, 1.0, 71)  # shares of the full range that a search tries


def absmax(groups: Tensor, grid: Grid) -> Tensor:
    """max |x| / q_p, q_p the highest integer: on a symmetric grid nothing is clipped (GLM-130B's rule)."""
    return (groups.abs().amax(-1, keepdim=True) / grid.highest).clamp(min=LEAST)


def no_clip(groups: Tensor, grid: Grid) -> Tensor:
    """max(|min / q_n|, |max / q_p|), q_n and q_p the ends of the grid: the finest grid around zero that clips nothing
    (L4Q's rule)."""
    low, high = groups.amin(-1, keepdim=True), groups.amax(-1, keepdim=True)
    return torch.maximum((low / grid.lowest).abs(), (high / grid.highest).abs()).clamp(min=LEAST)


def three_sigma(groups: Tensor, grid: Grid) -> Tensor:
    """max |mean +- 3 std| / 2^(bits - 1) (LSQ+'s rule)."""
    mean, std = groups.mean(-1, keepdim=True), groups.std(-1, keepdim=True, correction=0)
    return (torch.maximum((mean - 3 * std).abs(), (mean + 3 * std).abs()) / 2 ** (grid.bits - 1)).clamp(min=LEAST)


def min_max(low: Tensor, high: Tensor, grid: Grid, clip: float = 1.0, *, floor: bool = False) -> tuple[Tensor, Tensor]:
    """Scale and zero of an unsigned grid over the range [low, high], each [..., G, 1].

    scale = clip (high - low) / (2^bits - 1), zero = -low / scale, rounded to the nearest integer (ZeroQAT) or, with
    `floor`, to the one below (RoSTE).
    """
    scale = (clip * (high - low) / grid.highest).clamp(min=LEAST)
    zero = -low / scale
    return scale, zero.floor() if floor else zero.round()


def ends(groups: Tensor) -> tuple[Tensor, Tensor]:
    """The smallest and the largest number of each group, [..., G, 1] each."""
    return groups.amin(-1, keepdim=True), groups.amax(-1, keepdim=True)


def least_error(groups: Tensor, grid: Grid, power: float = 4.0) -> Tensor:
    """The scale of a signed grid with the least sum of |x - rounded x|^power, searched below `no_clip`'s.

    LR-QAT searches with powers of 2 to 5.
    """
    full = no_clip(groups, grid)
    return full * best_share(groups, power, lambda share: rounded(groups, full * share, None, grid))


def least_error_share(groups: Tensor, grid: Grid, power: float = 2.0) -> Tensor:
    """Which share of its range from smallest to largest an unsigned grid should cover for the least error, [..., G,
    1]."""
    low, high = ends(groups)
    return best_share(groups, power, lambda share: rounded(groups, *min_max(low * share, high * share, grid), grid))


def rounded(groups: Tensor, scale: Tensor, zero: Tensor | None, grid: Grid) -> Tensor:
    """Groups rounded to the grid and turned back into numbers."""
    scale = scale.clamp(min=LEAST)
    return from_levels(to_levels(groups, scale, zero, grid), scale, zero)


def best_share(groups: Tensor, power: float, candidate: Callable[[float], Tensor]) -> Tensor:
    """The share of the full range, of those that are tried, whose `candidate` (share -> rounded groups) has the least
    error, [..., G, 1]."""
    best = torch.ones_like(groups[..., :1])
    least = torch.full_like(best, torch.inf)
    for share in SHRINK.tolist():
        error = (groups - candidate(share)).abs().pow(power).sum(-1, keepdim=True)
        best = torch.where(error < least, share, best)
        least = torch.minimum(error, least)
    return best


def ternary(groups: Tensor, factor: float = 0.7) -> tuple[Tensor, Tensor]:
    """Levels -1, 0 and 1 and their scale, as in ternary weight networks (Li et al. 2016).

    A level is the sign where |w| > factor * mean |w|, otherwise 0; the scale is the mean size of those that are not 0.
    """
    size = groups.abs()
    large = size > factor * size.mean(-1, keepdim=True)
    scale = (size * large).sum(-1, keepdim=True) / large.sum(-1, keepdim=True).clamp(min=1)
    return groups.sign() * large, scale.clamp(min=LEAST)
