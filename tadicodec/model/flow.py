"""Flow matching: the training target along the straight path, and solvers of the path with guidance."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor

from tadicodec.config import SolverConfig
from tadicodec.model.lengths import masked_std

# (mel [B, F, D], time, guided) -> conditional velocity [B, F, D] and, where guided, the unconditional one
Field = Callable[[Tensor, float, bool], tuple[Tensor, Tensor | None]]
Velocity = Callable[[Tensor, float], Tensor]


def evaluation_times(config: SolverConfig) -> list[float]:
    """The times at which the network runs, in order, found by walking a path that goes nowhere."""
    seen: list[float] = []

    def record(mel: Tensor, time: float) -> Tensor:
        seen.append(time)
        return mel

    walk(record, torch.zeros(1), config, lambda mel: mel)
    return seen


def count_evaluations(config: SolverConfig) -> int:
    """How often the network runs for one item; a guided time counts twice."""
    return sum(2 if config.guided_at(time) else 1 for time in evaluation_times(config))


def noisy(mel: Tensor, noise: Tensor, time: Tensor, sigma: float) -> tuple[Tensor, Tensor]:
    """A point on the straight path from noise to mel, and the velocity there.

    x_t = (1 - (1 - sigma) t) e + t x, with velocity x - (1 - sigma) e. mel x and noise e [B, F, D], time [B] -> two [B,
    F, D].
    """
    t = time[:, None, None].to(mel.dtype)
    return (1 - (1 - sigma) * t) * noise + t * mel, mel - (1 - sigma) * noise


def solve(
    field: Field,
    noise: Tensor,
    config: SolverConfig,
    *,
    prompt: Tensor | None = None,
    lengths: Tensor | None = None,
    prompt_lengths: Tensor | None = None,
) -> Tensor:
    """Follow the velocity from noise [B, F, D] to mel [B, F, D].

    prompt [B, F, D] holds the clean mel in each item's first prompt_lengths [B] frames, which stay clean at every step;
    lengths [B] are the valid frames (None: no padding). The result has the prompt still in place.
    """
    frame = torch.arange(noise.shape[1], device=noise.device)[None]
    held = frame < (0 if prompt_lengths is None else prompt_lengths[:, None])  # [B or 1, F]
    target = ~held if lengths is None else (frame < lengths[:, None]) & ~held
    target = target.expand(noise.shape[0], -1)

    def keep(mel: Tensor) -> Tensor:
        return mel if prompt is None else torch.where(held[..., None], prompt, mel)

    def velocity(mel: Tensor, time: float) -> Tensor:
        conditional, unconditional = field(mel, time, config.guided_at(time))
        return conditional if unconditional is None else guide(conditional, unconditional, config, target)

    return walk(velocity, keep(noise * config.temperature), config, keep)


def walk(velocity: Velocity, mel: Tensor, config: SolverConfig, keep: Callable[[Tensor], Tensor]) -> Tensor:
    """Take all steps of the path; `keep` puts the prompt back in place after each."""
    before: tuple[float, Tensor] | None = None  # time and velocity of the last evaluation at a step's start
    for start, stop in pairwise(config.edges):
        size = stop - start
        if config.method == "euler" or (config.method == "heun" and stop == 1):
            slope = velocity(mel, (start + stop) / 2)  # Heun's second evaluation would be at 1, where no noise is left
        elif config.method == "ab2":
            slope, before = adams_bashforth(velocity(mel, start), start, size, before)
        else:
            first = velocity(mel, start)
            share = size if config.method == "heun" else size / 2
            second = velocity(keep(mel + share * first), start + share if config.method == "midpoint" else stop)
            slope = (first + second) / 2 if config.method == "heun" else second
        mel = keep(mel + size * slope)
    return mel


def adams_bashforth(
    now: Tensor, time: float, size: float, before: tuple[float, Tensor] | None
) -> tuple[Tensor, tuple[float, Tensor]]:
    """The velocity to take a step with: the line through the last two velocities, taken to the middle of the step. The
    first step is Euler's."""
    if before is None:
        return now, (time, now)
    earlier, slope = before
    return now + (size / 2) / (time - earlier) * (now - slope), (time, now)


def guide(conditional: Tensor, unconditional: Tensor, config: SolverConfig, target: Tensor) -> Tensor:
    """Guided velocity v = u + g (c - u), with its spread pulled back to that of c.

    The spread is taken over each item's own target frames, so that an item in a batch gets what it gets alone.
    """
    guided = unconditional + config.guidance * (conditional - unconditional)
    if config.rescale == 0:
        return guided
    matched = guided * masked_std(conditional, target) / masked_std(guided, target)
    return config.rescale * matched + (1 - config.rescale) * guided
