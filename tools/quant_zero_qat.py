"""ZeroQAT: W4A4 with rotations from losses alone, by how many numbers learn, against backward passes."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from quant_arms import Arm, Setting, quant_config
from quant_queue import Results, Row, Trial, swept
from quant_subjects import EncoderSubject, Subject
from torch import Tensor, nn

from tadicodec.data.features import Features
from tadicodec.model.fused import unfuse
from tadicodec.quant import zero_qat as method
from tadicodec.quant.codec_tuning import Lessons
from tadicodec.quant.conversion import each_trained
from tadicodec.quant.job import Job
from tadicodec.quant.quant_settings import TuneConfig
from tadicodec.quant.tune import Backward, Forward, Objective

RATES = (0.01, 0.03, 0.1, 0.3, 1.0)  # shares of a perturbation that a usual step moves
BATCH, MORE = 2, 4  # excerpts a loss; of a number that moves in jumps
RATE, SMOOTHED_RATE = 0.3, 0.03  # what was best for the imitation loss, from no smoothing and from SmoothQuant's
JUDGED = 12  # batches that a judge hears
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
        if arm == PLAIN:
            unsmoothed(made)
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


class Bits(EncoderSubject):
    """The codec's encoder, whose loss is the share of the codes' bits that differ: a number without a gradient."""

    def error(self, model: nn.Module, mel: Tensor, answers: Tensor) -> Tensor:
        return ((model(mel) > 0) != (answers > 0)).float().mean()


class Judged(Subject):
    """The codec, of which the encoder is rounded, under a judge of the whole decode; "val" is the judge's word on
    held-out clips, always with the same noise."""

    def __init__(self, setting: Setting, loss: str) -> None:
        self.codec, self.loss, self.frames = setting.codec, loss, setting.frames
        self.network = copy.deepcopy(setting.codec.model)
        unfuse(self.network)
        self.train, self.valid = (
            shorter(split, 2 * setting.frames) for split in (setting.train, setting.valid)
        )  # clips whole, because a judge of words reads their text

    def lessons(self, model: nn.Module, features: Features, generator: torch.Generator) -> Lessons:
        """The judge's losses of a model, on these clips."""
        order = int(torch.randint(2**31, (), generator=generator))
        tuning = {"loss": self.loss, "frames": 2 * self.frames, "seed": order}
        job = Job.from_sections({"quantization": {"method": "zero_qat"}, "tuning": tuning})
        return Lessons(self.codec, model, job, features, generator)

    def objectives(self, model: nn.Module, generator: torch.Generator) -> Iterator[Objective]:
        return self.lessons(model, self.train, generator).objectives()

    def held(self, model: nn.Module) -> dict[str, float]:
        found = self.lessons(model, self.valid, torch.Generator().manual_seed(0)).objectives()
        return {"val": sum(float(next(found)()) for _ in range(JUDGED)) / JUDGED}

    def inputs(self, model: nn.Module, generator: torch.Generator) -> dict[str, Tensor]:
        return self.lessons(model, self.train, generator).layer_inputs()


def shorter(features: Features, frames: int) -> Features:
    """The same features with the clips of at most so many frames alone; all where there is none."""
    made = copy.copy(features)
    made.clips = [clip for clip in features.clips if clip.frames <= frames] or features.clips
    return made


def any_number(setting: Setting, results: Results) -> Iterator[Trial]:
    """Losses without gradients: bits of codes that differ, and word errors of the whole decode through the vocoder as
    the codec's own transcriber hears them. The encoder in 4 bits (3 where words are counted), rotated, from no
    smoothing, and bits also from SmoothQuant's, each at the rate that imitation likes best."""
    bits = Bits(setting.codec, setting.train, setting.valid, setting.frames, MORE)

    def run(subject: Subject, wide: int, seed: int, smoothed: bool = False) -> Row:
        tune = TuneConfig(steps=setting.steps, lr=SMOOTHED_RATE if smoothed else RATE, seed=seed)
        changes = {"variant": "layers", "rotation": "all", "activation": {"bits": wide}, "layers": ["encoder.*_proj"]}
        made = Arm(subject, quant_config("zero_qat", wide, **changes), tune).prepare()
        if not smoothed:
            unsmoothed(made)
        before, after = made.held(), made.train()
        kept = "bits" if "bits" in before else "val"
        return {"before": before[kept], "after": after[kept], "val": after[kept], **made.bytes(backward=False)}

    for seed in range(setting.seeds):
        yield Trial("bits that differ", seed, lambda seed=seed: run(bits, 4, seed), RATE)
        smoothed = "bits that differ, from SmoothQuant's smoothing"
        yield Trial(smoothed, seed, lambda seed=seed: run(bits, 4, seed, smoothed=True), SMOOTHED_RATE)
    words = Judged(setting, "words")
    for seed in range(setting.seeds):
        yield Trial("word errors of the whole decode", seed, lambda seed=seed: run(words, 3, seed), RATE)


def unsmoothed(arm: Arm) -> None:
    """Take the smoothing away that layers start with; how much of it they get is learned."""
    for layer in each_trained(arm.model):
        if isinstance(layer, method.ZeroQATLinear):
            layer.amount.data.zero_()


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
    """Of the finite difference with the straight-through directional derivative, over random directions of what has
    one, by how many times the usual perturbation they are."""
    objective, found = next(arm.subject.objectives(arm.model, arm.generator)), {}
    every = [p for layer in each_trained(arm.model) for p in (*layer.weights(), *layer.scales())]
    gradients = torch.autograd.grad(objective(), every, allow_unused=True)
    slopes = {p: gradient for p, gradient in zip(every, gradients, strict=True) if gradient is not None}
    for times in (0.3, 1.0, 3.0, 10.0):
        stepper = Forward(arm.model, arm.tune, arm.generator).optimizer
        stepper.groups = [
            replace(group, epsilon=times * group.epsilon, parameters=tuple(p for p in group.parameters if p in slopes))
            for group in stepper.groups
        ]
        finite, straight = [], []
        for seed in range(count):
            with torch.no_grad():
                stepper.move(seed, 1.0)
                upper = float(objective())
                stepper.move(seed, -2.0)
                lower = float(objective())
                stepper.move(seed, 1.0)
                finite.append((upper - lower) / 2)
                moved = [(p, noise, group.epsilon) for p, noise, group in stepper.noise(seed)]
            straight.append(sum(float((slopes[p] * noise).sum()) * epsilon for p, noise, epsilon in moved))
        found[f"correlation_{times:g}"] = float(torch.corrcoef(torch.tensor([finite, straight]))[0, 1])
    return found
