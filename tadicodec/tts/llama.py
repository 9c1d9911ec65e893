"""Llama's forward pass, for speaking with our own small models.

It has the same tensors and gives the same numbers as transformers' Llama, without importing it, which takes longer than
a sentence takes to be said. Training goes through transformers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tadicodec.model.transformer import BlockConfig, SwiGLU, rotary_tables, rotate
from tadicodec.tts.cache import Cache, CacheFormat

NEEDED = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
TRAINING_ONLY = ("attention_dropout", "max_position_embeddings", "initializer_range", "use_cache")
Processor = Callable[[Tensor, Tensor], Tensor]
Reading = Callable[[Tensor, Tensor], Tensor]  # further ids [1, S] at places [1, S] -> scores [1, V] of what comes next


@dataclass(frozen=True)
class LlamaShape:
    """The sizes of a Llama, by the names that transformers has for them."""

    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int

    @classmethod
    def of(cls, values: dict[str, Any]) -> LlamaShape | None:
        """The shape that a configuration of transformers describes, or None where it asks for more than is here."""
        known = {"model_type", "num_key_value_heads", *NEEDED, *TRAINING_ONLY}
        if values.get("model_type") != "llama" or set(values) - known or not set(NEEDED) <= set(values):
            return None
        sizes = {"num_key_value_heads": values["num_attention_heads"]} | {
            name: value for name, value in values.items() if name in cls.__dataclass_fields__
        }
        if not all(type(size) is int and size > 0 for size in sizes.values()):
            return None
        shape = cls(**sizes)
        fits = shape.hidden_size % (2 * shape.num_attention_heads) == 0
        return shape if fits and shape.num_attention_heads % shape.num_key_value_heads == 0 else None

    @property
    def head_size(self) -> int:
        """The width of one head of attention."""
        return self.hidden_size // self.num_attention_heads


class WeightedNorm(nn.Module):
    """Root-mean-square norm with a gain: [..., H] -> [..., H]."""

    def __init__(self, size: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.ones(size)), eps

    def forward(self, x: Tensor) -> Tensor:
        wide = x.float()
        return self.weight * (wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + self.eps)).to(x.dtype)


class CausalAttention(nn.Module):
    """Attention to what came before, with rotary positions and fewer heads of keys and values."""

    def __init__(self, shape: LlamaShape) -> None:
        super().__init__()
        self.head_size = shape.head_size
        inner = shape.num_key_value_heads * shape.head_size
        self.q_proj = nn.Linear(shape.hidden_size, shape.hidden_size, bias=False)
        self.k_proj = nn.Linear(shape.hidden_size, inner, bias=False)
        self.v_proj = nn.Linear(shape.hidden_size, inner, bias=False)
        self.o_proj = nn.Linear(shape.hidden_size, shape.hidden_size, bias=False)

    def forward(self, x: Tensor, rotary: tuple[Tensor, Tensor], mask: Tensor | None, past: Cache) -> Tensor:
        """x [B, S, H] -> [B, S, H]. past: keys and values of what came before, which takes in those of x."""
        q, k, v = (
            projection(x).unflatten(-1, (-1, self.head_size)).transpose(1, 2)
            for projection in (self.q_proj, self.k_proj, self.v_proj)
        )
        q, (k, v) = past.query(rotate(q, rotary)), past.extend(rotate(k, rotary), v)
        whole, shared = mask is None and q.shape[2] > 1, bool(k.shape[1] != q.shape[1])
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=whole, enable_gqa=shared)
        return self.o_proj(out.transpose(1, 2).flatten(2))


class LlamaLayer(nn.Module):
    """Attention and feed-forward network, each behind a norm and with a residual: [B, S, H] -> [B, S, H]."""

    def __init__(self, shape: LlamaShape) -> None:
        super().__init__()
        self.self_attn = CausalAttention(shape)
        self.mlp = SwiGLU(BlockConfig(shape.hidden_size, shape.num_attention_heads, shape.intermediate_size))
        self.input_layernorm = WeightedNorm(shape.hidden_size)
        self.post_attention_layernorm = WeightedNorm(shape.hidden_size)

    def forward(self, x: Tensor, rotary: tuple[Tensor, Tensor], mask: Tensor | None, past: Cache) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), rotary, mask, past)
        return x + self.mlp(self.post_attention_layernorm(x))


class Llama(nn.Module):
    """The blocks and the table of vectors; names of tensors are transformers'."""

    def __init__(self, shape: LlamaShape, vocabulary: int) -> None:
        super().__init__()
        self.shape, self.cache = shape, CacheFormat()
        self.embed_tokens = nn.Embedding(vocabulary, shape.hidden_size)
        self.layers = nn.ModuleList(LlamaLayer(shape) for _ in range(shape.num_hidden_layers))
        self.norm = WeightedNorm(shape.hidden_size)

    def get_input_embeddings(self) -> nn.Embedding:
        """The table of vectors, by the name that transformers has for it."""
        return self.embed_tokens

    def caches(self) -> list[Cache]:
        """An empty cache for each layer."""
        return [self.cache.empty() for _ in self.layers]

    def forward(
        self, vectors: Tensor, positions: Tensor, mask: Tensor | None = None, past: list[Cache] | None = None
    ) -> Tensor:
        """vectors [B, S, H] at positions [B, S], mask bool [B, S] (True: there) or None for all -> hidden [B, S, H].

        past: what `caches` gives, which holds keys and values from call to call; after the first call, one place at a
        time.
        """
        past = self.caches() if past is None else past
        rotary = rotary_tables(positions, self.shape.head_size)
        if mask is not None:
            size = mask.shape[1]
            before = torch.ones(size, size, dtype=torch.bool, device=mask.device).tril()
            itself = torch.eye(size, dtype=torch.bool, device=mask.device)  # or padding would see nothing at all
            mask = (before & mask[:, None]) | itself
            mask = mask[:, None]
        for layer, own in zip(self.layers, past):
            vectors = layer(vectors, rotary, mask, own)
        return self.norm(vectors)


