"""What the quantization experiments are made of: copies of a codec's network under one job each, and their measures."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from tadicodec.codec import Codec
from tadicodec.data.features import Features
from tadicodec.integers.grid import Grid, round_to_grid, split, to_levels, weight_grid
from tadicodec.integers.layout import linear_layers
from tadicodec.integers.lookup import replace_module
from tadicodec.integers.packed_linear import Integers, PackedLinear
from tadicodec.integers.packing import from_fixed_point, to_fixed_point
from tadicodec.integers.ranges import least_error
from tadicodec.integers.straight import fake_quantize, lsq_factor, scale_gradient
from tadicodec.model.fused import unfuse
from tadicodec.quant import zero_qat
from tadicodec.quant.codec_tuning import Lessons
from tadicodec.quant.conversion import convert, each_trained, prepare
from tadicodec.quant.intervention import Interventions
from tadicodec.quant.job import CODEC, Job
from tadicodec.quant.lowrank import LowRank
from tadicodec.quant.observe import SavedBytes
from tadicodec.quant.quant_settings import QuantConfig
from tadicodec.quant.trained import TrainedLinear
from tadicodec.quant.tune import Forward, Objective, schedule, tune
from tadicodec.speech import SAMPLES_PER_TOKEN, Speech

Row = dict[str, Any]


@dataclass(frozen=True)
class Setting:
    """One experiment's surroundings."""

    codec: Codec
    train: Features
    valid: Features
    steps: int
    frames: int
    seed: int
    batches: int = 4  # of validation

    def job(self, method: str, bits: int, *, tuning: dict | None = None, **changes: Any) -> Job:
        plain = {"other_bits": 0, "scale": "float32", "group": 0, "activation": {}}
        quantization = {**CODEC, **plain, "method": method, "bits": bits, **changes}
        tune_section = {"steps": self.steps, "frames": self.frames, "seed": self.seed, **(tuning or {})}
        return Job.from_sections({"quantization": quantization, "tuning": tune_section})


class Arm:
    """A copy of the network under one job, with training and validation objectives of its own."""

    def __init__(self, setting: Setting, job: Job, model: nn.Module | None = None) -> None:
        self.setting, self.job = setting, job
        self.model = copy.deepcopy(setting.codec.model if model is None else model)
        unfuse(self.model)
        self.generator = torch.Generator().manual_seed(setting.seed)
        self.lessons = Lessons(setting.codec, self.model, job, setting.train, self.generator)
        held = replace(job, tune=replace(job.tune, seed=0, loss="imitate"))  # the same batches and noise for every arm
        lessons = Lessons(setting.codec, self.model, held, setting.valid, torch.Generator().manual_seed(0))
        found = lessons.objectives()
        self.held = [next(found) for _ in range(setting.batches)]

    def prepare(self) -> Arm:
        inputs = self.lessons.layer_inputs() if self.job.model.method in ("roste", "zero_qat") else None
        prepare(self.model, self.job.model, self.generator, inputs)
        return self

    @torch.no_grad()
    def val(self) -> float:
        training = self.model.training
        self.model.eval()
        loss = sum(float(objective()) for objective in self.held) / len(self.held)
        self.model.train(training)
        return loss

    def train(self, every: int = 0, interventions: Interventions | None = None) -> list[tuple[int, float]]:
        """Validation losses by step: the first, each `every` steps, the last."""
        curve = [(0, self.val())]
        objectives, count = self.lessons.objectives(interventions), [0]

        def watched() -> Iterator[Objective]:
            for objective in objectives:
                if every and count[0] and count[0] % every == 0:
                    curve.append((count[0], self.val()))
                count[0] += 1
                yield objective

        tune(self.model, watched(), self.job.tune, self.generator, interventions=interventions)
        return [*curve, (self.job.tune.steps, self.val())]

    def bytes(self, backward: bool = True) -> Row:
        """Of one training step: parameters and buffers, gradients and moments of what learns, and saved tensors.
        Without backward passes there are only the first, as in inference."""
        own = [p for p in self.model.parameters() if p.requires_grad and backward]
        with SavedBytes() as saved, torch.set_grad_enabled(backward):
            next(self.lessons.objectives())()
        tensors = [*self.model.parameters(), *self.model.buffers()]
        return {
            "weights": sum(t.nbytes for t in tensors),
            "gradients_and_moments": 3 * sum(p.nbytes for p in own),
            "saved": saved.total(tensors),
        }


