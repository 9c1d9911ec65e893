"""Blocks that hear what is near: a gated depthwise convolution over time and a feed-forward network.

The convolution module of Conformer (Gulati et al. 2020) without its batch norm, so that an item in a batch gets what it
gets alone.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tadicodec.model.lengths import valid
from tadicodec.model.transformer import BlockConfig, SwiGLU, key_mask, normalise, rotary_tables

KERNEL = 11  # states, .44 s at 25 Hz


class Convolution(nn.Module):
    """Gate, depthwise convolution, SiLU and a last matrix: [B, S, H] -> [B, S, H]."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.in_proj = nn.Linear(size, 2 * size, bias=False)
        self.depthwise = nn.Conv1d(size, size, KERNEL, groups=size)
        self.out_proj = nn.Linear(size, size, bias=False)

    def forward(self, x: Tensor, keep: Tensor | None) -> Tensor:
        """keep [B, S, 1] is 0 where padding is (None: nowhere)."""
        value, gate = self.in_proj(x).chunk(2, dim=-1)
        value = value * gate.sigmoid()
        if keep is not None:
            value = value * keep
        return self.out_proj(F.silu(self.along_time(value)))

    def along_time(self, x: Tensor) -> Tensor:
        """The depthwise convolution of x [B, S, H], with zeros at both ends.

        As one of images of height 1: [B, S, H] is already their fastest layout (channels last), 5 times as fast on
        CPUs as the convolution of one dimension.
        """
        image = x[:, None].permute(0, 3, 1, 2)
        weight, bias = self.depthwise.weight[:, :, None], self.depthwise.bias
        out = F.conv2d(image, weight, bias, padding=(0, KERNEL // 2), groups=x.shape[2])
        return out.permute(0, 2, 3, 1)[:, 0]


class ConvolutionBlock(nn.Module):
    """Convolution and feed-forward network, each behind a norm and with a residual: [B, S, H] -> [B, S, H]."""

    def __init__(self, config: BlockConfig) -> None:
        super().__init__()
        self.conv = Convolution(config.hidden_size)
        self.mlp = SwiGLU(config)

    def forward(self, x: Tensor, keep: Tensor | None = None) -> Tensor:
        """keep [B, S, 1] is 0 where padding is (None: nowhere)."""
        x = x + self.conv(normalise(x), keep)
        return x + self.mlp(normalise(x))


def run_conformer(
    blocks: nn.ModuleList, beside: nn.ModuleList, x: Tensor, lengths: Tensor | None, head_size: int
) -> Tensor:
    """x [B, S, H], lengths [B] of its steps (None: no padding) through a transformer's blocks, which look in both
    directions, and the convolution behind each of them (`beside`, or none at all) -> [B, S, H]."""
    keep = None if lengths is None else valid(lengths, x.shape[1])
    mask = None if keep is None else key_mask(keep)
    frames = None if keep is None else keep[..., None].to(x.dtype)
    rotary = rotary_tables(torch.arange(x.shape[1], device=x.device)[None], head_size)
    for number, block in enumerate(blocks):
        x = block(x, rotary, mask)
        if len(beside):
            x = x + beside[number](normalise(x), frames)
    return x


def windows(x: Tensor, step: int = 1) -> Tensor:
    """Each state with its two neighbours, zeros beyond the ends: x [B, S, H] -> [B, S / step rounded up, 3 H]."""
    padded = F.pad(x, (0, 0, 1, 1))
    return torch.cat([padded[:, shift : shift + x.shape[1] : step] for shift in range(3)], dim=-1)
