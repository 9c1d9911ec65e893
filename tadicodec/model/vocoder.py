"""Vocos: mel to wave by ConvNeXt blocks at the frame rate and one inverse STFT (Siuzdak 2023)."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tadicodec.config import VocoderConfig
from tadicodec.model.fused import unpacked
from tadicodec.model.lengths import valid


class Vocoder(nn.Module):
    """Normalised log-mel [B, F, 128] to wave. Module names are those of the published checkpoint."""

    def __init__(self, config: VocoderConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone = Backbone(config)
        self.head = Head(config)

    def forward(self, mel: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Normalised log-mel [B, F, 128], lengths [B] frames (None: no padding) -> wave [B, F * hop].

        Padding is silenced before every convolution and in the overlap-add, so an item sounds as it does alone.
        """
        mask = None if lengths is None else valid(lengths, mel.shape[1])[:, None].to(mel.dtype)  # [B, 1, F]
        return self.head(self.backbone(mel.transpose(1, 2), mask), mask)


class Backbone(nn.Module):
    """The ConvNeXt blocks: mel [B, 128, F] to states [B, F, dim]."""

    def __init__(self, config: VocoderConfig) -> None:
        super().__init__()
        self.embed = nn.Conv1d(config.input_channels, config.dim, kernel_size=7, padding=3)
        self.norm = nn.LayerNorm(config.dim, eps=1e-6)
        self.convnext = nn.ModuleList(ConvNeXtBlock(config) for _ in range(config.num_layers))
        self.final_layer_norm = nn.LayerNorm(config.dim, eps=1e-6)

    def forward(self, mel: Tensor, mask: Tensor | None) -> Tensor:
        """mel [B, 128, F], mask [B, 1, F] of the frames that exist, or None -> states [B, F, dim]."""
        x = self.norm(self.embed(masked(mel, mask)).transpose(1, 2)).transpose(1, 2)
        for block in self.convnext:
            x = block(masked(x, mask))
        return self.final_layer_norm(x.transpose(1, 2))


class ConvNeXtBlock(nn.Module):
    """A convolution along time and two wide products, with a residual: [B, dim, F] -> [B, dim, F]."""

    def __init__(self, config: VocoderConfig) -> None:
        super().__init__()
        self.dwconv = nn.Conv1d(config.dim, config.dim, kernel_size=7, padding=3, groups=config.dim)
        self.norm = nn.LayerNorm(config.dim, eps=1e-6)
        self.pwconv1 = nn.Linear(config.dim, config.intermediate_dim)
        self.pwconv2 = nn.Linear(config.intermediate_dim, config.dim)
        self.gamma = nn.Parameter(torch.full((config.dim,), 1.0 / config.num_layers))
        self.low: Low | None = None  # `lower` sets it, for inference

    def forward(self, x: Tensor) -> Tensor:
        """[B, dim, F] -> [B, dim, F]."""
        h = self.norm(self.dwconv(x).transpose(1, 2))
        if self.low is None or torch.is_grad_enabled() or self.low.made_from != (self.pwconv1, self.pwconv2):
            h = self.pwconv2(F.gelu(self.pwconv1(h)))
        else:
            h = self.low.second(F.gelu(self.low.first(h.to(self.low.first.weight.dtype))))
        return x + (self.gamma * h).transpose(1, 2)


@dataclass(frozen=True, eq=False)
class Low:
    """The two wide products of a block in another form, used while the block has the layers that it was made from."""

    made_from: tuple[nn.Module, nn.Module]
    first: nn.Linear
    second: nn.Linear


def lower(vocoder: Vocoder, dtype: torch.dtype) -> None:
    """Let the wide products run in `dtype` while gradients are off, from copies of their weights; packed layers are
    unpacked for it, in float32, too.

    Convolutions, norms, the residual stream and the head stay in float32.
    """
    for block in cast(Iterable[ConvNeXtBlock], vocoder.backbone.convnext):
        own = (block.pwconv1, block.pwconv2)
        first, second = (unpacked(linear) for linear in own)
        block.low = None
        if type(first) is not nn.Linear or type(second) is not nn.Linear:
            continue  # layers that change their input
        if dtype != torch.float32 or (first, second) != own:
            block.low = Low(own, copy.deepcopy(first).to(dtype), copy.deepcopy(second).to(dtype))


class Head(nn.Module):
    """Log-magnitude and phase of each frame, then the inverse STFT; always in float32."""

    def __init__(self, config: VocoderConfig) -> None:
        super().__init__()
        self.out = nn.Linear(config.dim, config.n_fft + 2)
        self.istft = InverseSTFT(config.n_fft, config.hop_size)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """States [B, F, dim], mask [B, 1, F] of the frames that exist, or None -> wave [B, F * hop]."""
        log_magnitude, phase = self.out(x).float().transpose(1, 2).chunk(2, dim=1)
        magnitude = masked(log_magnitude.exp().clamp(max=100.0), mask)
        return self.istft(torch.complex(magnitude * phase.cos(), magnitude * phase.sin()), mask)


def masked(x: Tensor, mask: Tensor | None) -> Tensor:
    """x [B, C, F] with zeros where the mask [B, 1, F] is off; as it is without a mask."""
    return x if mask is None else x * mask


class InverseSTFT(nn.Module):
    """Overlap-add with "same" padding: F frames give exactly F * hop samples."""

    def __init__(self, n_fft: int, hop: int) -> None:
        super().__init__()
        self.n_fft, self.hop = n_fft, hop

    def forward(self, spectrum: Tensor, mask: Tensor | None) -> Tensor:
        """Complex [B, n_fft / 2 + 1, F], mask [B, 1, F] of the frames that exist -> [B, F * hop]."""
        frames = spectrum.shape[-1]
        window = torch.hann_window(self.n_fft, device=spectrum.device)
        pieces = torch.fft.irfft(spectrum, self.n_fft, dim=1, norm="backward") * window[None, :, None]
        envelope = masked(window.square()[None, :, None].expand(1, -1, frames), mask)
        return self.overlap_add(pieces) / self.overlap_add(envelope).clamp(min=1e-11)

    def overlap_add(self, pieces: Tensor) -> Tensor:
        """Pieces [B, n_fft, F] of a wave, added where they overlap -> [B, F * hop]; (n_fft - hop) / 2 samples at either
        end are cut off."""
        size = (pieces.shape[-1] - 1) * self.hop + self.n_fft
        pad = (self.n_fft - self.hop) // 2
        summed = F.fold(pieces, output_size=(1, size), kernel_size=(1, self.n_fft), stride=(1, self.hop))
        return summed[:, 0, 0, pad : size - pad]
