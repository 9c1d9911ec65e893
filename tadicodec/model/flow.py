"""Flow matching: the training target along the straight path, and the Euler solver with guidance."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from tadicodec.model.lengths import masked_std

Velocity = Callable[[Tensor, Tensor], Tensor]  # (mel [B, F, D], time [B]) -> velocity [B, F, D]


@dataclass(frozen=True)
class SolverConfig:
    """steps: velocity evaluations; guidance: 1 is the conditional model alone, 0 too (as published); rescale: share of
    the std-matched result."""

    steps: int = 32
    guidance: float = 2.0
    rescale: float = 0.75

    @property
    def guided(self) -> bool:
        return self.guidance not in (0.0, 1.0)


def noisy(mel: Tensor, noise: Tensor, time: Tensor, sigma: float) -> tuple[Tensor, Tensor]:
    """Point on the path and its velocity: x_t = (1 - (1 - sigma) t) e + t x, target x - (1 - sigma) e.

    mel, noise [B, F, D], time [B] -> two [B, F, D].
    """
    t = time[:, None, None].to(mel.dtype)
    return (1 - (1 - sigma) * t) * noise + t * mel, mel - (1 - sigma) * noise


def solve(
    conditional: Velocity,
    unconditional: Velocity | None,
    noise: Tensor,
    config: SolverConfig,
    *,
    prompt: Tensor | None = None,
    lengths: Tensor | None = None,
    prompt_lengths: Tensor | None = None,
) -> Tensor:
    """Euler with velocities taken at mid-times (i + 0.5) / steps.

    noise [B, F, D]; prompt [B, F, D] holds the clean mel in each item's first prompt_lengths [B] frames, which stay
    clean at every step; lengths [B] are the valid frames. Returns [B, F, D] with the prompt still in place.
    """
    frame = torch.arange(noise.shape[1], device=noise.device)[None]
    held = frame < (0 if prompt_lengths is None else prompt_lengths[:, None])  # [B or 1, F]
    target = ~held if lengths is None else (frame < lengths[:, None]) & ~held
    target = target.expand(noise.shape[0], -1)
    mel = noise if prompt is None else torch.where(held[..., None], prompt, noise)
    for step in range(config.steps):
        time = torch.full((noise.shape[0],), (step + 0.5) / config.steps, device=noise.device, dtype=noise.dtype)
        velocity = conditional(mel, time).float()
        if config.guided and unconditional is not None:
            velocity = guide(velocity, unconditional(mel, time).float(), config, target)
        moved = mel + velocity / config.steps
        mel = moved if prompt is None else torch.where(held[..., None], prompt, moved)
    return mel


def guide(conditional: Tensor, unconditional: Tensor, config: SolverConfig, target: Tensor) -> Tensor:
    """v = u + g (c - u), its spread pulled back to that of c (over each item's own target frames, so that an item in a
    batch gets what it gets alone)."""
    guided = unconditional + config.guidance * (conditional - unconditional)
    if config.rescale == 0:
        return guided
    matched = guided * masked_std(conditional, target) / masked_std(guided, target)
    return config.rescale * matched + (1 - config.rescale) * guided
