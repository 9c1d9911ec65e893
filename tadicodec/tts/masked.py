"""The masked generative model: a bidirectional network that fills in codes, given text and the prompt's codes.

Module names are those of the published checkpoint, so its tensors load by name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from tadicodec.config import (
    CODE_BITS,
    LARGEST_VOCABULARY,
    MOST_LAYERS,
    WIDEST,
    WIDEST_CODE,
    require_sizes,
)
from tadicodec.errors import InputError
from tadicodec.integers.packed_linear import PackedLinear
from tadicodec.model.decoder import time_embedding
from tadicodec.model.lengths import valid
from tadicodec.model.transformer import Block, BlockConfig, TimedRMSNorm, key_mask, mlp, rotary_tables
from tadicodec.tts.codebook import CodeTable
from tadicodec.tts.duration import Durations
from tadicodec.tts.laid_text import LaidText


@dataclass(frozen=True)
class MaskedConfig:
    """The shape of a masked model; the defaults are the published full size.

    Raises:
        InputError: a value out of range.
    """

    hidden_size: int = 1280
    num_layers: int = 16
    num_heads: int = 16
    intermediate_size: int = 0  # ours; 0 means 4 x hidden_size, as published
    cond_codebook_size: int = 2**CODE_BITS
    phone_vocab_size: int = 32100  # text tokens; the published name
    code_features: int = 0  # ours; width of the code vectors' network, 0: one free vector a code, as published
    text_layers: int = 0  # ours; blocks that read the text before it is laid on the codes, 0: text stands before them
    text_size: int = 128  # ours; width of those blocks
    duration_size: int = 0  # ours; width of the network that says how long text takes, 0: none

    def __post_init__(self) -> None:
        require_sizes("mgm", self, WIDEST, "hidden_size", "num_heads", "text_size")
        require_sizes("mgm", self, WIDEST, "intermediate_size", "code_features", "duration_size", least=0)
        require_sizes("mgm", self, MOST_LAYERS, "num_layers")
        require_sizes("mgm", self, MOST_LAYERS, "text_layers", least=0)
        require_sizes("mgm", self, 1 << WIDEST_CODE, "cond_codebook_size")
        require_sizes("mgm", self, LARGEST_VOCABULARY, "phone_vocab_size")
        if self.hidden_size % self.num_heads or (self.hidden_size // self.num_heads) % 2:
            raise InputError("config: mgm hidden_size must be an even multiple of num_heads")
        if self.cond_codebook_size & (self.cond_codebook_size - 1):
            raise InputError("config: mgm cond_codebook_size is a power of two")
        if self.text_layers and not self.duration_size:
            raise InputError(
                "config: mgm text_layers lays text where it is spoken; give it a duration_size to know where"
            )

    @property
    def ffn_size(self) -> int:
        """The width of the feed-forward networks."""
        return self.intermediate_size or 4 * self.hidden_size


class Estimator(nn.Module):
    """The blocks of the codec's decoder (time sets every norm's gain) over text and codes."""

    def __init__(self, config: MaskedConfig) -> None:
        super().__init__()
        self.head_size = config.hidden_size // config.num_heads
        block = BlockConfig(config.hidden_size, config.num_heads, config.ffn_size, timed=True)
        self.layers = nn.ModuleList(Block(block) for _ in range(config.num_layers))
        self.norm = TimedRMSNorm(config.hidden_size)
        self.diff_step_mlp = mlp(config.hidden_size)
        if not config.text_layers:
            self.cond_mlp = mlp(config.hidden_size)

    def forward(self, x: Tensor, time: Tensor, text: Tensor | None, mask: Tensor | None, positions: Tensor) -> Tensor:
        """x [B, T, H] at time [B] -> [B, T, H].

        text [B, L, H] stands before it (None: nothing does); mask [B, 1, 1, L + T]; positions [B or 1, L + T].
        """
        size = x.shape[1]
        if text is not None:
            x = torch.cat([self.cond_mlp(text), x], dim=1)
        embedded = self.diff_step_mlp(time_embedding(time, x.shape[-1]).to(x.dtype))
        rotary = rotary_tables(positions, self.head_size)
        for layer in self.layers:
            x = layer(x, rotary, mask, embedded)
        return self.norm(x[:, -size:], embedded)


@dataclass(frozen=True)
class Words:
    """A batch's text for the masked model: ids [B, L], lengths [B] and, where text is laid, times [B, L], the token at
    which each character begins."""

    ids: Tensor
    lengths: Tensor
    times: Tensor | None = None


class MaskedNetwork(nn.Module):
    """The masked model: it predicts codes [B, T] that are hidden from those that are not, and from the text."""

    def __init__(self, config: MaskedConfig) -> None:
        super().__init__()
        self.config = config
        size, codes = config.hidden_size, config.cond_codebook_size
        self.mask_emb = nn.Embedding(1, size)
        self.cond_emb: CodeTable | nn.Embedding
        self.to_logit: CodeTable | nn.Linear | PackedLinear
        if config.code_features:
            self.cond_emb = CodeTable(codes, size, config.code_features, std=0.5)  # as large as the text
            self.to_logit = CodeTable(codes, size + 1, config.code_features, std=0.02)  # a vector and a bias for each
        else:
            self.cond_emb = nn.Embedding(codes, size)
            self.to_logit = nn.Linear(size, codes)
        if config.text_layers:
            self.text = LaidText(config.phone_vocab_size, config.text_size, config.text_layers, size)
        else:
            self.phone_emb = nn.Embedding(config.phone_vocab_size, size)
        self.diff_estimator = Estimator(config)
        if config.duration_size:
            self.duration = Durations(config.phone_vocab_size, config.duration_size)

    def embed(self, codes: Tensor, masked: Tensor) -> Tensor:
        """codes [B, T], masked bool [B, T] -> vectors [B, T, H]; that of the mask where masked."""
        return torch.where(masked[..., None], self.mask_emb.weight[0], self.cond_emb(codes))

    def hidden(self, x: Tensor, time: Tensor, words: Words | None, lengths: Tensor | None = None) -> Tensor:
        """x [B, T, H] embedded codes, time [B], lengths [B] tokens (None: no padding) -> hidden states [B, T, H]."""
        text = None
        if words is not None and self.config.text_layers:
            x = x + self.text(words.ids, words.lengths, words.times, x.shape[1])
        elif words is not None:
            text = self.phone_emb(words.ids)
        letters = 0 if text is None else text.shape[1]
        steps = torch.arange(x.shape[1], device=x.device)[None]
        positions, masks = [steps], [self.filled(lengths, x)]
        if words is not None and text is not None:  # an item's codes follow its own text, whatever the padding between
            positions = [
                torch.arange(letters, device=x.device)[None].expand(len(x), -1),
                steps + words.lengths[:, None],
            ]
            masks.insert(0, valid(words.lengths, letters))
        mask = None if lengths is None else key_mask(torch.cat(masks, dim=1))
        return self.diff_estimator(x, time, text, mask, torch.cat(positions, dim=1))

    @staticmethod
    def filled(lengths: Tensor | None, x: Tensor) -> Tensor:
        """Which of the tokens of x [B, T, H] are there, bool [B, T]."""
        whole = torch.full((len(x),), x.shape[1], device=x.device) if lengths is None else lengths
        return valid(whole, x.shape[1])

    def output(self) -> tuple[Tensor, Tensor]:
        """What makes logits of hidden states: weight [codes, H] and bias [codes]. They do not change while sampling."""
        if isinstance(self.to_logit, nn.Linear):
            return self.to_logit.weight, self.to_logit.bias
        if isinstance(self.to_logit, PackedLinear):
            return self.to_logit.weight(), cast(Tensor, self.to_logit.bias)
        table = self.to_logit()
        return table[:, :-1], table[:, -1]

    def logits(self, hidden: Tensor, output: tuple[Tensor, Tensor] | None = None) -> Tensor:
        """Hidden states [..., H] -> logits [..., codes]. output: what `output` gives, where it is known already."""
        weight, bias = self.output() if output is None else output
        return nn.functional.linear(hidden, weight.to(hidden.dtype), bias.to(hidden.dtype))
