"""Flow-matching decoder: velocity of a noisy mel given tokens, text, a clean prompt and the diffusion time."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tadicodec.config import AutoencoderConfig
from tadicodec.model.lengths import gather, valid
from tadicodec.model.transformer import Block, BlockConfig, TimedRMSNorm, key_mask, mlp, rotary_tables

NEAREST = 0.05  # 1 - t is not taken below this, where a prediction's error would be magnified without end


class Decoder(nn.Module):
    """Text is prepended in time, tokens are added to the frames, time sets every norm's gain."""

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        size = config.hidden_size
        self.patch = config.patch_size
        self.clean = config.prediction == "clean"
        self.head_size = size // config.num_heads
        self.in_linear = nn.Linear(config.mel_dim * self.patch, size)
        self.out_linear = nn.Linear(size, config.mel_dim * self.patch)
        self.cond_mlp = mlp(size)
        self.diff_step_mlp = mlp(size)
        if config.use_text_cond:
            self.text_mlp = mlp(size)
        block = BlockConfig(size, config.num_heads, config.ffn_size, timed=True)
        self.layers = nn.ModuleList(Block(block) for _ in range(config.decoder_num_layers))
        self.norm = TimedRMSNorm(size)

    def forward(
        self,
        x: Tensor,
        time: Tensor,
        condition: Tensor,
        text: Tensor | None = None,
        *,
        lengths: Tensor | None = None,
        text_lengths: Tensor | None = None,
        text_times: Tensor | None = None,
    ) -> Tensor:
        """x [B, F, 128] noisy mel, time [B] in [0, 1], condition [B, F, H] upsampled tokens (zeros: none),
        text [B, L, H] embeddings or None, lengths [B] frames, text_lengths [B] -> velocity [B, F, 128].

        text_times [B, L] are the frames where characters begin (None: the text simply stands before the frames).
        F must be a multiple of the patch size (8 frames a token always is).
        """
        frames = x.shape[1] // self.patch
        h = self.in_linear(x.reshape(x.shape[0], frames, -1)) + self.cond_mlp(self.pool(condition))
        text_size = 0 if text is None else text.shape[1]
        patches = None if lengths is None else (lengths + self.patch - 1) // self.patch
        if text is not None:
            text = self.text_mlp(text)
            if text_times is not None:
                text_times = text_times / self.patch
                h = h + spoken(text, text_times, text_lengths, frames)
            h = torch.cat([text, h], dim=1)
        mask = self.mask(x.shape[0], (text_size, frames), text_lengths, patches)
        positions = self.positions((text_size, frames), text_lengths, text_times, x.device)
        rotary = rotary_tables(positions, self.head_size)
        embedded = self.diff_step_mlp(time_embedding(time, h.shape[-1]).to(h.dtype))
        for layer in self.layers:
            h = layer(h, rotary, mask, embedded)
        out = self.out_linear(self.norm(h[:, text_size:], embedded)).reshape(x.shape)
        return self.to_velocity(out, x, time) if self.clean else out

    def to_velocity(self, mel: Tensor, x: Tensor, time: Tensor) -> Tensor:
        """Velocity towards a predicted clean mel [B, F, 128] from x at time [B].

        A velocity holds all of the noise, 128 independent numbers a frame, and a narrow network has no room to carry it
        from input to output; a clean mel is far simpler (Li & He 2025, "Back to basics": x-prediction, velocity loss).
        """
        return (mel.float() - x) / (1 - time).clamp(min=NEAREST)[:, None, None]

    def pool(self, condition: Tensor) -> Tensor:
        """Mean of the frames that share a decoder position: [B, F, H] -> [B, F / patch, H]."""
        if self.patch == 1:
            return condition
        return condition.unflatten(1, (-1, self.patch)).mean(2)

    def mask(
        self, batch: int, sizes: tuple[int, int], text_lengths: Tensor | None, patches: Tensor | None
    ) -> Tensor | None:
        """Attention mask [B, 1, 1, L + F], or None where nothing is padded (the fast path)."""
        text_size, frames = sizes
        if patches is None and (text_lengths is None or text_size == 0):
            return None
        some = text_lengths if patches is None else patches
        full = torch.ones(batch, max(sizes), dtype=torch.bool, device=some.device)
        text = full[:, :text_size] if text_lengths is None else valid(text_lengths, text_size)
        mel = full[:, :frames] if patches is None else valid(patches, frames)
        return key_mask(torch.cat([text, mel], dim=1))

    def positions(
        self, sizes: tuple[int, int], text_lengths: Tensor | None, text_times: Tensor | None, device: torch.device
    ) -> Tensor:
        """Rotary positions [B or 1, L + F]: characters where they are spoken, or else the frames of an item behind its
        own text, whatever the padding between them."""
        text_size, frames = sizes
        mel = torch.arange(frames, device=device, dtype=torch.float32)[None]
        if text_times is not None and text_size:
            return torch.cat([text_times, mel.expand(text_times.shape[0], -1)], dim=1)
        text = torch.arange(text_size, device=device, dtype=torch.float32)[None]
        mel = mel + (text_size if text_lengths is None else text_lengths[:, None])
        return torch.cat([text.expand(mel.shape[0], -1), mel], dim=1)


def spoken(text: Tensor, times: Tensor, text_lengths: Tensor | None, frames: int) -> Tensor:
    """The character being spoken at each decoder position: text [B, L, H], times [B, L] non-decreasing, in positions ->
    [B, frames, H]; zeros for an item without text."""
    size = text.shape[1]
    count = torch.full_like(times[:, 0], size) if text_lengths is None else text_lengths
    times = torch.where(valid(count, size), times, torch.inf).contiguous()
    place = torch.arange(frames, device=text.device, dtype=times.dtype).expand(len(times), -1).contiguous()
    index = (torch.searchsorted(times, place, right=True) - 1).clamp(min=0)
    return gather(text, index) * (count > 0)[:, None, None]


def time_embedding(time: Tensor, size: int) -> Tensor:
    """time [B] -> [B, size]: sines then cosines, frequencies exp(-i ln(10000) / (size / 2 - 1)), float32."""
    half = size // 2
    rates = torch.exp(torch.arange(half, device=time.device, dtype=torch.float32) * -(math.log(10000) / (half - 1)))
    angles = time.float()[:, None] * rates[None]
    return F.pad(torch.cat([angles.sin(), angles.cos()], dim=-1), (0, size % 2))
