"""Gradients without backward passes: simultaneous perturbation, with seeds in place of stored noise (MeZO)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

Objective = Callable[[], float | Tensor]


@dataclass(frozen=True)
class Directions:
    """Parameters that are perturbed together by epsilon * N(0, 1), and move by `rate` times the estimated gradient."""

    parameters: tuple[Tensor, ...]
    epsilon: float
    rate: float


class ZerothOrder:
    """theta <- theta - rate * mean over directions of [L(theta + eps u) - L(theta - eps u)] / (2 eps) * u.

    The objective must use the same batch and the same noise in both evaluations (common random numbers). It may be any
    number: a metric, something with rounding inside, a program.
    """

    def __init__(self, groups: Sequence[Directions], generator: torch.Generator, directions: int = 1) -> None:
        self.groups, self.generator, self.directions = groups, generator, directions
        self.evaluations = 0

    @torch.no_grad()
    def step(self, objective: Objective) -> float:
        """One update; returns the mean of the losses that were seen.

        After it, a perturbation is undone to about one unit in the last place.
        """
        seeds = torch.randint(2**62, (self.directions,), generator=self.generator).tolist()
        differences, losses = [], []
        for seed in seeds:
            self.move(seed, 1.0)
            upper = float(objective())
            self.move(seed, -2.0)
            lower = float(objective())
            self.move(seed, 1.0)
            differences.append(upper - lower)
            losses.append((upper + lower) / 2)
        self.evaluations += 2 * self.directions
        for seed, difference in zip(seeds, differences):
            for parameter, noise, group in self.noise(seed):
                parameter.sub_(noise, alpha=group.rate * difference / (2 * group.epsilon * self.directions))
        return sum(losses) / len(losses)

    def move(self, seed: int, times: float) -> None:
        """Add so many times the perturbation of this seed to all parameters."""
        for parameter, noise, group in self.noise(seed):
            parameter.add_(noise, alpha=times * group.epsilon)

    def noise(self, seed: int) -> Iterator[tuple[Tensor, Tensor, Directions]]:
        """Every parameter with its noise, which is drawn again from the seed, one parameter at a time."""
        source = torch.Generator().manual_seed(seed)  # on the CPU, so that devices agree
        for group in self.groups:
            for parameter in group.parameters:
                noise = torch.randn(parameter.shape, generator=source, dtype=parameter.dtype)
                yield parameter, noise.to(parameter.device), group
