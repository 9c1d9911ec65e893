"""Learning rate over a run."""

from __future__ import annotations

import math
from dataclasses import dataclass

from tadicodec.errors import InputError
from tadicodec.guards.fields import require_range


@dataclass(frozen=True)
class OptimConfig:
    """AdamW with a warm-up, a constant middle and a linear fall to zero over the last share of the steps."""

    lr: float = 1e-3
    beta1: float = 0.9
    beta2: float = 0.95
    weight_decay: float = 0.01
    clip: float = 0.5  # gradient norm
    warmup: int = 500  # steps
    decay: float = 0.3  # share of all steps

    def __post_init__(self) -> None:
        require_range("optim", self, 0, math.inf, "lr", "weight_decay", "warmup")
        require_range("optim", self, 0, 1, "decay", "beta1", "beta2")
        if max(self.beta1, self.beta2) == 1:
            raise InputError("recipe: optim.beta1 and optim.beta2 must be below 1; 1 would divide by zero")
        if self.clip <= 0:
            raise InputError(f"recipe: optim.clip is {self.clip}; it must be above 0, or nothing moves")


def learning_rate(step: int, steps: int, config: OptimConfig) -> float:
    """Rate of step number `step` (from 0) of `steps`."""
    rising = min((step + 1) / max(config.warmup, 1), 1.0)
    falling = min((steps - step) / max(config.decay * steps, 1), 1.0)
    return config.lr * min(rising, max(falling, 0.0))
