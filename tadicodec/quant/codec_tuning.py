"""What a codec's quantized network learns from: the float network's outputs on prepared speech, or the codec's loss.

Imitation compares the two networks where they meet: the vector before the sign, the aligner's letters, the prior, the
decoder. Behind the encoder the student is given the teacher's values, so that a flipped code does not mislead the
decoder.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from tadicodec.codec import Codec
from tadicodec.data.batches import BatchConfig, Position, batches_from
from tadicodec.data.collate import Collator
from tadicodec.integers.layout import linear_layers
from tadicodec.model.fused import unfuse
from tadicodec.quant.conversion import prepare
from tadicodec.quant.intervention import Interventions
from tadicodec.quant.job import Job
from tadicodec.quant.observe import collect_inputs, recorded_outputs, relative_error, replaced_outputs
from tadicodec.quant.tune import Objective, tune
from tadicodec.train.codec_task import CodecNetwork, CodecObjective, CodecTask

if TYPE_CHECKING:
    from tadicodec.data.features import Features

# Outputs that are compared; those of the first line are replaced by the teacher's for what comes behind.
BRIDGES = ("vq_in_linear", "aligner")
COMPARED = (*BRIDGES, "transcriber", "decoder.prior.mel_linear", "decoder.prior.out_linear", "decoder.out_linear")
LOOKS = 4  # batches that methods see before training


def tune_codec(
    codec: Codec, model: nn.Module, job: Job, features: Features, generator: torch.Generator, *, progress: bool = False
) -> list[float]:
    """Prepare and train `model`, a copy of the codec's float network, in place; returns the loss of every step."""
    unfuse(model)  # hooks see every projection only where each is called by itself
    lessons = Lessons(codec, model, job, features, generator)
    inputs = lessons.look() if job.method.sees_inputs else None
    prepare(model, job.model, generator, inputs)
    if not job.method.intervenes:
        return tune(model, lessons.objectives(), job.tune, generator, progress=progress)
    with Interventions(model, lessons.teacher) as interventions:
        objectives = lessons.objectives(interventions)
        return tune(model, objectives, job.tune, generator, interventions=interventions, progress=progress)


class Lessons:
    """Batches of prepared speech, and what both networks make of them."""

    def __init__(
        self, codec: Codec, model: nn.Module, job: Job, features: Features, generator: torch.Generator
    ) -> None:
        self.model, self.tune, self.generator, self.device = model, job.tune, generator, codec.device
        self.teacher = copy.deepcopy(codec.model)
        unfuse(self.teacher)
        shape = codec.config.autoencoder
        objective = CodecObjective(
            ctc_weight=0.3 if shape.aligned else 0.0, transcript_weight=1.0 if shape.transcriber_layers else 0.0
        )
        with torch.device("meta"):
            self.task = CodecTask(codec.config, objective)
        self.network: CodecNetwork = self.task.networks["codec"]
        collate = Collator(features, codec.tokenizer)
        frames = [clip.frames for clip in features.clips]
        order = batches_from(frames, BatchConfig(job.tune.frames, job.tune.seed), Position())
        self.batches = (collate(indices, generator) for indices, _ in order)
        modules = dict(self.teacher.named_modules())
        self.compared = [name for name in COMPARED if name in modules]

    def draw(self) -> tuple[dict, dict[str, Tensor]]:
        """The next batch, and everything random about its step."""
        batch = {k: v.to(self.device) if isinstance(v, Tensor) else v for k, v in next(self.batches).items()}
        return batch, self.task.draw(batch, self.generator)

    def run(self, codec: nn.Module, batch: dict, draws: dict[str, Tensor]) -> None:
        self.network.codec = codec
        self.network(batch, draws)

    def look(self) -> dict[str, Tensor]:
        """Inputs of every Linear layer on a few batches: [n, i] by name."""
        drawn = [self.draw() for _ in range(LOOKS)]
        names = linear_layers(self.model)
        return collect_inputs(
            self.model, names, lambda: [self.run(self.model, *item) for item in drawn], self.generator
        )

    def objectives(self, interventions: Interventions | None = None) -> Iterator[Objective]:
        while True:
            batch, draws = self.draw()
            yield self.own_loss(batch) if self.tune.loss == "codec" else self.imitation(batch, draws, interventions)

    def own_loss(self, batch: dict) -> Objective:
        """The codec's training loss, its draws the same at every call."""
        seed = int(torch.randint(2**62, (), generator=self.generator))

        def loss() -> Tensor:
            self.network.codec = self.model
            ((_, value, _),) = self.task.losses(batch, torch.Generator().manual_seed(seed))
            return value

        return loss

    def imitation(self, batch: dict, draws: dict[str, Tensor], interventions: Interventions | None) -> Objective:
        """Mean over the compared outputs of error / variance; with interventions, their own terms too."""
        if interventions is not None:
            interventions.start()
        with torch.no_grad(), recorded_outputs(self.teacher, self.compared) as taught:
            self.run(self.teacher, batch, draws)
        bridges = {name: taught[name] for name in BRIDGES if name in taught}

        def loss() -> Tensor:
            with ExitStack() as stack:
                own = stack.enter_context(replaced_outputs(self.model, bridges))
                rest = stack.enter_context(recorded_outputs(self.model, [n for n in taught if n not in bridges]))
                self.run(self.model, batch, draws)
            errors = [relative_error({**own, **rest}[name], value) for name, value in taught.items()]
            extra = 0.0 if interventions is None else interventions.loss()
            return torch.stack(errors).mean() + extra

        return loss
