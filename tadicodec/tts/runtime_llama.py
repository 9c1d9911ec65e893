"""Speaking through ONNX Runtime: an autoregressive model's step in torch's place, where it is faster here."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tadicodec.integers.packed_linear import PackedLinear
from tadicodec.runtime.backend import INT8, ONNX, TORCH, fastest_session, graph_folder, integer_kinds
from tadicodec.runtime.graph import run
from tadicodec.tts.autoregressive import SpeechLM
from tadicodec.tts.llama import Llama, LlamaShape, Reading, SpeakingLlama
from tadicodec.tts.step_graph import past_names, step_graph

FOUR_BITS = 4


class RuntimeLlama(SpeakingLlama):
    """A Llama whose steps are computed by a session of ONNX Runtime."""

    def __init__(self, blocks: Llama, table: Tensor, session: Any) -> None:
        super().__init__(blocks, table)
        self.session = session

    def reading(self) -> Reading:
        kept = dict.fromkeys(past_names(self.blocks.shape.num_hidden_layers), empty(self.blocks.shape))

        def follow(ids: Tensor, places: Tensor) -> Tensor:
            scores, *new = run(self.session, {"ids": ids, "positions": places, **kept})
            kept.update(zip(kept, new, strict=True))
            return scores

        return follow


def empty(shape: LlamaShape) -> Tensor:
    """A layer's keys or values [1, heads, 0, d] of no place."""
    return torch.zeros(1, shape.num_key_value_heads, 0, shape.head_size)


@torch.no_grad()
def runtime_speaker(network: nn.Module, backend: str, folder: Path | None = None) -> SpeakingLlama | None:
    """What speaks for a network in ONNX Runtime; None where that is not asked for or not faster here, for models whose
    step is no graph, and for those that keep keys and values in a few bits.

    backend: "onnx" considers float32 only; "onnx-int8" integers too, those of a model in 4 bits in 4. folder: where
    graphs and measured times are kept (None: the user's cache).

    Raises:
        InputError: ONNX Runtime is missing, or layers that it cannot take.
    """
    if backend == TORCH or not isinstance(network, SpeechLM) or not isinstance(network.lm, Llama):
        return None
    if network.lm.cache.bits or network.lm.embed_tokens.weight.device.type != "cpu":
        return None
    kinds = {ONNX: 0, **integers_of(network)} if backend == INT8 else {ONNX: 0}
    place = graph_folder(folder, network)
    graph = step_graph(network)
    in_torch = torch.inference_mode()(partial(graph.module, *graph.inputs.values()))
    session = fastest_session(graph, kinds, place, in_torch)
    return None if session is None else RuntimeLlama(network.lm, network.table(), session).eval()


def integers_of(network: nn.Module) -> dict[str, int]:
    """The bits to try: 4 for a network whose packed layers have that, otherwise as for codecs."""
    packed = [layer.form.bits for layer in network.modules() if isinstance(layer, PackedLinear)]
    return {INT8: FOUR_BITS} if FOUR_BITS in packed else integer_kinds()
