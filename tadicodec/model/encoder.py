"""Encoder: mel frames to one hidden vector a frame, or one for two frames."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from tadicodec.config import AutoencoderConfig
from tadicodec.model.convolution import Convolution, ConvolutionBlock, run_conformer, windows
from tadicodec.model.lengths import valid
from tadicodec.model.transformer import Block, BlockConfig, normalise


class Encoder(nn.Module):
    """Mel to states, by blocks of a transformer that look in both directions.

    With `encoder_conv_layers`, two convolutions of three frames halve the rate and so many convolution blocks stand
    before the transformer's: speech sounds are near each other, and attention alone needs many hours to find that out.
    With `encoder_conformer`, a convolution stands behind each of the transformer's blocks.
    """

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        self.head_size = config.hidden_size // config.num_heads
        block = BlockConfig(config.hidden_size, config.num_heads, config.ffn_size)
        if config.encoder_conv_layers:
            self.in_linear = nn.Linear(3 * config.mel_dim, config.hidden_size)
            self.join_linear = nn.Linear(3 * config.hidden_size, config.hidden_size)
        else:
            self.in_linear = nn.Linear(config.mel_dim, config.hidden_size)
        self.convolutions = nn.ModuleList(ConvolutionBlock(block) for _ in range(config.encoder_conv_layers))
        self.layers = nn.ModuleList(Block(block) for _ in range(config.encoder_num_layers))
        beside = config.encoder_num_layers if config.encoder_conformer else 0
        self.conformer = nn.ModuleList(Convolution(config.hidden_size) for _ in range(beside))

    def forward(self, mel: Tensor, lengths: Tensor | None = None, early: list[Tensor] | None = None) -> Tensor:
        """mel [B, F, 128], lengths [B] frames (None: no padding) -> hidden [B, S, H], S = F or, with convolutions, half
        of it rounded up. A list `early` gets what the convolutions, or else half of the blocks, have made, of the same
        shape."""
        half = 0 if self.convolutions else len(self.layers) // 2
        if self.convolutions:
            x = self.near(mel, lengths)
            lengths = None if lengths is None else (lengths + 1) // 2
        else:
            x = self.in_linear(mel)
        x = self.through(range(half), x, lengths)
        if early is not None:
            early.append(normalise(x))
        return normalise(self.through(range(half, len(self.layers)), x, lengths))

    def near(self, mel: Tensor, lengths: Tensor | None) -> Tensor:
        """The convolutions: mel [B, F, 128], lengths [B] frames -> [B, F / 2 rounded up, H]."""
        frames = None if lengths is None else valid(lengths, mel.shape[1])[..., None].to(mel.dtype)
        x = F.gelu(self.in_linear(windows(kept(mel, frames))))
        x = F.gelu(self.join_linear(windows(kept(x, frames), step=2)))
        states = None if frames is None else frames[:, ::2]
        for block in self.convolutions:
            x = block(x, states)
        return x

    def through(self, blocks: range, x: Tensor, lengths: Tensor | None) -> Tensor:
        """Some of the transformer's blocks: x [B, S, H], lengths [B] of its steps (None: no padding) -> the same."""
        chosen = slice(blocks.start, blocks.stop)
        return run_conformer(self.layers[chosen], self.conformer[chosen], x, lengths, self.head_size)


def kept(x: Tensor, keep: Tensor | None) -> Tensor:
    """x [B, S, H] with zeros where keep [B, S, 1] is 0 (None: as it is)."""
    return x if keep is None else x * keep
