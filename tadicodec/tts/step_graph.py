"""An autoregressive model's step as an ONNX graph: new places in, with keys and values of those before, scores out."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tadicodec.errors import InputError
from tadicodec.model.transformer import rotary_tables
from tadicodec.runtime.graph import Graph, plain
from tadicodec.tts.autoregressive import SpeechLM
from tadicodec.tts.cache import FloatCache
from tadicodec.tts.llama import Llama

BEFORE = 120  # places before the new one in what is traced and timed: a sentence's text and half of its codes


class SharedHeads(FloatCache):
    """A cache that gives every head of queries its own keys and values, where several share some."""

    def __init__(self, kept: tuple[Tensor, Tensor], times: int) -> None:
        self.kept, self.times = kept, times

    def extend(self, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        k, v = super().extend(k, v)
        if self.times == 1:
            return k, v
        return k.repeat_interleave(self.times, dim=1), v.repeat_interleave(self.times, dim=1)


class StepGraph(nn.Module):
    """ids [1, S] at positions [1, S], keys and values [1, heads, P, d] of each layer, of the P places before (none at
    first) -> scores [1, vocabulary] of what follows the last place, and each layer's keys and values of P + S places.

    A layer's are tensors of their own, because putting all into one took longer than everything else.
    """

    table: Tensor

    def __init__(self, blocks: Llama, table: Tensor) -> None:
        super().__init__()
        self.blocks = blocks
        self.times = blocks.shape.num_attention_heads // blocks.shape.num_key_value_heads
        self.register_buffer("table", table)
        self.out = nn.Linear(table.shape[1], len(table), bias=False)
        self.out.weight.data.copy_(table)

    def forward(self, ids: Tensor, positions: Tensor, *past: Tensor) -> tuple[Tensor, ...]:
        x, before = F.embedding(ids, self.table), past[0].shape[2]
        rotary = rotary_tables(positions, self.blocks.shape.head_size)
        places = torch.arange(before + x.shape[1])[None]
        mask = (places <= (torch.arange(x.shape[1]) + before)[:, None])[None, None]
        caches = [SharedHeads((k, v), self.times) for k, v in zip(past[::2], past[1::2], strict=True)]
        for layer, cache in zip(self.blocks.layers, caches):
            x = layer(x, rotary, mask, cache)
        scores = self.out(self.blocks.norm(x)[:, -1])
        return scores, *(part for cache in caches if cache.kept is not None for part in cache.kept)


def past_names(layers: int) -> list[str]:
    """What the graph calls the keys and values that it is given, in order."""
    return [f"{part}_{layer}" for layer in range(layers) for part in ("keys", "values")]


def step_graph(network: nn.Module) -> Graph:
    """The graph of an autoregressive model of our own layout, packed or not.

    Raises:
        InputError: any other model.
    """
    if not isinstance(network, SpeechLM) or not isinstance(network.lm, Llama):
        raise InputError("export: of speech language models, autoregressive ones of a plain Llama can be exported")
    network = plain(network)
    assert isinstance(network, SpeechLM) and isinstance(network.lm, Llama)
    shape = network.lm.shape
    with torch.no_grad():
        module = StepGraph(network.lm, network.table())
    size = (1, shape.num_key_value_heads, BEFORE, shape.head_size)
    source, past = torch.Generator().manual_seed(0), past_names(shape.num_hidden_layers)
    inputs = {
        "ids": torch.randint(len(module.table), (1, 1), generator=source),
        "positions": torch.full((1, 1), float(BEFORE)),
        **{name: torch.randn(size, generator=source) for name in past},
    }
    axes = {"ids": {1: "places"}, "positions": {1: "places"}, **{name: {2: "before"} for name in past}}
    axes |= {f"new_{name}": {2: "after"} for name in past}
    return Graph("step", module, inputs, ("scores", *(f"new_{name}" for name in past)), axes)
