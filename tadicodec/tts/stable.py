"""GLM-130B's ways to keep the training of a language model from diverging (Zeng et al. 2023, section 2.2)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tadicodec.integers.straight import scale_gradient


@dataclass(frozen=True)
class DeepNorm:
    """Post-norm x <- norm(alpha x + f(x)), with smaller starting weights in f."""

    alpha: float
    gain: float

    @classmethod
    def glm(cls, layers: int) -> DeepNorm:
        """As GLM-130B: alpha = (2 N)^(1/2), gain = (2 N)^(-1/2)."""
        return cls((2 * layers) ** 0.5, (2 * layers) ** -0.5)

    @classmethod
    def deepnet(cls, layers: int) -> DeepNorm:
        """As DeepNet's encoder-only and decoder-only models: alpha = (2 N)^(1/4), gain = (8 N)^(-1/4)."""
        return cls((2 * layers) ** 0.25, (8 * layers) ** -0.25)

    def __call__(self, x: Tensor, branch: Tensor, norm: nn.Module) -> Tensor:
        """x [..., H] and f(x) [..., H] -> the next state."""
        return norm(self.alpha * x + branch)

    def initialise(self, small: Iterable[nn.Linear], others: Iterable[nn.Linear], generator: torch.Generator) -> None:
        """Xavier-normal with `gain` for feed-forward, value and output matrices, with 1 for queries and keys."""
        for layers, gain in ((small, self.gain), (others, 1.0)):
            for linear in layers:
                nn.init.xavier_normal_(linear.weight, gain=gain, generator=generator)
                if linear.bias is not None:
                    nn.init.zeros_(linear.bias)


def shrink_gradient(embedded: Tensor, share: float = 0.1) -> Tensor:
    """Embeddings unchanged, their gradient times `share`: a E + (1 - a) stopgrad(E). Loss spikes begin there."""
    return scale_gradient(embedded, share)


def stable_attention(
    q: Tensor, k: Tensor, v: Tensor, layer: int, mask: Tensor | None = None, dropout: float = 0.0
) -> Tensor:
    """Attention [B, heads, S, d] whose softmax is computed in float32. Queries are divided by (layer + 1) sqrt(d), so
    that scores fit float16, and the scores multiplied by layer + 1 (counted from 0) again before the softmax.

    mask: bool, broadcastable to [B, heads, S, S], True where a query may look.
    """
    scores = (q / ((layer + 1) * q.shape[-1] ** 0.5)) @ k.transpose(-1, -2)
    scores = scores.float() * (layer + 1)
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    return F.dropout(scores.softmax(-1).to(v.dtype), dropout) @ v
