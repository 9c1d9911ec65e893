"""What the quantization experiments are made of: copies of a network under one method each, and their measures."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from quant_queue import SWEEP, Row
from quant_subjects import Subject
from torch import nn

from tadicodec.codec import Codec
from tadicodec.data.features import Features
from tadicodec.errors import InputError
from tadicodec.quant.conversion import prepare
from tadicodec.quant.intervention import Interventions
from tadicodec.quant.methods import find_method
from tadicodec.quant.observe import SavedBytes
from tadicodec.quant.quant_settings import QuantConfig, TuneConfig
from tadicodec.quant.tune import Objective, tune


@dataclass(frozen=True)
class Setting:
    """Where an experiment's data come from, and how long its arms train."""

    codec: Codec
    train: Features
    valid: Features
    steps: int
    frames: int
    seeds: int
    adapt: str  # the split with the voice to adapt to
    voice: str | None  # which it is; None: the one with the most clips

    @property
    def adapting(self) -> Features:
        """The clips to adapt to. Raises InputError where there are none."""
        return Features(self.train.folder, self.adapt)

    def shortened(self, sweep: bool) -> int:
        """The steps of a training that only finds the rate, or of a whole one."""
        return max(self.steps // SWEEP, 1) if sweep else self.steps


class Arm:
    """A copy of a subject's network under one method, with its own random numbers."""

    def __init__(self, subject: Subject, config: QuantConfig, tune: TuneConfig, model: nn.Module | None = None) -> None:
        self.subject, self.config, self.tune = subject, config, tune
        self.model = copy.deepcopy(subject.network if model is None else model)
        self.generator = torch.Generator().manual_seed(tune.seed)

    def prepare(self) -> Arm:
        seen = find_method(self.config.method).sees_inputs
        inputs = self.subject.inputs(self.model, self.generator) if seen else None
        prepare(self.model, self.config, self.generator, inputs)
        return self

    def held(self) -> Row:
        """What held-out data say."""
        training = self.model.training
        self.model.eval()
        found = self.subject.held(self.model)
        self.model.train(training)
        return found

    def train(self, every: int = 0, interventions: Interventions | None = None) -> Row:
        """Held-out figures before ("start") and after; with `every`, also the losses at each so many steps. A training
        that diverges has no "val"."""
        start, curve, count = self.held(), [], [0]

        def watched() -> Iterator[Objective]:
            for objective in self.subject.objectives(self.model, self.generator):
                if every and count[0] % every == 0:
                    curve.append((count[0], self.held()["val"]))
                count[0] += 1
                yield objective

        try:
            tune(self.model, watched(), self.tune, self.generator, interventions=interventions)
        except InputError:
            return {"start": start["val"], "val": None}
        end = self.held()
        curve += [(self.tune.steps, end["val"])] if every else []
        return {"start": start["val"], **end, **({"curve": curve} if every else {})}

    def bytes(self, backward: bool = True) -> Row:
        """Of one training step, in MB: parameters and buffers, gradients and moments of what learns, and saved tensors.
        Without backward passes there are only the first, as in inference."""
        own = [p for p in self.model.parameters() if p.requires_grad and backward]
        tensors = [*self.model.parameters(), *self.model.buffers()]
        with SavedBytes() as saved, torch.set_grad_enabled(backward):
            next(self.subject.objectives(self.model, self.generator))()
        parts = {
            "weights": sum(t.nbytes for t in tensors),
            "gradients_and_moments": 3 * sum(p.nbytes for p in own),
            "saved": saved.total(tensors),
        }
        return {"memory_mb": sum(parts.values()) / 1e6, "memory_parts": parts}


def quant_config(method: str, bits: int, **changes: Any) -> QuantConfig:
    """The blocks' projections at these bits, scales in float32, and everything else as it is."""
    plain = {"scale": "float32", "layers": ["*_proj"]}
    return QuantConfig.from_dict(
        {**find_method(method).quantization, **plain, **changes, "method": method, "bits": bits}
    )
