"""Decoding as the published code does it: float32, step by step, two passes, mask given, nothing kept between steps.

What the package's own path is compared with, in the tests for equality and in stages.py for speed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from tadicodec.config import SolverConfig
from tadicodec.model import quantizer
from tadicodec.model.autoencoder import Autoencoder
from tadicodec.model.flow import guide
from tadicodec.model.transformer import Block
from tadicodec.model.vocoder import Vocoder


@contextmanager
def unfused(module: nn.Module) -> Iterator[None]:
    """Blocks as they are trained."""
    blocks = {block: block.fused for block in module.modules() if isinstance(block, Block)}
    for block in blocks:
        block.fused = None
    try:
        yield
    finally:
        for block, fused in blocks.items():
            block.fused = fused


@contextmanager
def highest(vocoder: Vocoder) -> Iterator[None]:
    """The vocoder's wide products in float32."""
    blocks = {block: block.low for block in vocoder.backbone.convnext}
    for block in blocks:
        block.low = None
    try:
        yield
    finally:
        for block, low in blocks.items():
            block.low = low


@torch.no_grad()
def decode(
    network: Autoencoder,
    *,
    codes: Tensor,
    noise: Tensor,
    solver: SolverConfig,
    lengths: Tensor | None = None,
    text_ids: Tensor | None = None,
    text_lengths: Tensor | None = None,
    prompt: Tensor | None = None,
    prompt_lengths: Tensor | None = None,
) -> Tensor:
    """As `Autoencoder.decode`, Euler only."""
    batch, device = len(codes), codes.device
    tokens = torch.full((batch,), codes.shape[1], device=device) if lengths is None else lengths
    if text_ids is not None and text_lengths is None:
        text_lengths = torch.full((batch,), text_ids.shape[1], device=device)
    frames = tokens * network.config.down_sample_factor
    frame = torch.arange(noise.shape[1], device=device)[None]
    held = frame < (torch.zeros_like(tokens) if prompt_lengths is None else prompt_lengths)[:, None]
    given = {"lengths": frames, "prompt": prompt, "prompt_lengths": prompt_lengths}

    def velocity(mel: Tensor, time: Tensor, conditional: bool) -> Tensor:
        quantized = quantizer.from_codes(codes, network.config.vq_emb_dim)
        condition = network.condition(quantized, tokens)
        reading = network.reading(quantized, text_ids, tokens, text_lengths) if conditional else {}
        known = network.decoder.prepare(condition if conditional else torch.zeros_like(condition), **reading, **given)
        return network.decoder(mel, time, known)

    start = noise * solver.temperature
    mel = start if prompt is None else torch.where(held[..., None], prompt, start)
    with unfused(network):
        for step in range(solver.steps):
            time = torch.full((batch,), (step + 0.5) / solver.steps, device=device)
            slope = velocity(mel, time, True)
            if solver.guided:
                slope = guide(slope, velocity(mel, time, False), solver, (frame < frames[:, None]) & ~held)
            moved = mel + slope / solver.steps
            mel = moved if prompt is None else torch.where(held[..., None], prompt, moved)
    return mel
