"""Encoding through ONNX Runtime, for those who ask: in float32, and only where codes stay what torch's are."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import torch

from tadicodec.config import SolverConfig
from tadicodec.errors import InputError
from tadicodec.model.autoencoder import Autoencoder
from tadicodec.pipeline.encoding import WaveEncoder
from tadicodec.runtime.backend import (
    ONNX,
    TORCH,
    MelCalls,
    fastest_session,
    graph_folder,
    graph_session,
    on_cpu,
    sharing,
)
from tadicodec.runtime.graph import plain
from tadicodec.runtime.networks import encoder_graph
from tadicodec.runtime.speed import remembered
from tadicodec.runtime.torch_calls import torch_call

ENCODE_BACKENDS = (TORCH, ONNX)
ALIKE = 0.999  # of the codes, that have to be torch's
STATES = 1  # the output of the encoder's graph that codes and transcripts are made from
ITEMS, TOKENS = 32, 32  # of random speech, by which that is seen


def runtime_encoder(encoder: WaveEncoder, backend: str, folder: Path | None = None) -> WaveEncoder:
    """The encoder of waves whose network runs in ONNX Runtime, in float32, where that is faster on this machine.

    The first time on a machine, codes are compared with torch's one by one, on 164 s of speech made from random codes.
    folder: where graphs and what was measured are kept (None: the user's cache).

    Raises:
        InputError: no such backend, a device other than the CPU, ONNX Runtime is missing, layers it cannot take, or
            fewer than 99.9 % of the codes are torch's.
    """
    if backend not in ENCODE_BACKENDS:
        raise InputError(f"encode backend {backend!r}: there are {', '.join(ENCODE_BACKENDS)}")
    if backend == TORCH:
        return encoder
    model = encoder.model
    on_cpu(model.vq_in_linear.bias.device, f"encode backend {backend}")
    place = graph_folder(folder, model)
    network = plain(model)
    assert isinstance(network, Autoencoder)
    graph = encoder_graph(network)
    own = graph_session(graph, 0, place)
    alike = remembered("codes as torch's", (ONNX,), partial(share_alike, model, own), place)[ONNX]
    if alike < ALIKE:
        raise InputError(
            f"only {100 * alike:.2f} % of the codes from ONNX Runtime are torch's on this machine; encode in torch"
        )
    faster = fastest_session(graph, {ONNX: 0}, place, torch_call(graph, model))
    return encoder if faster is None else WaveEncoder(within(model, faster), encoder.spectrogram, encoder.limits)


def within(model: Autoencoder, own: Any) -> Autoencoder:
    """A model on the same weights whose encoder runs in a session."""
    made = sharing(model)
    made.encoder = sharing(model.encoder)
    made.encoder.forward = MelCalls(own, STATES)  # type: ignore[method-assign, assignment]
    return made


@torch.inference_mode()
def share_alike(model: Autoencoder, own: Any) -> dict[str, float]:
    """The share of tokens that get the same code from a session of the encoder's graph as from torch."""
    generator, shape = torch.Generator().manual_seed(0), model.config
    codes = torch.randint(shape.codebook_size, (ITEMS, TOKENS), generator=generator)
    noise = torch.randn(ITEMS, TOKENS * shape.down_sample_factor, shape.mel_dim, generator=generator)
    mel = model.decode(codes, noise, SolverConfig(steps=2, guidance=1.0))
    return {ONNX: float((within(model, own).encode(mel) == model.encode(mel)).float().mean())}
