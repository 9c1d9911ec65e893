"""What an utterance has in common from its first to its last frame: who speaks, and into what.

Attention has to find out that distant frames say something about the voice here; of a prompt, our prior had learned to
take little more than the mean spectrum. A mean over time (deep sets, Zaheer et al. 2017; the pooling of every speaker
embedding) says so from the first training step.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LEAST = -1e4  # score of what is not held


class Voice(nn.Module):
    """A vector for a sequence, made of the frames that count. It starts as zeros, so that a trained prior can be given
    one.

    Without heads it is made of the frames' mean. Each head is a mean of its own, weighted by how much a frame says
    about the speaker (attentive pooling, Okabe et al. 2018: vowels say more than silence); their summary is a speaker
    embedding.
    """

    def __init__(self, features: int, size: int, out: int, heads: int = 0) -> None:
        super().__init__()
        self.in_linear = nn.Linear(features, size)
        self.hidden_linear = nn.Linear(size, size)
        if heads:
            self.score_linear = nn.Linear(size, heads, bias=False)
            self.summary_linear = nn.Linear(heads * size, size, bias=False)
        self.heads = heads
        self.out_linear = nn.Linear(size, out, bias=False)
        nn.init.zeros_(self.out_linear.weight)

    def forward(self, x: Tensor, held: Tensor) -> Tensor:
        """x [B, P, features], held [B, P] from 0 to 1 (how much of a position counts) -> [B, 1, out]; zeros where
        nothing counts."""
        return self.out_linear(self.embed(x, held))[:, None]

    def embed(self, x: Tensor, held: Tensor) -> Tensor:
        """The speaker embedding [B, size] of the frames that count; arguments are those of `forward`. Zeros where
        nothing counts."""
        h = F.silu(self.hidden_linear(F.silu(self.in_linear(x))))
        weight = held[..., None].to(h.dtype)
        if not self.heads:
            return (h * weight).sum(1) / weight.sum(1).clamp(min=1e-3)
        score = self.score_linear(h).masked_fill(weight <= 0, LEAST)  # [B, P, heads]
        weight = weight * (score - score.amax(1, keepdim=True)).exp()
        means = torch.einsum("bpk,bph->bkh", weight, h) / weight.sum(1).clamp(min=1e-3)[..., None]
        return self.summary_linear(means.flatten(1))
