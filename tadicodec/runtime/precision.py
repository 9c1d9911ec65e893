"""The precision that a codec decodes in where speed is asked for: the machine's faster one, if the mel stays near."""

from __future__ import annotations

import torch

from tadicodec.config import SolverConfig
from tadicodec.model.autoencoder import Autoencoder
from tadicodec.model.fused import fuse
from tadicodec.runtime.speed import faster_precision

MOST = 0.02  # of the mel, that a faster precision may change
TOKENS = 32  # 5 s, of which the change is measured


def decoding_precision(model: Autoencoder, solver: SolverConfig) -> torch.dtype:
    """bfloat16 where the model's device is faster in it and that changes the mel by at most 2 %; else float32. The
    model is left as `fuse` makes it in float32."""
    on_cpu = model.vq_in_linear.bias.device.type == "cpu"
    dtype = faster_precision() if on_cpu else torch.bfloat16
    if dtype == torch.float32:
        return dtype
    return dtype if mel_error(model, solver, dtype) <= MOST else torch.float32  # no number is above any


@torch.inference_mode()
def mel_error(model: Autoencoder, solver: SolverConfig, dtype: torch.dtype) -> float:
    """Mean absolute difference of what a model decodes in dtype and in float32, as a share of the mel's mean size.

    Codes and noise are always the same random ones.
    """
    generator, shape, device = torch.Generator().manual_seed(0), model.config, model.vq_in_linear.bias.device
    codes = torch.randint(shape.codebook_size, (1, TOKENS), generator=generator).to(device)
    noise = torch.randn(1, TOKENS * shape.down_sample_factor, shape.mel_dim, generator=generator).to(device)
    mels = []
    for kind in (dtype, torch.float32):
        fuse(model.decoder, kind)
        mels.append(model.decode(codes, noise, solver).float())
    rounded, exact = mels
    return float((rounded - exact).abs().mean() / exact.abs().mean())
