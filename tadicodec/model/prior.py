"""What can be known about the mel before any noise is seen: a network that runs once, not once a step.

Grad-TTS (Popov et al. 2021) and Matcha-TTS train such a prior beside their decoder: its plain regression learns at
every training step what a decoder learns only from its noisiest samples, and the decoder is left with the rest. Ours
reads codes, text and the clean prompt. The published model has none.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tadicodec.config import AutoencoderConfig
from tadicodec.model.lengths import gather, valid
from tadicodec.model.transformer import Block, BlockConfig, key_mask, normalise, rotary_tables
from tadicodec.model.voice import Voice


class Prior(nn.Module):
    """Characters pass a small encoder of their own, are laid where they are spoken, and meet codes and prompt there."""

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        size = config.hidden_size
        self.patch, self.head_size = config.patch_size, size // config.num_heads
        block = BlockConfig(size, config.num_heads, config.ffn_size)
        if config.use_text_cond:
            self.text_layers = nn.ModuleList(Block(block) for _ in range(config.text_layers))
            self.text_linear = nn.Linear(size, size, bias=False)  # so that no text adds nothing
        self.prompt_linear = nn.Linear((config.mel_dim + 1) * self.patch, size)
        self.voice_size = config.voice_size
        if config.voice_size:
            self.prompt_voice = Voice(config.mel_dim * self.patch, config.voice_size, size, config.voice_heads)
            self.token_voice = Voice(size, config.voice_size, size)
        self.layers = nn.ModuleList(Block(block) for _ in range(config.prior_layers))
        self.mel_linear = nn.Linear(size, config.mel_dim * self.patch)
        self.out_linear = nn.Linear(size, size)

    def forward(
        self,
        tokens: Tensor,
        text: Tensor | None,
        mel: tuple[Tensor, Tensor],
        *,
        lengths: Tensor | None = None,
        text_lengths: Tensor | None = None,
        text_times: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """What the decoder is told [B, P, H], and the expected mel [B, F, 128].

        tokens [B, P, H] are embedded codes, text [B, L, H] embedded characters, and text_times [B, L] where each
        begins, all in decoder positions P. mel ([B, F, 128], bool [B, F]) is the prompt and where it is. lengths [B]
        are positions.
        """
        prompt, held = mel
        seen = torch.cat([prompt * held[..., None], held[..., None].to(prompt.dtype)], dim=-1)
        h = tokens + self.prompt_linear(seen.reshape(tokens.shape[0], tokens.shape[1], -1))
        if text is not None:
            assert text_times is not None  # they come with the text
            h = h + self.text_linear(spoken(self.read(text, text_lengths), text_times, text_lengths, h.shape[1]))
        if self.voice_size:
            h = h + self.voice(tokens, mel, lengths)
        mask = None if lengths is None else key_mask(valid(lengths, h.shape[1]))
        rotary = rotary_tables(torch.arange(h.shape[1], device=h.device)[None], self.head_size)
        for layer in self.layers:
            h = layer(h, rotary, mask)
        h = normalise(h)
        return self.out_linear(h), self.mel_linear(h).reshape(prompt.shape)

    def voice(self, tokens: Tensor, mel: tuple[Tensor, Tensor], lengths: Tensor | None) -> Tensor:
        """What every position is told about the whole, [B, 1, H]: the prompt's voice, and what all codes say of it.

        Arguments are those of `forward`.
        """
        prompt, held = mel
        batch, size = tokens.shape[:2]
        share = held.reshape(batch, size, -1).float().mean(-1)
        every = tokens.new_ones(batch, size) if lengths is None else valid(lengths, size)
        prompt = (prompt * held[..., None]).reshape(batch, size, -1)
        return self.prompt_voice(prompt, share) + self.token_voice(tokens, every)

    def read(self, text: Tensor, text_lengths: Tensor | None) -> Tensor:
        """Characters [B, L, H] among their neighbours, [B, L, H]: spelling is resolved here, at 15 positions a
        second."""
        mask = None if text_lengths is None else key_mask(valid(text_lengths.clamp(min=1), text.shape[1]))
        rotary = rotary_tables(torch.arange(text.shape[1], device=text.device)[None], self.head_size)
        for layer in self.text_layers:
            text = layer(text, rotary, mask)
        return normalise(text)


def spoken(text: Tensor, times: Tensor, text_lengths: Tensor | None, size: int) -> Tensor:
    """The character that is being spoken at each decoder position, [B, size, H]; zeros for an item without text.

    text [B, L, H]; times [B, L] at which each begins, in positions, never falling.
    """
    letters = text.shape[1]
    count = torch.full_like(times[:, 0], letters) if text_lengths is None else text_lengths
    times = torch.where(valid(count, letters), times, torch.inf)
    place = torch.arange(size, device=text.device, dtype=times.dtype)
    index = ((times[:, None] <= place[:, None]).sum(-1) - 1).clamp(min=0)
    return gather(text, index) * (count > 0)[:, None, None]
