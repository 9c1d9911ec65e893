"""Blocks as inference runs them: what a trained block computes, with fewer and larger operations.

Queries, keys and values are one product, gate and up another, in the precision asked for; norms and the residual stream
stay in float32. Sequences of different lengths (the two branches of guidance) share every product: all their rows are
put together, [rows, H], and only attention looks at its `spans`. `fuse` builds these from loaded weights; names on disk
and training know nothing of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tadicodec.model.transformer import NORM_EPS, Block, attend_by_products

QUERIES = 1024  # rows of attention scores held at once
Gains = tuple[Tensor, Tensor] | None  # [H] or [rows, H] for the two norms of a block


class Room:
    """Memory for the large intermediate results, which every block uses again.

    Fresh memory has to be mapped and cleared page by page, which took an eighth of a full-size decode. What it gave
    under a name is overwritten when that name is asked for again.
    """

    def __init__(self) -> None:
        self.kept: dict[str, Tensor] = {}

    def __call__(self, name: str, shape: Sequence[int], like: Tensor) -> Tensor:
        """A tensor of this shape with any content, in the dtype and on the device of `like`."""
        size = math.prod(shape)
        kept = self.kept.get(name)
        if kept is None or kept.numel() < size or kept.dtype != like.dtype:
            kept = self.kept[name] = torch.empty(size, dtype=like.dtype, device=like.device)
        return kept[:size].view(shape)


@dataclass(frozen=True)
class Span:
    """Rows that attend to each other: `batch` sequences of `size` positions."""

    batch: int
    size: int
    rotary: tuple[Tensor, Tensor]  # [B or 1, S, 1, 1, d / 2]
    mask: Tensor | None  # [B, 1, 1, S]; None where nothing is padded

    @classmethod
    def of(cls, batch: int, size: int, rotary: tuple[Tensor, Tensor], mask: Tensor | None) -> Span:
        """A span from rotary tables [B or 1, 1, S, d] whose halves are equal, and a mask [B, 1, 1, S] or None."""
        cos, sin = (table[:, 0, :, None, None, : table.shape[-1] // 2] for table in rotary)
        return cls(batch, size, (cos, sin), mask)


def fuse(module: nn.Module, dtype: torch.dtype) -> None:
    """Let every block under `module` run fused in `dtype` while gradients are off.

    In float32 the block's parameters become views of the fused weights, so that nothing is in memory twice. Call it
    again after moving the module.
    """
    for block in module.modules():
        if isinstance(block, Block):
            block.fused = FusedBlock(block, dtype)


def unfuse(module: nn.Module) -> None:
    """Let every block under `module` run as it was trained."""
    for block in module.modules():
        if isinstance(block, Block):
            block.fused = None


def fused(block: Block) -> FusedBlock:
    """The fused form of a block: what `fuse` made, if the block still has those weights, otherwise one that calls the
    block's own modules."""
    if isinstance(block.fused, FusedBlock) and block.fused.fits(block):
        return block.fused
    return FusedBlock(block, None)


class FusedBlock:
    """A block as inference runs it."""

    def __init__(self, block: Block, dtype: torch.dtype | None) -> None:
        """dtype None: call the block's own projections, whatever they are."""
        attention, mlp = block.self_attn, block.mlp
        self.num_heads = attention.num_heads
        self.dtype = dtype or torch.float32
        self.qkv = join([attention.q_proj, attention.k_proj, attention.v_proj], dtype)
        self.out = join([attention.o_proj], dtype)
        self.gate_up = join([mlp.gate_proj, mlp.up_proj], dtype)
        self.down = join([mlp.down_proj], dtype)
        self.made_from = fingerprint(block)

    def fits(self, block: Block) -> bool:
        """Whether the block still has the weights that this was made from."""
        return self.made_from == fingerprint(block)

    def __call__(self, x: Tensor, spans: Sequence[Span], gains: Gains = None, room: Room | None = None) -> Tensor:
        """x [rows, H] float32, the rows of all spans in turn -> the same, in place."""
        room = Room() if room is None else room
        first, second = gains or (None, None)
        qkv = self.qkv(self.norm(x, first), room)
        rows = qkv.split([span.batch * span.size for span in spans])
        heard = [self.attend(part, span) for part, span in zip(rows, spans, strict=True)]
        x += self.out(heard[0] if len(heard) == 1 else torch.cat(heard), room)
        gate, up = self.gate_up(self.norm(x, second), room).chunk(2, dim=-1)
        x += self.down(torch.mul(F.silu(gate, inplace=True), up, out=room("active", up.shape, up)), room)
        return x

    def sequence(self, x: Tensor, rotary: tuple[Tensor, Tensor], mask: Tensor | None) -> Tensor:
        """x [B, S, H] -> what the block makes of it, [B, S, H]; x stays as it is."""
        return self(x.flatten(0, 1).clone(), [Span.of(x.shape[0], x.shape[1], rotary, mask)]).view(x.shape)

    def norm(self, x: Tensor, gain: Tensor | None) -> Tensor:
        """Rows [rows, H] normalised, times a gain, in the precision of the products."""
        normal = F.rms_norm(x, x.shape[-1:], None, NORM_EPS)
        return (normal if gain is None else normal.mul_(gain)).to(self.dtype)

    def attend(self, qkv: Tensor, span: Span) -> Tensor:
        """Queries, keys and values [B S, 3 H] of a span -> [B S, H]."""
        parts = qkv.view(span.batch, span.size, 3, self.num_heads, -1)
        q, k = rotate(parts[:, :, :2], span.rotary).permute(2, 0, 3, 1, 4)  # [B, heads, S, d] each
        out = attention(q, k, parts[:, :, 2].transpose(1, 2), span.mask)
        return out.transpose(1, 2).reshape(len(qkv), -1)


def attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    """Queries, keys and values [B, heads, S, d] -> [B, heads, S, d].

    On CPUs torch's kernel computes bfloat16 no faster than float32; plain products do (2.2 times faster, measured at 16
    heads and 560 positions).
    """
    if q.device.type != "cpu" or q.dtype != torch.bfloat16:
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    out = [attend_by_products(queries, k, v, mask) for queries in q.split(QUERIES, dim=2)]
    return out[0] if len(out) == 1 else torch.cat(out, dim=2)


def rotate(x: Tensor, rotary: tuple[Tensor, Tensor]) -> Tensor:
    """Rotate queries and keys x [B, S, 2, heads, d] by their positions."""
    cos, sin = (table.to(x.dtype) for table in rotary)
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)


def unpacked(linear: nn.Module) -> nn.Module:
    """A packed layer as the plain one that it stands for, unpacked once and for all; any other as it is."""
    unpack = getattr(linear, "unpacked", None)
    found = None if unpack is None else unpack()
    return found if isinstance(found, nn.Linear) else linear


def join(linears: Sequence[nn.Module], dtype: torch.dtype | None) -> Callable[[Tensor, Room], Tensor]:
    """One product for several projections of one input, with their outputs side by side. Other modules (quantized ones,
    say) are called one by one; in half precision, which is asked for to be fast, packed ones are unpacked."""
    if dtype in (torch.bfloat16, torch.float16):
        linears = [unpacked(linear) for linear in linears]
    if dtype is None or any(type(linear) is not nn.Linear or linear.bias is not None for linear in linears):
        return Separate(linears)
    weights = [cast(nn.Linear, linear).weight for linear in linears]
    if len(weights) == 1:
        return Product(weights[0].detach().to(dtype), f"{weights[0].shape}")
    whole = torch.cat([weight.detach() for weight in weights]).to(dtype)
    if whole.dtype == weights[0].dtype:
        for weight, part in zip(weights, whole.split([len(weight) for weight in weights]), strict=True):
            weight.data = part
    return Product(whole, f"{whole.shape}")


@dataclass(frozen=True, eq=False)
class Product:
    """One matrix product, whose result lies in a `Room` under its name: x [rows, i], room -> [rows, o]."""

    weight: Tensor
    name: str  # of its room

    def __call__(self, x: Tensor, room: Room) -> Tensor:
        """x [rows, i] -> [rows, o]."""
        if torch.compiler.is_compiling():  # it plans memory by itself
            return F.linear(x, self.weight)
        return torch.mm(x, self.weight.T, out=room(self.name, (len(x), len(self.weight)), x))


@dataclass(frozen=True, eq=False)
class Separate:
    """Several modules of one input, called one by one."""

    linears: Sequence[nn.Module]

    def __call__(self, x: Tensor, room: Room) -> Tensor:
        """x [rows, i] -> their outputs side by side, [rows, o]."""
        parts = [linear(x.float()) for linear in self.linears]
        return (parts[0] if len(parts) == 1 else torch.cat(parts, dim=-1)).to(x.dtype)


def fingerprint(block: Block) -> tuple[tuple[int, int, int], ...]:
    """A value that changes when a projection of the block or its weights are replaced, moved or written to."""
    attention, mlp = block.self_attn, block.mlp
    linears = (attention.q_proj, attention.k_proj, attention.v_proj, attention.o_proj)
    return tuple(print_of(linear) for linear in (*linears, mlp.gate_proj, mlp.up_proj, mlp.down_proj))


def print_of(linear: nn.Module) -> tuple[int, int, int]:
    """A value that changes when a layer or its weight is replaced, moved or written to."""
    weight = getattr(linear, "weight", None)
    if not isinstance(weight, Tensor):
        return id(linear), 0, 0
    return id(linear), weight.data_ptr(), 0 if weight.is_inference() else weight._version
