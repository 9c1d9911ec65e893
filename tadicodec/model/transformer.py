"""Blocks of a transformer as in Llama, but bidirectional, with rotary positions; most networks here are made of them.

Norms carry no weight of their own. In the decoder each norm's gain is a linear function of the diffusion time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

ROTARY_BASE = 10000.0
NORM_EPS = 1e-6
HIDE = -1e4  # added to the score of a key that must not be seen


@dataclass(frozen=True)
class BlockConfig:
    """The sizes of a block, and whether time sets the gains of its norms."""

    hidden_size: int
    num_heads: int
    ffn_size: int
    timed: bool = False  # norm gains follow the diffusion time


class RMSNorm(nn.Module):
    """Root-mean-square norm without a weight: [..., H] -> [..., H]."""

    def forward(self, x: Tensor, time: Tensor | None = None) -> Tensor:
        return normalise(x)


class TimedRMSNorm(nn.Module):
    """Root-mean-square norm [B, S, H] -> [B, S, H] whose gain is linear in the time embedding [B, H]; it starts as a
    plain norm."""

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.to_weight = nn.Linear(hidden_size, hidden_size)
        nn.init.zeros_(self.to_weight.weight)
        nn.init.ones_(self.to_weight.bias)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        return normalise(x) * self.to_weight(time)[:, None]


def normalise(x: Tensor) -> Tensor:
    """x [..., H] divided by its root mean square over H, computed in float32."""
    wide = x.float()
    return (wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + NORM_EPS)).to(x.dtype)


class Attention(nn.Module):
    """Attention in both directions, with rotary positions: [B, S, H] -> [B, S, H]."""

    def __init__(self, config: BlockConfig) -> None:
        super().__init__()
        size = config.hidden_size
        self.num_heads = config.num_heads
        self.q_proj = nn.Linear(size, size, bias=False)
        self.k_proj = nn.Linear(size, size, bias=False)
        self.v_proj = nn.Linear(size, size, bias=False)
        self.o_proj = nn.Linear(size, size, bias=False)

    def forward(self, x: Tensor, rotary: tuple[Tensor, Tensor], mask: Tensor | None) -> Tensor:
        batch, steps, size = x.shape
        q, k, v = (
            projection(x).view(batch, steps, self.num_heads, -1).transpose(1, 2)  # [B, heads, S, d]
            for projection in (self.q_proj, self.k_proj, self.v_proj)
        )
        q, k = rotate(q, rotary), rotate(k, rotary)
        out = attend(q, k, v, mask)
        return self.o_proj(out.transpose(1, 2).reshape(batch, steps, size))


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    """Attention of q, k, v [B, heads, S, d] to the keys that mask [B, 1, 1, S] keeps (None: all) -> [B, heads, S, d].

    Where a CPU trains in bfloat16, torch's own is half as fast as the two products that it stands for: its gradient
    does not use the processor's matrix units.
    """
    if torch.is_grad_enabled() and q.dtype == torch.bfloat16 and q.device.type == "cpu":
        return attend_by_products(q, k, v, mask)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)


def attend_by_products(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    """As `attend`, spelled out as two products; q [B, heads, Q, d] may be fewer than the keys."""
    batch, heads, keys, size = k.shape
    bias = q.new_zeros(batch, 1, keys)
    if mask is not None:
        bias = bias.masked_fill(~mask[:, 0], HIDE)
    bias = bias.repeat_interleave(heads, 0)
    scores = torch.baddbmm(bias, q.flatten(0, 1), k.flatten(0, 1).transpose(1, 2), alpha=size**-0.5)
    return (scores.softmax(-1) @ v.flatten(0, 1)).unflatten(0, (batch, heads))


class SwiGLU(nn.Module):
    """The gated feed-forward network: [..., H] -> [..., H]."""

    def __init__(self, config: BlockConfig) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(config.hidden_size, config.ffn_size, bias=False)
        self.up_proj = nn.Linear(config.hidden_size, config.ffn_size, bias=False)
        self.down_proj = nn.Linear(config.ffn_size, config.hidden_size, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class FastPath(Protocol):
    """Another way to compute a block where no gradient is wanted (`model.fused` makes them)."""

    def fits(self, block: Block) -> bool:
        """Whether it still computes what the block's parameters say."""

    def sequence(self, x: Tensor, rotary: tuple[Tensor, Tensor], mask: Tensor | None) -> Tensor:
        """States [B, S, H] -> what the block makes of them, [B, S, H]."""


class Block(nn.Module):
    """Attention and feed-forward network, each behind a norm and with a residual: [B, S, H] -> [B, S, H]."""

    def __init__(self, config: BlockConfig) -> None:
        super().__init__()
        self.self_attn = Attention(config)
        self.mlp = SwiGLU(config)
        self.input_layernorm = TimedRMSNorm(config.hidden_size) if config.timed else RMSNorm()
        self.post_attention_layernorm = TimedRMSNorm(config.hidden_size) if config.timed else RMSNorm()
        self.fused: FastPath | None = None  # `fused.fuse` sets it, for inference

    def forward(
        self, x: Tensor, rotary: tuple[Tensor, Tensor], mask: Tensor | None, time: Tensor | None = None
    ) -> Tensor:
        if self.fused is not None and time is None and not torch.is_grad_enabled() and self.fused.fits(self):
            return self.fused.sequence(x, rotary, mask)
        x = x + self.self_attn(self.input_layernorm(x, time), rotary, mask)
        return x + self.mlp(self.post_attention_layernorm(x, time))


def rotary_tables(positions: Tensor, head_size: int) -> tuple[Tensor, Tensor]:
    """positions [B or 1, S] (may be fractional) -> cos, sin [B or 1, 1, S, head_size], half-split as in Llama."""
    exponent = torch.arange(0, head_size, 2, device=positions.device, dtype=torch.float32) / head_size
    angles = positions.float()[..., None] * (ROTARY_BASE**-exponent)  # [B, S, head_size / 2]
    angles = torch.cat([angles, angles], dim=-1)[:, None]
    return angles.cos(), angles.sin()


def rotate(x: Tensor, rotary: tuple[Tensor, Tensor]) -> Tensor:
    """Rotate queries or keys x [B, heads, S, d] by their positions."""
    cos, sin = rotary
    first, second = x.chunk(2, dim=-1)
    turned = torch.cat([-second, first], dim=-1)
    return (x * cos + turned * sin).to(x.dtype)


def key_mask(valid: Tensor) -> Tensor:
    """valid [B, S] -> attention mask [B, 1, 1, S] that hides padding from every query."""
    return valid[:, None, None, :]


def mlp(size: int) -> nn.Sequential:
    """The network H -> 4 H -> SiLU -> H, the shape of every conditioning network in the published decoder."""
    return nn.Sequential(nn.Linear(size, 4 * size), nn.SiLU(), nn.Linear(4 * size, size))
