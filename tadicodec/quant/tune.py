"""The short training of methods that train: seeded, deterministic, not resumable."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from tadicodec.errors import InputError
from tadicodec.quant.conversion import each_trained
from tadicodec.quant.intervention import Interventions, mode_at
from tadicodec.quant.perturbation import ZerothOrder
from tadicodec.quant.quant_settings import TuneConfig

Objective = Callable[[], Tensor]  # the loss of one batch with its noise drawn once: twice the same, if nothing moved
SCALE_SHARE = 50  # scales at a correction's rate diverge


def tune(
    model: nn.Module,
    objectives: Iterator[Objective],
    config: TuneConfig,
    generator: torch.Generator,
    *,
    interventions: Interventions | None = None,
    progress: bool = False,
) -> list[float]:
    """Train the rounded layers of a prepared network, in place. Returns the loss of every step.

    objectives: gives one function for each step, which computes the loss of a batch.

    Raises:
        InputError: training diverged.
    """
    from tqdm import trange

    zeroth = not all(layer.gradients for layer in each_trained(model))
    stepper = Forward(model, config, generator) if zeroth else Backward(model, config, 0, config.steps)
    intervene = min(config.intervene, config.steps // 2) if interventions is not None else 0  # then on its own
    if intervene:
        stepper = Backward(model, config, 0, intervene)
    losses = []
    model.train(not zeroth)
    for step in trange(config.steps, disable=not progress, unit="step"):
        if interventions is not None:
            interventions.mode = mode_at(step, intervene, config.mode)
            if step == intervene and intervene:  # two trainings, as published: fresh moments, a schedule of its own
                stepper = Backward(model, config, step, config.steps)
        losses.append(stepper.step(step, next(objectives)))
        if not math.isfinite(losses[-1]):
            raise InputError(f"quantization: training diverged at step {step + 1}; lower tuning.lr")
    model.eval()
    return losses


class Backward:
    """Trains with gradients: AdamW over the layers' parameters, from step `first` to before step `last`."""

    def __init__(self, model: nn.Module, config: TuneConfig, first: int, last: int) -> None:
        self.config, self.share = config, schedule(config, first, last)
        layers = each_trained(model)
        groups: list[dict[str, Any]] = [
            {"params": [p for layer in layers for p in layer.weights()], "rate": config.lr},
            {
                "params": [p for layer in layers for p in layer.scales()],
                "rate": config.scale_lr or config.lr / SCALE_SHARE,
                "weight_decay": 0.0,
            },
        ]
        self.parameters = [p for group in groups for p in group["params"]]
        groups = [group for group in groups if group["params"]]
        self.optimizer = torch.optim.AdamW(groups, lr=config.lr, betas=(0.9, 0.95), weight_decay=config.weight_decay)

    def step(self, step: int, objective: Objective) -> float:
        """One update by the gradient of one batch's loss; returns the loss."""
        loss = objective()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_([p for p in self.parameters if p.grad is not None], self.config.clip)
        for group in self.optimizer.param_groups:
            group["lr"] = group["rate"] * self.share(step)
        self.optimizer.step()
        return float(loss.detach())


def schedule(config: TuneConfig, first: int, last: int) -> Callable[[int], float]:
    """A function that gives the share of the learning rate at each step: a linear rise, then a linear fall to zero."""

    def share(step: int) -> float:
        length, done = last - first, step - first
        rising = (done + 1) / max(config.warmup * length, 1)
        falling = (length - done) / max((1 - config.warmup) * length, 1)
        return min(rising, falling, 1.0)

    return share


class Forward:
    """Trains from losses alone, along the directions that the layers name (ZeroQAT)."""

    def __init__(self, model: nn.Module, config: TuneConfig, generator: torch.Generator) -> None:
        groups = [group for layer in each_trained(model) for group in layer.directions(config)]
        self.optimizer = ZerothOrder(groups, generator, config.directions)
        self.share = schedule(config, 0, config.steps)

    def step(self, step: int, objective: Objective) -> float:
        """One update from evaluations of one batch's loss; returns their mean."""
        return self.optimizer.step(objective, self.share(step))
