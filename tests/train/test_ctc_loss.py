"""The loss of CTC counts every character of a batch once."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from tadicodec.train.ctc_loss import ctc_loss


def test_per_character_of_the_batch() -> None:
    logits = torch.randn(3, 20, 6, generator=torch.Generator().manual_seed(0))
    steps, texts, lengths = (
        torch.tensor([20, 12, 3]),
        torch.tensor([[0, 1, 2], [3, 0, 0], [1, 1, 1]]),
        torch.tensor([3, 1, 3]),
    )
    items = F.ctc_loss(logits.log_softmax(-1).transpose(0, 1), texts, steps, lengths, blank=5, reduction="none")
    assert items[:2].isfinite().all() and items[2].isinf()  # "111" does not fit 3 steps
    torch.testing.assert_close(ctc_loss(logits, steps, texts, lengths), items[:2].sum() / 7)


def test_no_text_at_all() -> None:
    logits = torch.zeros(1, 4, 6, requires_grad=True)
    ctc_loss(logits, torch.tensor([4]), torch.zeros(1, 1, dtype=torch.long), torch.tensor([0])).backward()
    assert logits.grad is not None and logits.grad.isfinite().all()
