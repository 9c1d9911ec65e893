"""Scales from numbers: the rules by which methods choose a range before, or instead of, learning it.

Every rule takes groups [..., G, g] and gives scale [..., G, 1] (and zero, where the grid is unsigned).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from tadicodec.integers.grid import Grid, from_levels, to_levels

LEAST = 2.0**-20  # of a scale: rows of zeros would divide by it; float16 can hold it
SHRINK = torch.linspace(0.3, 1.0, 71)  # shares of the full range that a search tries


def absmax(groups: Tensor, grid: Grid) -> Tensor:
    """max |x| / q_p: nothing is clipped on a narrow grid (GLM-130B's rule)."""
    return (groups.abs().amax(-1, keepdim=True) / grid.highest).clamp(min=LEAST)


def no_clip(groups: Tensor, grid: Grid) -> Tensor:
    """max(|min / q_n|, |max / q_p|): the finest zero-centred grid that clips neither end (L4Q_init)."""
    low, high = groups.amin(-1, keepdim=True), groups.amax(-1, keepdim=True)
    return torch.maximum((low / grid.lowest).abs(), (high / grid.highest).abs()).clamp(min=LEAST)


def three_sigma(groups: Tensor, grid: Grid) -> Tensor:
    """max |mean +- 3 std| / 2^(b-1) (LSQ+)."""
    mean, std = groups.mean(-1, keepdim=True), groups.std(-1, keepdim=True, correction=0)
    return (torch.maximum((mean - 3 * std).abs(), (mean + 3 * std).abs()) / 2 ** (grid.bits - 1)).clamp(min=LEAST)


def min_max(low: Tensor, high: Tensor, grid: Grid, clip: float = 1.0, *, floor: bool = False) -> tuple[Tensor, Tensor]:
    """Scale and zero of an unsigned grid over [low, high]: s = c (max - min) / (2^b - 1), z = -min / s to the nearest
    integer (ZeroQAT) or the one below (RoSTE)."""
    scale = (clip * (high - low) / grid.highest).clamp(min=LEAST)
    zero = -low / scale
    return scale, zero.floor() if floor else zero.round()


def ends(groups: Tensor) -> tuple[Tensor, Tensor]:
    """Smallest and largest of each group."""
    return groups.amin(-1, keepdim=True), groups.amax(-1, keepdim=True)


def least_error(groups: Tensor, grid: Grid, power: float = 4.0) -> Tensor:
    """The scale of a signed grid, up to `no_clip`'s, with the least sum |x - q(x)|^p (LR-QAT searches p in 2..5)."""
    full = no_clip(groups, grid)
    return full * best_share(groups, power, lambda share: rounded(groups, full * share, None, grid))


def least_error_share(groups: Tensor, grid: Grid, power: float = 2.0) -> Tensor:
    """The share of its range [min, max] that an unsigned grid should cover, [..., G, 1]."""
    low, high = ends(groups)
    return best_share(groups, power, lambda share: rounded(groups, *min_max(low * share, high * share, grid), grid))


def rounded(groups: Tensor, scale: Tensor, zero: Tensor | None, grid: Grid) -> Tensor:
    scale = scale.clamp(min=LEAST)
    return from_levels(to_levels(groups, scale, zero, grid), scale, zero)


def best_share(groups: Tensor, power: float, candidate: Callable[[float], Tensor]) -> Tensor:
    best = torch.ones_like(groups[..., :1])
    least = torch.full_like(best, torch.inf)
    for share in SHRINK.tolist():
        error = (groups - candidate(share)).abs().pow(power).sum(-1, keepdim=True)
        best = torch.where(error < least, share, best)
        least = torch.minimum(error, least)
    return best


def ternary(groups: Tensor, factor: float = 0.7) -> tuple[Tensor, Tensor]:
    """Ternary weight networks (Li et al. 2016): levels sign(w) where |w| > 0.7 mean |w|, and their mean magnitude."""
    size = groups.abs()
    large = size > factor * size.mean(-1, keepdim=True)
    scale = (size * large).sum(-1, keepdim=True) / large.sum(-1, keepdim=True).clamp(min=1)
    return groups.sign() * large, scale.clamp(min=LEAST)
