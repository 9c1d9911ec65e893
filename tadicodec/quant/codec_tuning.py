"""What a codec's quantized network learns from: the float network's outputs on prepared speech, the codec's own loss,
or what a judge says of decoded speech.

Imitation compares the two networks where their parts meet: the vector before the sign, the aligner's letters, the
prior, the decoder. Behind the encoder the student is given the teacher's values, so that a code that changes does not
mislead the decoder.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor

from tadicodec.codec import Codec
from tadicodec.data.batches import BatchConfig, Position, batches_from
from tadicodec.data.collate import Collator
from tadicodec.integers.layout import linear_layers
from tadicodec.model.autoencoder import Autoencoder
from tadicodec.model.fused import unfuse
from tadicodec.quant.conversion import prepare
from tadicodec.quant.decode_loss import Judge, decode_clips, find_judge
from tadicodec.quant.intervention import Interventions
from tadicodec.quant.job import Job
from tadicodec.quant.observe import collect_inputs, recorded_outputs, relative_error, replaced_outputs
from tadicodec.quant.quant_settings import OWN
from tadicodec.quant.tune import Objective, tune
from tadicodec.train.codec_network import CodecNetwork
from tadicodec.train.codec_objective import CodecObjective
from tadicodec.train.codec_task import CodecTask

if TYPE_CHECKING:
    from tadicodec.data.features import Features

# Outputs that are compared; those of the first line are replaced by the teacher's for what comes behind.
BRIDGES = ("vq_in_linear", "aligner")
COMPARED = (*BRIDGES, "transcriber", "decoder.prior.mel_linear", "decoder.prior.out_linear", "decoder.out_linear")
SEEN_BATCHES = 4  # batches that methods see before training


def tune_codec(
    codec: Codec,
    model: Autoencoder,
    job: Job,
    features: Features,
    generator: torch.Generator,
    *,
    progress: bool = False,
) -> list[float]:
    """Prepare and train `model`, a copy of the codec's float network, in place. Returns the loss of every step."""
    unfuse(model)  # hooks see every projection only where each is called by itself
    lessons = Lessons(codec, model, job, features, generator)
    inputs = lessons.layer_inputs() if job.method.sees_inputs else None
    prepare(model, job.model, generator, inputs)
    if not job.method.intervenes:
        return tune(model, lessons.objectives(), job.tune, generator, progress=progress)
    with Interventions(model, lessons.teacher) as interventions:
        objectives = lessons.objectives(interventions)
        return tune(model, objectives, job.tune, generator, interventions=interventions, progress=progress)


class Lessons:
    """Batches of prepared speech, and the losses by which the quantized network learns from them."""

    def __init__(
        self, codec: Codec, model: Autoencoder, job: Job, features: Features, generator: torch.Generator
    ) -> None:
        self.codec, self.model, self.tune, self.generator, self.device = codec, model, job.tune, generator, codec.device
        self.judge = find_judge(job.tune.loss) if job.tune.judged else None
        self.texts = {clip.id: clip.text for clip in features.clips}
        self.teacher = copy.deepcopy(codec.model)
        unfuse(self.teacher)
        shape = codec.config.autoencoder
        objective = CodecObjective(
            ctc_weight=0.3 if shape.aligned else 0.0, transcript_weight=1.0 if shape.transcriber_layers else 0.0
        )
        with torch.device("meta"):
            self.task = CodecTask(codec.config, objective)
        self.network = cast(CodecNetwork, self.task.networks["codec"])
        collate = Collator(features, codec.tokenizer)
        frames = [clip.frames for clip in features.clips]
        order = batches_from(frames, BatchConfig(job.tune.frames, job.tune.seed), Position())
        self.batches = (collate(indices, generator) for indices, _ in order)
        modules = dict(self.teacher.named_modules())
        self.compared = [name for name in COMPARED if name in modules]

    def draw(self) -> tuple[dict, dict[str, Tensor]]:
        """The next batch, and everything random about its step (noise, times, what is hidden)."""
        batch = {k: v.to(self.device) if isinstance(v, Tensor) else v for k, v in next(self.batches).items()}
        return batch, self.task.draw(batch, self.generator)

    def forward(self, codec: Autoencoder, batch: dict, draws: dict[str, Tensor]) -> None:
        """Run a network on a batch, for the hooks that watch it; the loss it computes is not used."""
        self.network.codec = codec
        self.network(batch, draws)

    def layer_inputs(self) -> dict[str, Tensor]:
        """Inputs [n, i] of every Linear layer, by name, from a few batches."""
        drawn = [self.draw() for _ in range(SEEN_BATCHES)]

        def run() -> None:
            for batch, draws in drawn:
                self.forward(self.model, batch, draws)

        return collect_inputs(self.model, linear_layers(self.model), run, self.generator)

    def objectives(self, interventions: Interventions | None = None) -> Iterator[Objective]:
        """One loss function for each step, without end."""
        while True:
            batch, draws = self.draw()
            if self.judge is not None:
                yield self.judged(batch, self.judge)
            else:
                yield self.own_loss(batch) if self.tune.loss == OWN else self.imitation(batch, draws, interventions)

    def judged(self, batch: dict, judge: Judge) -> Objective:
        """A function that gives what a judge says of a batch after a whole decode, with the same noise at every
        call."""
        seed = int(torch.randint(2**62, (), generator=self.generator))
        mels = [mel[:size] for mel, size in zip(batch["mel"], batch["lengths"].tolist(), strict=True)]
        clips = [(self.texts[name], mel) for name, mel in zip(batch["ids"], mels, strict=True)]

        def loss() -> Tensor:
            made = decode_clips(self.codec, self.model, clips, torch.Generator().manual_seed(seed))
            return torch.tensor(float(judge(made)))

        return loss

    def own_loss(self, batch: dict) -> Objective:
        """A function that gives the codec's training loss on a batch, with the same random numbers at every call."""
        seed = int(torch.randint(2**62, (), generator=self.generator))

        def loss() -> Tensor:
            self.network.codec = self.model
            ((_, value, _),) = self.task.losses(batch, torch.Generator().manual_seed(seed))
            return value

        return loss

    def imitation(self, batch: dict, draws: dict[str, Tensor], interventions: Interventions | None) -> Objective:
        """A function that gives the mean, over the compared outputs, of squared error over the teacher's variance.

        With interventions, their own terms are added.
        """
        if interventions is not None:
            interventions.start()
        with torch.no_grad(), recorded_outputs(self.teacher, self.compared) as taught:
            self.forward(self.teacher, batch, draws)
        bridges = {name: taught[name] for name in BRIDGES if name in taught}

        def loss() -> Tensor:
            with ExitStack() as stack:
                own = stack.enter_context(replaced_outputs(self.model, bridges))
                rest = stack.enter_context(recorded_outputs(self.model, [n for n in taught if n not in bridges]))
                self.forward(self.model, batch, draws)
            errors = [relative_error({**own, **rest}[name], value) for name, value in taught.items()]
            extra = 0.0 if interventions is None else interventions.loss()
            return torch.stack(errors).mean() + extra

        return loss
