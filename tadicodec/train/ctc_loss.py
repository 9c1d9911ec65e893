"""Connectionist temporal classification of characters (Graves et al. 2006), blank last."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def ctc_loss(logits: Tensor, steps: Tensor, text_ids: Tensor, text_lengths: Tensor) -> Tensor:
    """The loss per character: that of all items over all their characters, so that a long clip with a short text does
    not outweigh the rest of its batch. Texts that cannot fit their steps count zero.

    logits [B, S, V + 1], steps [B], text_ids [B, L], text_lengths [B].
    """
    log_probs = logits.float().log_softmax(-1).transpose(0, 1)
    blank = logits.shape[-1] - 1
    total = F.ctc_loss(log_probs, text_ids, steps, text_lengths, blank=blank, reduction="sum", zero_infinity=True)
    return total / text_lengths.sum().clamp(min=1)
