"""Encoder: mel frames to one hidden vector a frame."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tadicodec.config import AutoencoderConfig
from tadicodec.model.lengths import valid
from tadicodec.model.transformer import Block, BlockConfig, key_mask, normalise, rotary_tables


class Encoder(nn.Module):
    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        self.head_size = config.hidden_size // config.num_heads
        self.in_linear = nn.Linear(config.mel_dim, config.hidden_size)
        block = BlockConfig(config.hidden_size, config.num_heads, config.ffn_size)
        self.layers = nn.ModuleList(Block(block) for _ in range(config.encoder_num_layers))

    def forward(self, mel: Tensor, lengths: Tensor | None = None) -> Tensor:
        """mel [B, F, 128], lengths [B] frames (None: no padding) -> hidden [B, F, H]."""
        mask = None if lengths is None else key_mask(valid(lengths, mel.shape[1]))
        positions = torch.arange(mel.shape[1], device=mel.device)[None]
        rotary = rotary_tables(positions, self.head_size)
        x = self.in_linear(mel)
        for layer in self.layers:
            x = layer(x, rotary, mask)
        return normalise(x)
