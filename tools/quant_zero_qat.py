"""ZeroQAT: W4A4 with rotations from losses alone, by how many numbers learn, against backward passes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from quant_arms import Arm, Setting, quant_config
from quant_queue import Results, Row, Trial, swept
from quant_subjects import EncoderSubject

from tadicodec.quant import zero_qat as method
from tadicodec.quant.conversion import each_trained
from tadicodec.quant.quant_settings import TuneConfig
from tadicodec.quant.tune import Backward, Forward

RATES = (0.01, 0.03, 0.1, 0.3)  # shares of a perturbation that a usual step moves
BATCH = 2  # excerpts a loss
BACKWARD_RATES = (3e-4, 1e-3, 3e-3, 1e-2)
SMOOTHED, PLAIN = "three numbers a layer", "three numbers a layer, from no smoothing"
ROWS, BACKWARD, UNROTATED = "numbers of every row", "the same by backward passes", "three numbers a layer, no rotation"


@dataclass(frozen=True)
class Arms:
    """What gives an arm's training."""

    setting: Setting
    subject: EncoderSubject

    def prepared(self, arm: str, rate: float, seed: int, sweep: bool) -> Arm:
        """A network under ZeroQAT whose layers do not learn yet."""
        tune = TuneConfig(steps=self.setting.shortened(sweep), lr=rate, scale_lr=rate, seed=seed)
        variant, rotation = "layers" if "layer" in arm else "scales", "none" if arm == UNROTATED else "all"
        changes = {"variant": variant, "rotation": rotation, "activation": {"bits": 4}}
        made = Arm(self.subject, quant_config("zero_qat", 4, **changes), tune).prepare()
        for layer in each_trained(made.model):
            if arm == PLAIN and isinstance(layer, method.ZeroQATLinear):
                layer.amount.data.zero_()
        return made

    def run(self, arm: str, rate: float, seed: int, sweep: bool) -> Row:
        """Train an arm. "gain" is the share of the loss that is gone, "moved" how far parameters moved, in
        perturbations."""
        made = self.prepared(arm, rate, seed, sweep)
        parameters = [p for layer in each_trained(made.model) for p in layer.scales()]
        before = torch.cat([p.detach().flatten() for p in parameters])
        memory = made.bytes(backward=arm == BACKWARD)
        row = train_backward(made) if arm == BACKWARD else made.train()
        moved = float((torch.cat([p.detach().flatten() for p in parameters]) - before).square().mean().sqrt())
        step = method.LAYER_STEP if "layer" in arm else method.LOG_STEP
        gain = None if row["val"] is None else 1 - row["val"] / row["start"]
        return {**row, "gain": gain, "numbers": len(before), "moved": moved / step, **memory}


def zero_qat(setting: Setting, results: Results) -> Iterator[Trial]:
    """Held-out loss before and after from losses alone: an arm of N steps has evaluated 2 N of them. One starts from
    rotations, one also from SmoothQuant's smoothing."""
    arms = Arms(setting, EncoderSubject(setting.codec, setting.train, setting.valid, setting.frames, BATCH))
    yield from swept(results, {PLAIN: RATES}, setting.seeds, arms.run)
    yield from swept(results, {SMOOTHED: RATES}, setting.seeds, arms.run)


def zero_controls(setting: Setting, results: Results) -> Iterator[Trial]:
    """As many steps where every row's numbers learn, from losses and by backward passes, and without rotations; and how
    well finite differences say what gradients say."""
    arms = Arms(setting, EncoderSubject(setting.codec, setting.train, setting.valid, setting.frames, BATCH))
    yield from swept(results, {ROWS: RATES, BACKWARD: BACKWARD_RATES, UNROTATED: RATES}, setting.seeds, arms.run)
    for seed in range(setting.seeds):
        for arm in (PLAIN, ROWS):
            name = f"finite differences, {arm}"
            yield Trial(name, seed, lambda arm=arm, seed=seed: correlations(arms.prepared(arm, 0.1, seed, True)))


def train_backward(arm: Arm) -> Row:
    """Train layers that learn from losses alone by backward passes instead."""
    start, objectives = arm.held()["val"], arm.subject.objectives(arm.model, arm.generator)
    stepper = Backward(arm.model, arm.tune, 0, arm.tune.steps)
    for step in range(arm.tune.steps):
        stepper.step(step, next(objectives))
    return {"start": start, **arm.held()}


def correlations(arm: Arm, count: int = 24) -> dict[str, float]:
    """Of the finite difference with the straight-through directional derivative, over random directions, by how many
    times the usual perturbation they are."""
    objective, found = next(arm.subject.objectives(arm.model, arm.generator)), {}
    for times in (0.3, 1.0, 3.0, 10.0):
        stepper = Forward(arm.model, arm.tune, arm.generator).optimizer
        stepper.groups = [replace(group, epsilon=times * group.epsilon) for group in stepper.groups]
        parameters = [p for group in stepper.groups for p in group.parameters]
        gradients = torch.autograd.grad(objective(), parameters, allow_unused=True)
        finite, straight = [], []
        for seed in range(count):
            with torch.no_grad():
                stepper.move(seed, 1.0)
                upper = float(objective())
                stepper.move(seed, -2.0)
                lower = float(objective())
                stepper.move(seed, 1.0)
                finite.append((upper - lower) / 2)
                noises = [(noise, group.epsilon) for _, noise, group in stepper.noise(seed)]
            slopes = zip(gradients, noises, strict=True)
            straight.append(sum(float((g * u).sum()) * e for g, (u, e) in slopes if g is not None))
        found[f"correlation_{times:g}"] = float(torch.corrcoef(torch.tensor([finite, straight]))[0, 1])
    return found
