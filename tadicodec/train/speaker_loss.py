"""What makes the summary of a prompt (`model/voice.py`) a speaker embedding.

It has to tell the corpus's speakers apart, and what is decoded has to sum up as the recording does.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tadicodec.data.collate import SPEAKERS
from tadicodec.model.lengths import valid
from tadicodec.train.task import Batch

SCALE, MARGIN = 16.0, 0.2  # of additive margin softmax (Wang et al. 2018)


class SpeakerHead(nn.Module):
    """A direction for each speaker; only training needs it."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(SPEAKERS, size) / size**0.5)

    def forward(self, summary: Tensor, speaker: Tensor) -> Tensor:
        """summary [B, size], speaker [B] numbers, -1 where unknown -> mean additive margin softmax of those known; 0
        without any."""
        cosine = F.normalize(summary.float(), dim=-1) @ F.normalize(self.weight.float(), dim=-1).T
        known = speaker >= 0
        right = F.one_hot(speaker.clamp(min=0), SPEAKERS)
        loss = F.cross_entropy(SCALE * (cosine - MARGIN * right), speaker.clamp(min=0), reduction="none")
        return (loss * known).sum() / known.sum().clamp(min=1)


def voice_error(
    embed: Callable[[Tensor, Tensor], Tensor], mel: Tensor, batch: Batch, prompt: Tensor, patch: int
) -> Tensor:
    """1 - cosine of what a resting voice sums up of mel [B, F, 128] and of the recording, mean over items, both without
    the prompt [B] frames; bins that the recording cannot fill are its own."""
    bins = valid(batch["bandwidth"], mel.shape[2])[:, None]
    with torch.no_grad():
        target = embed(*patches(batch["mel"], batch["lengths"], patch, prompt))
    made = embed(*patches(torch.where(bins, mel.float(), batch["mel"]), batch["lengths"], patch, prompt))
    return (1 - F.cosine_similarity(made.float(), target.float(), dim=-1)).mean()


def patches(mel: Tensor, lengths: Tensor, patch: int, after: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """mel [B, F, 128] -> [B, F / patch, 128 patch] and how much of each is an item's own [B, F / patch], frames `after`
    [B] on; zeros elsewhere."""
    held = valid(lengths, mel.shape[1])
    if after is not None:
        held = held & ~valid(after, mel.shape[1])
    own = (mel * held[..., None]).unflatten(1, (-1, patch)).flatten(2)
    return own, held.unflatten(1, (-1, patch)).float().mean(-1)
