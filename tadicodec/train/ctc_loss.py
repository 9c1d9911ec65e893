"""Connectionist temporal classification of characters (Graves et al. 2006), blank last."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def ctc_loss(logits: Tensor, steps: Tensor, text_ids: Tensor, text_lengths: Tensor) -> Tensor:
    """Mean over items of the loss per character; texts that cannot fit their steps count zero.

    logits [B, S, V + 1], steps [B], text_ids [B, L], text_lengths [B].
    """
    log_probs = logits.float().log_softmax(-1).transpose(0, 1)
    return F.ctc_loss(log_probs, text_ids, steps, text_lengths, blank=logits.shape[-1] - 1, zero_infinity=True)
