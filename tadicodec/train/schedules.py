"""Learning rate over a run."""

from __future__ import annotations

from dataclasses import dataclass


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


def learning_rate(step: int, steps: int, config: OptimConfig) -> float:
    """Rate of step number `step` (from 0) of `steps`."""
    rising = min((step + 1) / max(config.warmup, 1), 1.0)
    falling = min((steps - step) / max(config.decay * steps, 1), 1.0)
    return config.lr * min(rising, max(falling, 0.0))
