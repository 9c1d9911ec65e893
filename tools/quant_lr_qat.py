"""LR-QAT against full training with learned scales, and what its frozen byte does."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import torch
from quant_arms import Arm, Setting, quant_config
from quant_queue import Results, Row, Trial, swept
from quant_subjects import EncoderSubject
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from tadicodec.integers.grid import split, to_levels, weight_grid
from tadicodec.integers.layout import linear_layers
from tadicodec.integers.lookup import replace_module
from tadicodec.integers.packed_linear import Integers
from tadicodec.integers.packing import from_fixed_point, to_fixed_point
from tadicodec.integers.straight import fake_quantize, lsq_factor, scale_gradient
from tadicodec.quant.conversion import convert, each_trained
from tadicodec.quant.lr_qat import searched_range
from tadicodec.quant.quant_settings import QuantConfig, TuneConfig
from tadicodec.quant.trained import TrainedLinear

RATES = (3e-4, 1e-3, 3e-3, 1e-2, 3e-2)  # of LR-QAT's corrections, which count in levels
FULL_RATES = (3e-5, 1e-4, 3e-4, 1e-3)  # of full training's weights
SCALE_RATE, RANK = 1e-5, 8


def lr_qat(setting: Setting, results: Results) -> Iterator[Trial]:
    """Quality and memory of a rank-8 correction against LSQ at 3 and 2 bits, each at four rates. The same scales are
    searched for both, and the merged integers are those trained."""
    subject = EncoderSubject(setting.codec, setting.train, setting.valid, setting.frames)

    def run(arm: str, rate: float, seed: int, sweep: bool) -> Row:
        tune = TuneConfig(steps=setting.shortened(sweep), lr=rate, scale_lr=SCALE_RATE, seed=seed)
        made = Arm(subject, quant_config("lr_qat", int(arm[0]), rank=RANK), tune)
        if "LSQ" in arm:
            checkpointed = full_training(Arm(subject, made.config, tune), True).bytes()
            row = {**full_training(made, False).bytes(), "memory_checkpointed_mb": checkpointed["memory_mb"]}
            return {**row, **made.train()}
        row = {**made.prepare().bytes(), **made.train()}
        return {**row, "largest_difference_after_merging": merging_error(made)}

    for bits in (3, 2):
        nearest = quant_config("glm", bits)
        yield Trial(f"{bits} bits, nearest", 0, lambda c=nearest: Arm(subject, c, TuneConfig()).prepare().held())
        yield from swept(results, {f"{bits} bits, LSQ": FULL_RATES, f"{bits} bits, LR-QAT": RATES}, setting.seeds, run)


TIES_MOVED, TIES_BACK = "float, five places, ties moved a little", "float, five places, ties put back"
STORES = ("float", "float, clipped", "float, five places", TIES_MOVED, TIES_BACK, "fixed", "integer")


def stores(setting: Setting, results: Results) -> Iterator[Trial]:
    """Why LR-QAT's byte trains better than its float at 3 bits: clipping to the grid, weights that a byte puts on x.5,
    or those near it? A quarter of the steps, each store at its best rate."""
    subject = EncoderSubject(setting.codec, setting.train, setting.valid, setting.frames)

    @cache  # the sweep's first seed is the result's, too
    def trained(arm: str, rate: float, seed: int) -> Row:
        tune = TuneConfig(steps=setting.shortened(True), lr=rate, scale_lr=SCALE_RATE, seed=seed)
        store = arm if arm in ("fixed", "integer") else "float"
        made = Arm(subject, quant_config("lr_qat", 3, rank=RANK, store=store), tune).prepare()
        ties = {} if store == arm != "float" else {"ties": freeze_as(made, arm)}
        return {**ties, **made.train()}

    def run(arm: str, rate: float, seed: int, sweep: bool) -> Row:
        return trained(arm, rate, seed)

    yield from swept(results, {name: RATES for name in STORES}, setting.seeds, run)


@torch.no_grad()
def freeze_as(arm: Arm, how: str) -> float:
    """Change what LR-QAT layers with a float store have frozen: clipped to the grid, rounded to the five binary places
    of a byte at 3 bits, or that with values on x.5 moved a little to the side they came from, or put back to where
    they came from. Returns the share of the weights that lie on x.5."""
    ties = count = 0
    for layer in each_trained(arm.model):
        units, grid = layer.frozen.clone(), layer.grid
        if how != "float":
            layer.frozen.clamp_(grid.lowest, grid.highest)
        if "places" in how:
            layer.frozen.copy_(from_fixed_point(to_fixed_point(layer.frozen, grid.bits), grid.bits))
        tied = on_tie(layer.frozen)
        if how == TIES_MOVED:
            layer.frozen.add_(1e-3 * (units - layer.frozen).sign() * tied)
        elif how == TIES_BACK:
            layer.frozen.copy_(torch.where(tied, units, layer.frozen))
        tied = on_tie(layer.frozen)
        ties, count = ties + int(tied.sum()), count + tied.numel()
    return ties / count


def on_tie(units: Tensor) -> Tensor:
    """Which weights lie on x.5."""
    return (units - units.floor()) == 0.5


def merging_error(arm: Arm) -> float:
    """The largest difference between the integers that were trained and those of the converted network."""
    trained = [layer.integers().levels.clone() for layer in each_trained(arm.model)]
    names = [name for name, module in arm.model.named_modules() if isinstance(module, TrainedLinear)]
    convert(arm.model)
    merged = [arm.model.get_submodule(name).levels() for name in names]
    return max(float((a - b).abs().max()) for a, b in zip(trained, merged, strict=True))


class LSQLinear(TrainedLinear):
    """Full training with learned scales (Esser et al. 2020), which start where LR-QAT's start: what it is measured
    against."""

    zero: Tensor | None

    def __init__(self, linear: nn.Linear, config: QuantConfig, checkpoints: bool) -> None:
        super().__init__(linear, config)
        self.grid, self.checkpoints = weight_grid(config.bits, config.group), checkpoints
        self.latent = nn.Parameter(linear.weight.detach().clone())
        scale, zero = searched_range(split(self.latent.detach(), self.grid), self.grid)
        self.scale = nn.Parameter(scale)
        self.register_buffer("zero", zero)

    @classmethod
    def make(
        cls, linear: nn.Linear, config: QuantConfig, inputs: Tensor | None, generator: torch.Generator
    ) -> LSQLinear:
        return cls(linear, config, checkpoints=False)

    def weight(self) -> Tensor:
        factor = lsq_factor(self.scale, self.latent.numel(), self.grid)
        return fake_quantize(self.latent, scale_gradient(self.scale, factor), self.zero, self.grid)

    def integers(self) -> Integers:
        levels = to_levels(split(self.latent.detach(), self.grid), self.scale.detach(), self.zero, self.grid)
        return Integers(levels.flatten(-2), self.scale.detach(), self.zero)

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
        if arm.config.takes(name):
            replace_module(arm.model, name, LSQLinear(layer, arm.config, checkpoints))
    arm.model.requires_grad_(False)
    for trained in each_trained(arm.model):
        for parameter in (*trained.weights(), *trained.scales()):
            parameter.requires_grad_()
    return arm
