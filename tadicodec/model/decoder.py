"""Flow-matching decoder: the velocity of a noisy mel, given tokens, text, a clean prompt and the diffusion time.

What does not depend on the noisy mel is computed once (`prepare`), however many steps a decode takes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tadicodec.config import AutoencoderConfig
from tadicodec.model.lengths import valid
from tadicodec.model.prior import Prior
from tadicodec.model.transformer import Block, BlockConfig, TimedRMSNorm, key_mask, mlp, rotary_tables

NEAREST = 0.05  # 1 - t is not taken below this, where a prediction's error would be magnified without end


@dataclass(frozen=True)
class Conditioning:
    """All that the decoder is told at every step: P positions, with L of text before them."""

    frames: Tensor  # [B, P, H], added to the noisy mel
    text: Tensor | None  # [B, L, H], stands before it
    mask: Tensor | None  # [B, 1, 1, L + P]; None where nothing is padded (the fast path)
    rotary: tuple[Tensor, Tensor]
    mel: Tensor | None  # [B, F, 128], the prior's expectation; models with a prior


class Decoder(nn.Module):
    """The network that runs at every step of a decode.

    As published, text is put before the frames in time, tokens are added to the frames, and time sets every norm's
    gain. With a prior, text goes there instead, and the network predicts how the clean mel differs from the prior's.
    """

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        size = config.hidden_size
        self.patch = config.patch_size
        self.head_size = size // config.num_heads
        self.in_linear = nn.Linear(config.mel_dim * self.patch, size)
        self.out_linear = nn.Linear(size, config.mel_dim * self.patch)
        self.cond_mlp = mlp(size)
        self.diff_step_mlp = mlp(size)
        self.prior = Prior(config) if config.prior_layers else None
        if config.use_text_cond and self.prior is None:
            self.text_mlp = mlp(size)
        block = BlockConfig(size, config.num_heads, config.ffn_size, timed=True)
        self.layers = nn.ModuleList(Block(block) for _ in range(config.decoder_num_layers))
        self.norm = TimedRMSNorm(size)

    def prepare(
        self,
        condition: Tensor,
        text: Tensor | None = None,
        *,
        lengths: Tensor | None = None,
        text_lengths: Tensor | None = None,
        text_times: Tensor | None = None,
        prompt: Tensor | None = None,
        prompt_lengths: Tensor | None = None,
    ) -> Conditioning:
        """Compute what does not depend on the noisy mel.

        condition [B, F, H] upsampled tokens (zeros: none), text [B, L, H] embeddings or None, lengths [B] frames,
        text_lengths [B]. For a prior also text_times [B, L], the frames at which characters begin, and prompt [B, F,
        128], clean in its first prompt_lengths [B] frames. F must be a multiple of the patch size (8 frames a token
        always is).
        """
        frames = self.cond_mlp(self.pool(condition))
        patches = None if lengths is None else (lengths + self.patch - 1) // self.patch
        mel = None
        if self.prior is not None:
            frames, mel = self.prior(
                frames,
                text,
                clean_prompt(condition, prompt, prompt_lengths, self.in_linear.in_features // self.patch),
                lengths=patches,
                text_lengths=text_lengths,
                text_times=None if text is None or text_times is None else text_times / self.patch,
            )
            text = None
        sizes = (0 if text is None else text.shape[1], frames.shape[1])
        positions = self.positions(sizes, text_lengths, condition.device)
        return Conditioning(
            frames=frames,
            text=None if text is None else self.text_mlp(text),
            mask=self.mask(frames.shape[0], sizes, text_lengths, patches),
            rotary=rotary_tables(positions, self.head_size),
            mel=mel,
        )

    def forward(self, x: Tensor, time: Tensor, given: Conditioning) -> Tensor:
        """x [B, F, 128] noisy mel, time [B] in [0, 1] -> velocity [B, F, 128]."""
        h = self.in_linear(x.reshape(*given.frames.shape[:2], -1)) + given.frames
        if given.text is not None:
            h = torch.cat([given.text, h], dim=1)
        embedded = self.diff_step_mlp(time_embedding(time, h.shape[-1]).to(h.dtype))
        for layer in self.layers:
            h = layer(h, given.rotary, given.mask, embedded)
        out = self.out_linear(self.norm(h[:, -given.frames.shape[1] :], embedded)).reshape(x.shape)
        return out if given.mel is None else to_velocity(given.mel + out, x, time)

    def pool(self, condition: Tensor) -> Tensor:
        """Mean of the frames that share a decoder position: [B, F, H] -> [B, F / patch, H]."""
        if self.patch == 1:
            return condition
        return condition.unflatten(1, (-1, self.patch)).mean(2)

    def mask(
        self, batch: int, sizes: tuple[int, int], text_lengths: Tensor | None, patches: Tensor | None
    ) -> Tensor | None:
        """Attention mask [B, 1, 1, L + P], or None where nothing is padded."""
        text_size, frames = sizes
        if patches is None and (text_lengths is None or text_size == 0):
            return None
        some = text_lengths if patches is None else patches
        assert some is not None
        full = torch.ones(batch, max(sizes), dtype=torch.bool, device=some.device)
        text = full[:, :text_size] if text_lengths is None else valid(text_lengths, text_size)
        mel = full[:, :frames] if patches is None else valid(patches, frames)
        return key_mask(torch.cat([text, mel], dim=1))

    def positions(self, sizes: tuple[int, int], text_lengths: Tensor | None, device: torch.device) -> Tensor:
        """Rotary positions [B or 1, L + P]: the frames of an item follow its own text, whatever the padding between."""
        text_size, frames = sizes
        text = torch.arange(text_size, device=device)[None]
        mel = torch.arange(frames, device=device)[None]
        if text_size:
            mel = mel + (text_size if text_lengths is None else text_lengths[:, None])
        return torch.cat([text.expand(mel.shape[0], -1), mel], dim=1)


def clean_prompt(
    condition: Tensor, prompt: Tensor | None, prompt_lengths: Tensor | None, bins: int
) -> tuple[Tensor, Tensor]:
    """The prompt's mel [B, F, 128] and where it is, bool [B, F], for the frames of a condition [B, F, H]; zeros without
    a prompt."""
    batch, size = condition.shape[:2]
    if prompt is None or prompt_lengths is None:
        return condition.new_zeros(batch, size, bins), condition.new_zeros(batch, size, dtype=torch.bool)
    return prompt, valid(prompt_lengths, size)


def to_velocity(mel: Tensor, x: Tensor, time: Tensor) -> Tensor:
    """Velocity towards a predicted clean mel [B, F, 128] from the noisy x at time [B].

    A velocity holds all of the noise, 128 independent numbers a frame, and a narrow network has no room to carry it
    from input to output. A clean mel is far simpler (Li & He 2025, "Back to basics": x-prediction, velocity loss).
    """
    return (mel.float() - x) / (1 - time).clamp(min=NEAREST)[:, None, None]


def time_embedding(time: Tensor, size: int) -> Tensor:
    """time [B] -> [B, size]: sines then cosines, frequencies exp(-i ln(10000) / (size / 2 - 1)), float32."""
    half = size // 2
    rates = torch.exp(torch.arange(half, device=time.device, dtype=torch.float32) * -(math.log(10000) / (half - 1)))
    angles = time.float()[:, None] * rates[None]
    return F.pad(torch.cat([angles.sin(), angles.cos()], dim=-1), (0, size % 2))
