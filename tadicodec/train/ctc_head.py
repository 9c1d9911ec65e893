"""Auxiliary CTC on the quantized sequence: makes the codes spell what was said (SiTok: weight 0.1, a few layers)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tadicodec.model.lengths import valid
from tadicodec.model.transformer import Block, BlockConfig, key_mask, normalise, rotary_tables

UPSAMPLE = 4  # 6.25 Hz -> 25 Hz: more steps than spoken letters


class CTCHead(nn.Module):
    def __init__(self, dims: int, block: BlockConfig, layers: int, vocabulary: int) -> None:
        super().__init__()
        self.head_size = block.hidden_size // block.num_heads
        self.spread = nn.Linear(dims, block.hidden_size * UPSAMPLE)
        self.layers = nn.ModuleList(Block(block) for _ in range(layers))
        self.out = nn.Linear(block.hidden_size, vocabulary + 1)

    def forward(self, quantized: Tensor, lengths: Tensor) -> Tensor:
        """quantized [B, T, 14], lengths [B] tokens -> logits [B, 4 T, vocabulary + 1]."""
        x = self.spread(quantized).unflatten(-1, (UPSAMPLE, -1)).flatten(1, 2)
        mask = key_mask(valid(lengths * UPSAMPLE, x.shape[1]))
        rotary = rotary_tables(torch.arange(x.shape[1], device=x.device)[None], self.head_size)
        for layer in self.layers:
            x = layer(x, rotary, mask)
        return self.out(normalise(x))


def ctc_loss(logits: Tensor, lengths: Tensor, text_ids: Tensor, text_lengths: Tensor) -> Tensor:
    """Mean over items of the CTC loss per character; the blank is the last class, texts that cannot fit count zero.

    logits [B, S, V + 1], lengths [B] steps, text_ids [B, L], text_lengths [B].
    """
    log_probs = logits.float().log_softmax(-1).transpose(0, 1)
    return F.ctc_loss(
        log_probs, text_ids, lengths, text_lengths, blank=logits.shape[-1] - 1, zero_infinity=True
    )