def block_layers(model: nn.Module) -> dict[str, nn.Linear]:
    return {name: layer for name, layer in linear_layers(model).items() if name.endswith("_proj")}


@torch.no_grad()
def round_whole(model: nn.Module, bits: int) -> None:
    """Round every block's matrices with one scale each, in place."""
    grid = Grid(bits, narrow=True, granularity="tensor")
    for layer in block_layers(model).values():
        layer.weight.copy_(round_to_grid(layer.weight, layer.weight.abs().max() / grid.highest, None, grid))


class SideBranch(nn.Module):
    """A frozen layer plus a LoRA branch beside it (QLoRA)."""

    def __init__(self, layer: nn.Module, rank: int, generator: torch.Generator) -> None:
        super().__init__()
        self.layer = layer
        self.branch = LowRank((layer.out_features, layer.in_features), rank, float(rank), generator)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) + (x @ self.branch.right.T) @ self.branch.left.T * self.branch.gain


def add_side_branches(model: nn.Module, rank: int, generator: torch.Generator) -> list[nn.Parameter]:
    convert(model)
    for name in [n for n, m in model.named_modules() if isinstance(m, PackedLinear)]:
        replace_module(model, name, SideBranch(model.get_submodule(name), rank, generator))
    return [p for m in model.modules() if isinstance(m, SideBranch) for p in m.branch.parameters()]


def train_side_branches(arm: Arm, parameters: list[nn.Parameter]) -> None:
    optimizer = torch.optim.AdamW(parameters, lr=arm.job.tune.lr, betas=(0.9, 0.95), weight_decay=0.01)
    objectives, share = arm.lessons.objectives(), schedule(arm.job.tune, 0, arm.job.tune.steps)
    for step in range(arm.job.tune.steps):
        optimizer.param_groups[0]["lr"] = arm.job.tune.lr * share(step)
        optimizer.zero_grad()
        next(objectives)().backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()


def merge_side_branches(source: nn.Module, branched: nn.Module) -> nn.Module:
    """A float network with the rounded weights plus their branches."""
    merged = copy.deepcopy(source)
    with torch.no_grad():
        for name, module in branched.named_modules():
            if isinstance(module, SideBranch):
                merged.get_submodule(name).weight.copy_(module.layer.weight() + module.branch.delta())
    return merged


def spiked(model: nn.Module, factor: float = 25.0, channels: int = 4) -> nn.Module:
    """The same function with outliers: some rows of v and up times `factor`, their readers' columns divided by it."""
    changed, pairs = copy.deepcopy(model), (("v_proj", "o_proj"), ("up_proj", "down_proj"))
    with torch.no_grad():
        for module in changed.modules():
            for writer, reader in pairs:
                if hasattr(module, writer) and hasattr(module, reader):
                    getattr(module, writer).weight[:channels] *= factor
                    getattr(module, reader).weight[:, :channels] /= factor
    return changed


STORES = ("float", "float, clipped", "float, five places", "float, five places, ties undone")


@torch.no_grad()
def freeze_as(arm: Arm, how: str) -> float:
    """Change what LR-QAT layers with a float store have frozen: clipped to the grid, rounded to the five binary places
    of a byte at 3 bits, or that with values on x.5 moved a little to the side they came from. Returns the share of the
    weights that lie on x.5."""
    ties = count = 0
    for layer in each_trained(arm.model):
        units, grid = layer.frozen.clone(), layer.grid
        if how != "float":
            layer.frozen.clamp_(grid.lowest, grid.highest)
        if "places" in how:
            layer.frozen.copy_(from_fixed_point(to_fixed_point(layer.frozen, grid.bits), grid.bits))
        tied = (layer.frozen - layer.frozen.floor()) == 0.5
        if "undone" in how:
            layer.frozen.add_(1e-3 * (units - layer.frozen).sign() * tied)
            tied = (layer.frozen - layer.frozen.floor()) == 0.5
        ties, count = ties + int(tied.sum()), count + tied.numel()
    return ties / count


