"""What was said, from the encoder's states: characters by connectionist temporal classification (Graves et al. 2006).

So `encode` needs no other model when no transcript is given.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tadicodec.model.lengths import valid
from tadicodec.model.transformer import Block, BlockConfig, key_mask, normalise, rotary_tables

CHARACTERS = 28  # space, a-z, apostrophe: text.normalize.LETTERS; the blank comes last


class Transcriber(nn.Module):
    """A network that says, for each encoder state [B, S, H], which character is spoken there."""

    def __init__(self, block: BlockConfig, layers: int) -> None:
        super().__init__()
        self.head_size = block.hidden_size // block.num_heads
        self.layers = nn.ModuleList(Block(block) for _ in range(layers))
        self.out = nn.Linear(block.hidden_size, CHARACTERS + 1)
        nn.init.zeros_(self.out.weight)  # until it knows how often letters come it has nothing to tell the encoder

    def forward(self, hidden: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Encoder states [B, S, H], lengths [B] of them -> logits [B, S, 29]."""
        mask = None if lengths is None else key_mask(valid(lengths, hidden.shape[1]))
        rotary = rotary_tables(torch.arange(hidden.shape[1], device=hidden.device)[None], self.head_size)
        for layer in self.layers:
            hidden = layer(hidden, rotary, mask)
        return self.out(normalise(hidden))


def best_path(logits: Tensor, lengths: Tensor) -> list[list[int]]:
    """Greedy decoding: the likeliest character of each state, repeats merged, blanks dropped.

    logits [B, S, 29], lengths [B] states -> character ids of each item.
    """
    likeliest, blank = logits.argmax(-1), logits.shape[-1] - 1
    said = []
    for row, length in zip(likeliest, lengths.tolist()):
        merged = torch.unique_consecutive(row[:length])
        said.append(merged[merged != blank].tolist())
    return said
