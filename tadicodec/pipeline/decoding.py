"""Codes to mels and waves, in batches of what the model takes at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tadicodec.config import CodecConfig, SolverConfig
from tadicodec.model.autoencoder import Autoencoder
from tadicodec.model.vocoder import Vocoder
from tadicodec.pipeline.limits import Limits
from tadicodec.pipeline.vocoding import vocode
from tadicodec.pipeline.waves import grouped, pad
from tadicodec.speech import FRAMES_PER_TOKEN, Prompt


@dataclass(frozen=True)
class Item:
    """One utterance or piece to decode: codes [T], noise [8 T, 128], ids [L] of the prompt's text and its own, and the
    prompt."""

    codes: Tensor
    noise: Tensor
    text_ids: Tensor
    prompt: Prompt | None

    @property
    def tokens(self) -> int:
        """The number of its tokens, its prompt's included."""
        return len(self.codes) + (0 if self.prompt is None else len(self.prompt.codes))


@dataclass(frozen=True)
class Renderer:
    """The networks that make waves of codes, and what they take."""

    model: Autoencoder
    vocoder: Vocoder
    limits: Limits

    @property
    def config(self) -> CodecConfig:
        """The configuration of the codec."""
        return self.limits.config

    def render(self, items: Sequence[Item], solver: SolverConfig) -> list[Tensor]:
        """Waves [480 F_i] on the CPU of items that the model takes at once."""
        most = self.limits.batch_tokens(self.model.vq_in_linear.bias.device)
        mels = decode_items(self.model, items, solver, most)
        waves: dict[int, Tensor] = {}
        for group in grouped(range(len(mels)), [len(mel) for mel in mels], most * FRAMES_PER_TOKEN):
            lengths = torch.tensor([len(mels[index]) for index in group])
            together = pad([mels[index] for index in group])
            waves |= zip(group, vocode(self.vocoder, self.config, together, lengths), strict=True)
        return [waves[index] for index in range(len(mels))]


def draw(tokens: int, bins: int, generator: torch.Generator) -> Tensor:
    """Noise [8 T, bins] for so many tokens. Drawing it in parts gives the same numbers as drawing it at once."""
    return torch.randn(tokens * FRAMES_PER_TOKEN, bins, generator=generator)


def decode_items(model: Autoencoder, items: Sequence[Item], solver: SolverConfig, most: int) -> list[Tensor]:
    """Mels [8 T_i, 128] of items, without their prompts. At most `most` padded tokens (or one item) go through the
    network together."""
    mels: dict[int, Tensor] = {}
    for group in grouped(range(len(items)), [item.tokens for item in items], most):
        mels |= zip(group, decode_batch(model, [items[index] for index in group], solver), strict=True)
    return [mels[index] for index in range(len(items))]


def decode_batch(model: Autoencoder, items: Sequence[Item], solver: SolverConfig) -> list[Tensor]:
    """Mels [8 T_i, 128] of items that go through the network together, without their prompts."""
    device = model.vq_in_linear.bias.device
    held = [0 if item.prompt is None else len(item.prompt.mel) for item in items]
    codes = [item.codes if item.prompt is None else torch.cat([item.prompt.codes, item.codes]) for item in items]
    given = [item.noise if item.prompt is None else torch.cat([item.prompt.mel, item.noise]) for item in items]
    start = pad(given).to(device)
    mels = model.decode(
        pad(codes).to(device),
        start,
        solver,
        lengths=lengths_of(codes, device),
        text_ids=pad([item.text_ids for item in items]).to(device),
        text_lengths=lengths_of([item.text_ids for item in items], device),
        prompt=start if any(held) else None,
        prompt_lengths=torch.tensor(held, device=device) if any(held) else None,
    ).cpu()
    return [mel[first : len(own) * FRAMES_PER_TOKEN] for mel, first, own in zip(mels, held, codes, strict=True)]


def lengths_of(items: Sequence[Tensor], device: torch.device) -> Tensor | None:
    """Lengths [B] of these tensors, or None where all are alike: the network is faster where nothing is padded."""
    lengths = [len(item) for item in items]
    return torch.tensor(lengths, device=device) if len(set(lengths)) > 1 else None