class SpeakingLlama(nn.Module):
    """A Llama with one table for input and output, and the part of transformers' `generate` that speaking needs."""

    def __init__(self, blocks: Llama, table: Tensor) -> None:
        super().__init__()
        self.blocks, self.table = blocks, nn.Parameter(table, requires_grad=False)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.table.device

    @torch.inference_mode()
    def generate(
        self,
        input_ids: Tensor,
        *,
        position_ids: Tensor,
        logits_processor: Sequence[Processor],
        max_new_tokens: int,
        eos_token_id: Sequence[int],
        top_k: int,
        top_p: float,
        temperature: float,
        **_: Any,
    ) -> Tensor:
        """input_ids [1, S] at position_ids [1, S] -> [1, S + new], drawn from torch's own generator as transformers
        draws: processors, temperature, the top_k most probable, those that make up top_p."""
        ids = input_ids
        read, places, follow = ids, position_ids.float(), self.reading()
        for _step in range(max_new_tokens):
            scores = follow(read, places).float()
            for processor in logits_processor:
                scores = processor(ids, scores)
            scores = most_probable(scores / temperature, top_k, top_p)
            drawn = torch.multinomial(scores.softmax(-1), 1)
            ids = torch.cat([ids, drawn], dim=1)
            if int(drawn) in eos_token_id:
                break
            read, places = drawn, places[:, -1:] + 1
        return ids

    def reading(self) -> Reading:
        """Read one sequence from its beginning, with keys and values of its own."""
        past = self.blocks.caches()

        def follow(ids: Tensor, places: Tensor) -> Tensor:
            return F.linear(self.blocks(F.embedding(ids, self.table), places, past=past)[:, -1], self.table)

        return follow


def most_probable(scores: Tensor, top_k: int, top_p: float) -> Tensor:
    """scores [1, V] with -inf for all but the `top_k` best and, of those, the best that make up `top_p` of the
    probability."""
    lowest = scores.topk(min(top_k, scores.shape[-1])).values[:, -1:]
    scores = scores.masked_fill(scores < lowest, -torch.inf)
    if top_p >= 1:
        return scores
    ordered, places = scores.sort(descending=False)
    unlikely = ordered.softmax(-1).cumsum(-1) <= 1 - top_p
    unlikely[:, -1:] = False
    return scores.masked_fill(unlikely.scatter(1, places, unlikely), -torch.inf)
