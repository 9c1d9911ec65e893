"""Gradients without backward passes: simultaneous perturbation, with seeds in place of stored noise (MeZO)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

Objective = Callable[[], float | Tensor]
MEMORY = 0.98  # of what differences are usual: about fifty of them
MOST = 3.0  # usual sizes that a difference counts for


@dataclass(frozen=True)
class Directions:
    """Parameters that are perturbed together by epsilon * N(0, 1). A step along a perturbation that changes the loss as
    much as usual moves them by `rate` times that perturbation."""

    parameters: tuple[Tensor, ...]
    epsilon: float
    rate: float


class ZerothOrder:
    """theta <- theta - rate * epsilon * u * d / usual, averaged over directions u, d = L(theta + eps u) - L(theta - eps
    u).

    MeZO has d / (2 eps) for the slope along u. Here d is divided by its own usual size, the root mean square of those
    seen so far (weighted towards the latest), so that a rate says how far parameters move whatever the loss is measured
    in; where d is many times the usual, it counts as `MOST` times. The objective must use the same batch and the same
    noise in both evaluations (common random numbers). It may be any number: a metric, something with rounding inside, a
    program.
    """

    def __init__(self, groups: Sequence[Directions], generator: torch.Generator, directions: int = 1) -> None:
        self.groups, self.generator, self.directions = groups, generator, directions
        self.evaluations = 0
        self.square, self.weight = 0.0, 0.0  # running sum of squared differences, and of their weights

    @torch.no_grad()
    def step(self, objective: Objective, share: float = 1.0) -> float:
        """One update at this share of the rates; returns the mean of the losses that were seen.

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
        for seed, size in zip(seeds, self.in_usual_sizes(differences), strict=True):
            for parameter, noise, group in self.noise(seed):
                parameter.sub_(noise, alpha=share * group.rate * group.epsilon * size / self.directions)
        return sum(losses) / len(losses)

    def in_usual_sizes(self, differences: Sequence[float]) -> list[float]:
        """Differences of losses as multiples of their usual size, which takes note of them."""
        for difference in differences:
            self.square = MEMORY * self.square + (1 - MEMORY) * difference**2
            self.weight = MEMORY * self.weight + (1 - MEMORY)
        usual = (self.square / self.weight) ** 0.5
        return [min(max(difference / usual, -MOST), MOST) if usual else 0.0 for difference in differences]

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
