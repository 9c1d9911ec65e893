"""What torch does for each graph's inputs, as a loaded codec runs it: fused and in its precision. ONNX Runtime has to
be faster than this."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from tadicodec.model.autoencoder import Autoencoder
from tadicodec.model.decoder import Conditioning
from tadicodec.model.transformer import rotary_tables
from tadicodec.model.vocoder import Vocoder
from tadicodec.runtime.graph import Graph
from tadicodec.runtime.networks import ENCODER
from tadicodec.runtime.speed import Call


def torch_call(graph: Graph, model: Autoencoder, vocoder: Vocoder | None = None) -> Call:
    """A call without arguments of the network that a graph of `codec_graphs` was made from, on the graph's inputs;
    vocoder: for its own graph alone."""
    given, prior = graph.inputs, model.decoder.prior
    if graph.name == "decoder":
        return decoder_call(model, given)
    module = {ENCODER: model.encoder, "prior": prior, "vocoder": vocoder}[graph.name]
    assert module is not None
    if graph.name == "prior":
        mel, rest = (given["prompt"], given["held"]), {"text_times": given["text_times"]}
        return torch.inference_mode()(partial(module, given["tokens"], given["text"], mel, **rest))
    return torch.inference_mode()(partial(module, given["mel"]))


@torch.inference_mode()
def decoder_call(model: Autoencoder, given: dict[str, Tensor]) -> Call:
    """One evaluation of the decoder on the inputs of its graph."""
    x, start, time = given["x"], given["start"], float(given["time"])
    letters = start.shape[1] - x.shape[1] // model.decoder.patch
    rotary = rotary_tables(torch.arange(start.shape[1])[None], model.decoder.head_size)
    text = start[:, :letters] if letters else None
    field = model.field([Conditioning(start[:, letters:], text, None, rotary, given.get("mel"))], [time])
    return torch.inference_mode()(partial(field, x, time, False))
