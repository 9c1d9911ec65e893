"""What quantization experiments train: networks with their float teachers, batches whose answers are kept, and losses.

All of them are small, so that an arm of a thousand steps takes minutes of one core.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tadicodec.codec import Codec
from tadicodec.data.features import Features
from tadicodec.errors import InputError
from tadicodec.integers.layout import linear_layers
from tadicodec.model.fused import unfuse
from tadicodec.quant.observe import collect_inputs, relative_error
from tadicodec.quant.tune import Objective

POOL, HELD, CALIBRATION = 256, 48, 32  # excerpts to train on, to judge by, and that methods see beforehand


class Subject(Protocol):
    """A float network, and how copies of it are trained and judged."""

    network: nn.Module

    def objectives(self, model: nn.Module, generator: torch.Generator) -> Iterator[Objective]:
        """One loss function a step, without end."""

    def held(self, model: nn.Module) -> dict[str, float]:
        """Figures of held-out data; "val" is the loss."""

    def inputs(self, model: nn.Module, generator: torch.Generator) -> dict[str, Tensor]:
        """Inputs [n, i] of every Linear layer, by name."""


class EncoderNetwork(nn.Module):
    """What makes the codec's codes: mel [B, F, 128] -> latents [B, F / 8, 14], whose signs are the bits."""

    def __init__(self, codec: Codec) -> None:
        super().__init__()
        model = copy.deepcopy(codec.model).float()
        unfuse(model)
        self.encoder, self.vq_in_linear = model.encoder, model.vq_in_linear
        self.states = model.config.down_sample_factor // model.config.frames_per_state
        self.eval().requires_grad_(False)

    def forward(self, mel: Tensor) -> Tensor:
        hidden = self.encoder(mel).unflatten(1, (-1, self.states))
        middle = self.states // 2
        return F.normalize(self.vq_in_linear(hidden[:, :, middle - 1 : middle + 1].mean(2)), dim=-1)


class EncoderSubject(Subject):
    """The codec's encoder, which imitates the float encoder's latents. "val" is the squared error of held-out latents
    over their variance, "bits" the share of the codes' bits that differ."""

    def __init__(self, codec: Codec, train: Features, valid: Features, frames: int, batch: int = 1) -> None:
        self.network, self.batch = EncoderNetwork(codec), batch
        frames -= frames % codec.config.autoencoder.down_sample_factor
        source = torch.Generator().manual_seed(0)
        self.mels = excerpts(train, frames, POOL, source)
        self.judged = excerpts(valid, frames, HELD, source)
        with torch.no_grad():
            self.answers = torch.cat([self.network(mel[None]) for mel in self.mels])
            self.right = self.network(self.judged)

    def draw(self, generator: torch.Generator) -> Tensor:
        """Mels [B, F, 128] of a step."""
        return self.mels[torch.randint(len(self.mels), (self.batch,), generator=generator)]

    def objectives(self, model: nn.Module, generator: torch.Generator) -> Iterator[Objective]:
        while True:
            chosen = torch.randint(len(self.mels), (self.batch,), generator=generator)
            mel, answers = self.mels[chosen], self.answers[chosen]
            yield lambda mel=mel, answers=answers: self.error(model, mel, answers)

    def error(self, model: nn.Module, mel: Tensor, answers: Tensor) -> Tensor:
        """The error of a model's latents of mel."""
        return relative_error(model(mel), answers)

    @torch.no_grad()
    def held(self, model: nn.Module) -> dict[str, float]:
        found = torch.cat([model(part) for part in self.judged.split(4)])
        bits = (found > 0) != (self.right > 0)
        return {"val": float(relative_error(found, self.right)), "bits": float(bits.float().mean())}

    def inputs(self, model: nn.Module, generator: torch.Generator) -> dict[str, Tensor]:
        def run() -> None:
            for part in self.mels[:CALIBRATION].split(8):
                model(part)

        return collect_inputs(model, linear_layers(model), run, generator)


def excerpts(features: Features, frames: int, count: int, generator: torch.Generator) -> Tensor:
    """Mels [count or fewer, frames, 128] from anywhere within clips that are long enough.

    Raises:
        InputError: no clip is.
    """
    long = [clip for clip in features.clips if clip.frames >= frames]
    if not long:
        raise InputError(f"no clip has {frames} frames; ask for fewer with --frames")
    order = torch.randperm(len(long), generator=generator)[:count].tolist()
    found = []
    for clip in (long[i] for i in order):
        first = int(torch.randint(clip.frames - frames + 1, (1,), generator=generator))
        found.append(torch.from_numpy(features.mel(clip)[first : first + frames].copy()))
    return torch.stack(found)
