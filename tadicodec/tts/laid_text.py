"""Text laid where it is spoken: each token hears the characters of its own 0.16 s.

So nothing has to learn by attention what is said when, and a sequence is as long as its speech, without the text before
it (FastSpeech, Ren et al. 2019).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tadicodec.model.lengths import valid
from tadicodec.model.prior import spoken
from tadicodec.model.transformer import Block, BlockConfig, key_mask, normalise, rotary_tables

STEPS_PER_TOKEN = 4  # characters a token can tell apart, the aligner's resolution
HEAD_SIZE = 64


class LaidText(nn.Module):
    """Reads the characters of a text [B, L] and adds each to the token in which it is spoken."""

    def __init__(self, vocabulary: int, size: int, layers: int, out_size: int) -> None:
        super().__init__()
        self.head_size = min(HEAD_SIZE, size)
        block = BlockConfig(size, size // self.head_size, 2 * size)
        self.embedding = nn.Embedding(vocabulary + 1, size)  # the last one is the silence before the text
        self.layers = nn.ModuleList(Block(block) for _ in range(layers))
        self.out = nn.Linear(STEPS_PER_TOKEN * size, out_size, bias=False)  # so that no text adds nothing

    def forward(self, ids: Tensor, lengths: Tensor, times: Tensor, tokens: int) -> Tensor:
        """ids [B, L], lengths [B], times [B, L] in tokens, never falling -> [B, tokens, out_size]; zeros for items
        without text."""
        if ids.shape[1] == 0:
            return self.embedding.weight.new_zeros(len(ids), tokens, self.out.out_features)
        ids = F.pad(ids, (1, 0), value=self.embedding.num_embeddings - 1)
        times, lengths = F.pad(times, (1, 0)), lengths + (lengths > 0)
        text = self.embedding(ids)
        mask = key_mask(valid(lengths.clamp(min=1), ids.shape[1]))
        rotary = rotary_tables(torch.arange(ids.shape[1], device=ids.device)[None], self.head_size)
        for layer in self.layers:
            text = layer(text, rotary, mask)
        laid = spoken(normalise(text), times * STEPS_PER_TOKEN, lengths, tokens * STEPS_PER_TOKEN)
        return self.out(laid.unflatten(1, (tokens, STEPS_PER_TOKEN)).flatten(2))
