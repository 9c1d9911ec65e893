"""Encoder: mel frames to one hidden vector a frame, or one for two frames."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tadicodec.config import AutoencoderConfig
from tadicodec.model.lengths import valid
from tadicodec.model.transformer import Block, BlockConfig, key_mask, normalise, rotary_tables


class Encoder(nn.Module):
    """Mel to states, by blocks of a transformer that look in both directions.

    With `encoder_join`, pairs of frames are joined after so many blocks: 80 ms windows make neighbours alike, so the
    later blocks do at 25 Hz, for half the work, what they would do at 50 Hz (the subsampling of every recogniser, here
    behind the blocks that see single frames).
    """

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        self.head_size = config.hidden_size // config.num_heads
        self.join = config.encoder_join
        self.in_linear = nn.Linear(config.mel_dim, config.hidden_size)
        if self.join:
            self.join_linear = nn.Linear(2 * config.hidden_size, config.hidden_size)
        block = BlockConfig(config.hidden_size, config.num_heads, config.ffn_size)
        self.layers = nn.ModuleList(Block(block) for _ in range(config.encoder_num_layers))

    def forward(self, mel: Tensor, lengths: Tensor | None = None, early: list[Tensor] | None = None) -> Tensor:
        """mel [B, F, 128], lengths [B] frames (None: no padding) -> hidden [B, S, H], S = F or, where pairs are joined,
        F / 2 rounded up. A list `early` gets what half of the blocks at that rate have made, of the same shape."""
        x, layers = self.in_linear(mel), self.layers
        if self.join:
            x = self.pairs(self.through(layers[: self.join], x, lengths), lengths)
            lengths = None if lengths is None else (lengths + 1) // 2
            layers = layers[self.join :]
        if early is not None:
            half = len(layers) // 2
            x, layers = self.through(layers[:half], x, lengths), layers[half:]
            early.append(normalise(x))
        return normalise(self.through(layers, x, lengths))

    def through(self, layers: nn.ModuleList, x: Tensor, lengths: Tensor | None) -> Tensor:
        """Some of the blocks: x [B, S, H], lengths [B] of its own steps (None: no padding) -> [B, S, H]."""
        mask = None if lengths is None else key_mask(valid(lengths, x.shape[1]))
        rotary = rotary_tables(torch.arange(x.shape[1], device=x.device)[None], self.head_size)
        for layer in layers:
            x = layer(x, rotary, mask)
        return x

    def pairs(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        """Join pairs of frames: x [B, F, H], lengths [B] frames -> [B, F / 2 rounded up, H].

        A last frame alone is joined with zeros, not with what a batch has behind it.
        """
        if lengths is not None:
            x = x * valid(lengths, x.shape[1])[..., None]
        x = F.pad(x, (0, 0, 0, x.shape[1] % 2))
        return self.join_linear(x.unflatten(1, (-1, 2)).flatten(2))
