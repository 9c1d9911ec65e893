"""L4Q on adaptation: the codec's own loss on a voice, at 3 bits, against adapters that are trained first and rounded
then."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import torch
from quant_arms import Arm, Setting, quant_config
from quant_language import clips_of, divided
from quant_queue import Results, Row, Trial, swept
from quant_subjects import Subject
from torch import Tensor, nn

from tadicodec.codec import Codec
from tadicodec.data.features import Clip, Features
from tadicodec.integers.layout import linear_layers
from tadicodec.integers.lookup import replace_module
from tadicodec.model.fused import unfuse
from tadicodec.quant.codec_tuning import Lessons
from tadicodec.quant.conversion import convert
from tadicodec.quant.job import Job
from tadicodec.quant.lowrank import LowRank
from tadicodec.quant.quant_settings import TuneConfig
from tadicodec.quant.tune import Objective, schedule

BITS, RANK, BATCHES = 3, 4, 8
RATES = (3e-4, 1e-3, 3e-3, 1e-2)
SCALES_SLOWER = 30.0  # times than adapters
JOINT, SEARCHED, AFTER, BESIDE = (
    "L4Q",
    "L4Q, scales searched",
    "LoRA, then rounded",
    "rounded, LoRA beside, rounded again",
)


class OwnLoss(Subject):
    """The codec with its training loss on clips of one voice; "val" is that loss on others of its clips, always with
    the same noise."""

    def __init__(self, codec: Codec, features: Features, voice: str | None, frames: int) -> None:
        self.codec, self.frames = codec, frames
        self.network = copy.deepcopy(codec.model)
        unfuse(self.network)
        self.train, self.judged = (some(features, own) for own in divided(clips_of(features, voice)))

    def lessons(self, model: nn.Module, features: Features, generator: torch.Generator) -> Lessons:
        """The codec's losses of a model, on these clips."""
        tuning = {"loss": "codec", "frames": max(self.frames, max(c.frames for c in features.clips))}
        job = Job.from_sections({"quantization": {"method": "l4q", "bits": BITS}, "tuning": tuning})
        return Lessons(self.codec, model, job, features, generator)

    def objectives(self, model: nn.Module, generator: torch.Generator) -> Iterator[Objective]:
        return self.lessons(model, self.train, generator).objectives()

    @torch.no_grad()
    def held(self, model: nn.Module) -> dict[str, float]:
        found = self.lessons(model, self.judged, torch.Generator().manual_seed(0)).objectives()
        return {"val": sum(float(next(found)()) for _ in range(BATCHES)) / BATCHES}

    def inputs(self, model: nn.Module, generator: torch.Generator) -> dict[str, Tensor]:
        return self.lessons(model, self.train, generator).layer_inputs()


def some(features: Features, clips: list[Clip]) -> Features:
    """The same features with these clips alone."""
    made = copy.copy(features)
    made.clips = clips
    return made


def l4q(setting: Setting, results: Results) -> Iterator[Trial]:
    """Adaptation to a voice. What is rounded after training has its scales searched, L4Q starts as published or from
    such scales, too, and memory is a step's."""
    subject = OwnLoss(setting.codec, setting.adapting, setting.voice, setting.frames)
    searched = quant_config("lr_qat", BITS, group=32, rank=1)

    def rounded(model: nn.Module) -> float:
        return Arm(subject, searched, TuneConfig(), model).prepare().held()["val"]

    def run(arm: str, rate: float, seed: int, sweep: bool) -> Row:
        tune = TuneConfig(setting.shortened(sweep), seed, rate, rate / SCALES_SLOWER, weight_decay=0.01)
        if arm in (JOINT, SEARCHED):
            config = quant_config("l4q", BITS, group=32, rank=RANK, searched=arm == SEARCHED)
            made = Arm(subject, config, tune).prepare()
            return {**made.bytes(), **made.train()}
        made = Arm(subject, searched, tune)
        if arm == BESIDE:
            made.prepare()
            convert(made.model)
        memory = train_side_branches(made, add_side_branches(made))
        unmerged = made.held()["val"]
        return {**memory, "unmerged": unmerged, "val": rounded(merge_side_branches(subject.network, made.model))}

    yield Trial("float", 0, lambda: Arm(subject, searched, TuneConfig()).held())
    yield Trial("rounded, scales searched", 0, lambda: {"val": rounded(subject.network)})
    yield from swept(results, dict.fromkeys((JOINT, SEARCHED, AFTER, BESIDE), RATES), setting.seeds, run, finalists=2)


class SideBranch(nn.Module):
    """A frozen layer plus a LoRA branch beside it."""

    def __init__(self, layer: nn.Module, generator: torch.Generator) -> None:
        super().__init__()
        self.layer = layer
        self.branch = LowRank((layer.out_features, layer.in_features), RANK, float(RANK), generator)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) + (x @ self.branch.right.T) @ self.branch.left.T * self.branch.gain


def add_side_branches(arm: Arm) -> list[nn.Parameter]:
    """Put branches beside the layers that the arm's method takes, packed or not; returns what learns."""
    arm.model.requires_grad_(False)
    names = [name for name in linear_layers(arm.subject.network) if arm.config.takes(name)]
    for name in names:
        replace_module(arm.model, name, SideBranch(arm.model.get_submodule(name), arm.generator))
    return [p for m in arm.model.modules() if isinstance(m, SideBranch) for p in m.branch.parameters()]


def train_side_branches(arm: Arm, parameters: list[nn.Parameter]) -> Row:
    """Train branches as `tune` trains what is inside a quantizer. Returns a step's memory."""
    for parameter in parameters:
        parameter.requires_grad_()
    memory, tune = arm.bytes(), arm.tune
    optimizer = torch.optim.AdamW(parameters, lr=tune.lr, betas=(0.9, 0.95), weight_decay=tune.weight_decay)
    objectives, share = arm.subject.objectives(arm.model, arm.generator), schedule(tune, 0, tune.steps)
    for step in range(tune.steps):
        optimizer.param_groups[0]["lr"] = tune.lr * share(step)
        optimizer.zero_grad()
        next(objectives)().backward()
        torch.nn.utils.clip_grad_norm_(parameters, tune.clip)
        optimizer.step()
    return memory


def merge_side_branches(source: nn.Module, branched: nn.Module) -> nn.Module:
    """A float network with the layers' weights plus their branches."""
    merged = copy.deepcopy(source)
    with torch.no_grad():
        for name, module in branched.named_modules():
            if isinstance(module, SideBranch):
                own = module.layer.weight
                merged.get_submodule(name).weight.copy_(
                    (own if isinstance(own, Tensor) else own()) + module.branch.delta()
                )
    return merged
