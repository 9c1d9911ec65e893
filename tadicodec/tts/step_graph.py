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

PLACES, BEFORE = 3, 5  # of what is traced


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
    """ids [1, S] at positions [1, S], keys and values [layers, 1, heads, P, d] of the P places before (none at first)
    -> scores [1, vocabulary] of what follows the last place, and keys and values of P + S places."""

    table: Tensor

    def __init__(self, blocks: Llama, table: Tensor) -> None:
        super().__init__()
        self.blocks = blocks
        self.times = blocks.shape.num_attention_heads // blocks.shape.num_key_value_heads
        self.register_buffer("table", table)
        self.out = nn.Linear(table.shape[1], len(table), bias=False)
        self.out.weight.data.copy_(table)

    def forward(self, ids: Tensor, positions: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, before = F.embedding(ids, self.table), keys.shape[3]
        rotary = rotary_tables(positions, self.blocks.shape.head_size)
        places = torch.arange(before + x.shape[1])[None]
        mask = (places <= (torch.arange(x.shape[1]) + before)[:, None])[None, None]
        caches = [SharedHeads((k, v), self.times) for k, v in zip(keys.unbind(0), values.unbind(0), strict=True)]
        for layer, cache in zip(self.blocks.layers, caches):
            x = layer(x, rotary, mask, cache)
        scores = self.out(self.blocks.norm(x)[:, -1])
        pairs = [cache.kept for cache in caches if cache.kept is not None]
        return scores, torch.stack([k for k, _ in pairs]), torch.stack([v for _, v in pairs])


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
    size = (shape.num_hidden_layers, 1, shape.num_key_value_heads, BEFORE, shape.head_size)
    source = torch.Generator().manual_seed(0)
    inputs = {
        "ids": torch.randint(len(module.table), (1, PLACES), generator=source),
        "positions": torch.arange(BEFORE, BEFORE + PLACES).float()[None],
        "keys": torch.randn(size, generator=source),
        "values": torch.randn(size, generator=source),
    }
    axes = {"ids": {1: "places"}, "positions": {1: "places"}, "keys": {3: "before"}, "values": {3: "before"}}
    axes |= {"new_keys": {3: "after"}, "new_values": {3: "after"}}
    return Graph("step", module, inputs, ("scores", "new_keys", "new_values"), axes)
