"""Binary spherical quantization (BSQ): a vector of length 1 to its nearest corner of the hypercube; 14 signs, 16,384
codes."""

from __future__ import annotations

import torch
from torch import Tensor


def quantize(latents: Tensor) -> Tensor:
    """Latents [..., D] -> quantized [..., D] = sign / sqrt(D), with straight-through gradients. Above 0 is +1, 0 and
    below is -1."""
    corners = torch.where(latents > 0, 1.0, -1.0).to(latents.dtype) / latents.shape[-1] ** 0.5
    return latents + (corners - latents).detach()


def to_codes(latents: Tensor) -> Tensor:
    """Latents (or quantized vectors) [..., D] -> codes [...]; the first dimension is the most significant bit."""
    return ((latents > 0).long() * bit_weights(latents.shape[-1], latents.device)).sum(-1)


def from_codes(codes: Tensor, dims: int) -> Tensor:
    """codes [...] -> quantized vectors [..., dims] float32."""
    bits = (codes[..., None] & bit_weights(dims, codes.device)) != 0
    return torch.where(bits, 1.0, -1.0) / dims**0.5


def bit_weights(dims: int, device: torch.device) -> Tensor:
    """The value of each bit, [dims], the most significant first."""
    return 2 ** torch.arange(dims - 1, -1, -1, device=device)


def entropies(latents: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Soft entropies of the bits (BSQ-ViT eq. 8 to 10 with group size 1), each summed over the D bits.

    latents [B, T, D] of length 1, mask [B, T] -> the mean entropy of a sample, and the entropy of the mean
    distribution. The training loss is the first minus the second: each sample sure, the codebook used evenly.
    """
    dims = latents.shape[-1]
    logit = 4 * latents.float() / dims**0.5  # softmax over {-1, +1} / sqrt(D) of 2 z c
    weight = torch.ones_like(logit[..., 0]) if mask is None else mask.to(logit.dtype)
    weight = (weight / weight.sum().clamp(min=1))[..., None]  # [B, T, 1]
    p = torch.sigmoid(logit)
    per_sample = (binary_entropy(p) * weight).sum()
    mean = (p * weight).flatten(0, -2).sum(0)  # [D]
    return per_sample, binary_entropy(mean).sum()


def binary_entropy(p: Tensor) -> Tensor:
    """The entropy of a bit that is 1 with probability p, in nats."""
    return -(p * (p + 1e-8).log() + (1 - p) * (1 - p + 1e-8).log())
