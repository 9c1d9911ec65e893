"""What was said, from the encoder's states: characters by connectionist temporal classification (Graves et al. 2006).

So `encode` needs no other model when no transcript is given.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tadicodec.model.convolution import Convolution, run_conformer
from tadicodec.model.transformer import Block, BlockConfig, normalise

CHARACTERS = 28  # space, a-z, apostrophe: text.normalize.LETTERS; the blank comes last


class Transcriber(nn.Module):
    """A network that says, for each encoder state [B, S, H], which character is spoken there; where `convolved`, with a
    convolution behind every block."""

    def __init__(self, block: BlockConfig, layers: int, convolved: bool = False) -> None:
        super().__init__()
        self.head_size = block.hidden_size // block.num_heads
        self.layers = nn.ModuleList(Block(block) for _ in range(layers))
        self.conformer = nn.ModuleList(Convolution(block.hidden_size) for _ in range(layers if convolved else 0))
        self.out = nn.Linear(block.hidden_size, CHARACTERS + 1)
        nn.init.zeros_(self.out.weight)  # until it knows how often letters come it has nothing to tell the encoder

    def forward(self, hidden: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Encoder states [B, S, H], lengths [B] of them -> logits [B, S, 29]."""
        hidden = run_conformer(self.layers, self.conformer, hidden, lengths, self.head_size)
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