class LSQLinear(TrainedLinear):
    """Full training with learned scales (Esser et al. 2020), which start where LR-QAT's start: what it is measured
    against."""

    def __init__(self, linear: nn.Linear, config: QuantConfig, checkpoints: bool) -> None:
        super().__init__(linear, config)
        self.grid, self.checkpoints = weight_grid(config.bits, config.group), checkpoints
        self.latent = nn.Parameter(linear.weight.detach().clone())
        self.scale = nn.Parameter(least_error(split(self.latent.detach(), self.grid), self.grid))

    @classmethod
    def make(
        cls, linear: nn.Linear, config: QuantConfig, inputs: Tensor | None, generator: torch.Generator
    ) -> LSQLinear:
        return cls(linear, config, checkpoints=False)

    def weight(self) -> Tensor:
        factor = lsq_factor(self.scale, self.latent.numel(), self.grid)
        return fake_quantize(self.latent, scale_gradient(self.scale, factor), None, self.grid)

    def integers(self) -> Integers:
        levels = to_levels(split(self.latent.detach(), self.grid), self.scale.detach(), None, self.grid)
        return Integers(levels.flatten(-2), self.scale.detach())

    def forward(self, x: Tensor) -> Tensor:
        if not (self.checkpoints and torch.is_grad_enabled()):
            return super().forward(x)
        return checkpoint(super().forward, x, use_reentrant=False, preserve_rng_state=False)

    def weights(self) -> Iterator[nn.Parameter]:
        yield self.latent

    def scales(self) -> Iterator[nn.Parameter]:
        yield self.scale


def full_training(arm: Arm, checkpoints: bool) -> Arm:
    """Prepare an arm whose layers are all of `LSQLinear`."""
    for name, layer in linear_layers(arm.model).items():
        if arm.job.model.takes(name):
            replace_module(arm.model, name, LSQLinear(layer, arm.job.model, checkpoints))
    arm.model.requires_grad_(False)
    for trained in each_trained(arm.model):
        for parameter in (*trained.weights(), *trained.scales()):
            parameter.requires_grad_()
    return arm


def correlations(arm: Arm, count: int = 24) -> dict[str, float]:
    """Of the finite difference with the straight-through directional derivative, over random directions, by share of
    the roundings that a perturbation flips."""
    objective, found = next(arm.lessons.objectives()), {}
    for flips in (0.01, 0.03, 0.1, 0.3):
        stepper = Forward(arm.model, replace(arm.job.tune, flips=flips), arm.generator)
        scale = flips / 0.1  # scales and smoothing have no roundings of their own: their step grows alike
        groups = [
            replace(g, epsilon=g.epsilon * (scale if g.epsilon == zero_qat.LOG_STEP else 1))
            for g in stepper.optimizer.groups
        ]
        stepper.optimizer.groups = groups
        parameters = [p for group in groups for p in group.parameters]
        gradients = torch.autograd.grad(objective(), parameters, allow_unused=True)
        finite, straight = [], []
        for seed in range(count):
            with torch.no_grad():
                stepper.optimizer.move(seed, 1.0)
                upper = float(objective())
                stepper.optimizer.move(seed, -2.0)
                lower = float(objective())
                stepper.optimizer.move(seed, 1.0)
                finite.append((upper - lower) / 2)
                noises = [(noise, group.epsilon) for _, noise, group in stepper.optimizer.noise(seed)]
            slopes = zip(gradients, noises, strict=True)
            straight.append(sum(float((g * u).sum()) * e for g, (u, e) in slopes if g is not None))
        found[str(flips)] = float(torch.corrcoef(torch.tensor([finite, straight]))[0, 1])
    return found


@torch.inference_mode()
def timed(codec: Codec, codes: list[Tensor], rounds: int = 3) -> Row:
    """Seconds of decoding, the fastest round."""
    speech = [
        Speech(
            c,
            torch.tensor([c.shape[1]]),
            torch.tensor([c.shape[1] * SAMPLES_PER_TOKEN]),
            (None,),
            codec.name,
            codec.weights,
        )
        for c in codes
    ]
    best = float("inf")
    for _ in range(rounds):
        begin = time.perf_counter()
        for item in speech:
            codec.decode(item)
        best = min(best, time.perf_counter() - begin)
    return {"seconds": best, "speech_seconds": sum(c.shape[1] for c in codes) / codec.token_rate}
