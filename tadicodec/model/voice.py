"""What an utterance has in common from its first to its last frame: who speaks, and into what.

Attention has to find out that distant frames say something about the voice here; of a prompt, our prior had learned to
take little more than the mean spectrum. A mean over time (deep sets, Zaheer et al. 2017; the pooling of every speaker
embedding) says so from the first training step.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


class Voice(nn.Module):
    """A vector for a sequence, of the frames that hold; starts as zeros, so that a trained prior can be given one."""

    def __init__(self, features: int, size: int, out: int) -> None:
        super().__init__()
        self.in_linear = nn.Linear(features, size)
        self.hidden_linear = nn.Linear(size, size)
        self.out_linear = nn.Linear(size, out, bias=False)
        nn.init.zeros_(self.out_linear.weight)

    def forward(self, x: Tensor, held: Tensor) -> Tensor:
        """x [B, P, features], held [B, P] in 0..1 (how much of a position counts) -> [B, 1, out]; zeros where
        nothing is held."""
        h = F.silu(self.hidden_linear(F.silu(self.in_linear(x))))
        weight = held[..., None].to(h.dtype)
        return self.out_linear((h * weight).sum(1, keepdim=True) / weight.sum(1, keepdim=True).clamp(min=1e-3))
