"""Low-rank corrections of a frozen weight."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn


class LowRank(nn.Module):
    """A correction alpha / rank * left @ right; left [o, r] starts at zero, right [r, i] is Kaiming-uniform (as in
    LoRA)."""

    def __init__(self, shape: tuple[int, int], rank: int, alpha: float, generator: torch.Generator) -> None:
        super().__init__()
        self.gain = alpha / rank
        self.left = nn.Parameter(torch.zeros(shape[0], rank))
        self.right = nn.Parameter(torch.empty(rank, shape[1]))
        nn.init.kaiming_uniform_(self.right, a=math.sqrt(5), generator=generator)

    def delta(self) -> Tensor:
        """The correction itself, [o, i]."""
        return self.gain * (self.left @ self.right)

    @torch.no_grad()
    def fill(self, left: Tensor, right: Tensor) -> None:
        """Start at left @ right instead of zero."""
        self.left.copy_(left / self.gain)
        self.right.copy_(right)


def factor(matrix: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """The best approximation of a matrix [o, i] of this rank, as two factors [o, r] and [r, i] that share the singular
    values evenly."""
    left, values, right = torch.linalg.svd(matrix.float(), full_matrices=False)
    root = values[:rank].sqrt()
    return left[:, :rank] * root, root[:, None] * right[:rank]


def loftq(weight: Tensor, quantize: Callable[[Tensor], Tensor], rank: int, rounds: int = 3) -> tuple[Tensor, Tensor]:
    """The two factors [o, r] and [r, i] of LoftQ (Li et al. 2023), with which a low-rank correction starts.

    They alternate Q = quantize(W - C) and C = the best approximation of W - Q of this rank.
    """
    left, right = weight.new_zeros(weight.shape[0], rank), weight.new_zeros(rank, weight.shape[1])
    for _ in range(rounds):
        left, right = factor(weight - quantize(weight - left @ right), rank)
    return left, right
