"""The whole codec network: mel to codes, and the decoder's view of codes, text and prompt.

Module names are those of the published checkpoint, so its tensors load by name.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tadicodec.config import AutoencoderConfig, SolverConfig
from tadicodec.model import flow, quantizer
from tadicodec.model.aligner import STEPS_PER_TOKEN, Aligner, forced_alignment
from tadicodec.model.decoder import Conditioning, Decoder
from tadicodec.model.encoder import Encoder
from tadicodec.model.field import Field, run_blocks
from tadicodec.model.lengths import interpolate, valid
from tadicodec.model.transcriber import Transcriber
from tadicodec.model.transformer import BlockConfig


class Autoencoder(nn.Module):
    """All networks of the codec but the vocoder: mel [B, F, 128] to codes [B, F // 8], and codes, text and prompt to
    mel."""

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.vq_in_linear = nn.Linear(config.hidden_size, config.vq_emb_dim)
        self.vq_out_linear = nn.Linear(config.vq_emb_dim, config.hidden_size)
        if config.use_text_cond:
            self.text_emb = nn.Embedding(config.text_vocab_size, config.hidden_size)
        self.decoder = Decoder(config)
        self.run = run_blocks  # or the same compiled, as `Codec.compile` sets it
        block = BlockConfig(config.hidden_size, config.num_heads, config.ffn_size)
        if config.transcriber_layers:
            self.transcriber = Transcriber(block, config.transcriber_layers, config.transcriber_conformer)
        if config.aligned:
            sizes = config.aligner_layers, config.text_vocab_size, config.aligner_conformer
            self.aligner = Aligner(config.vq_emb_dim, block, *sizes)

    # encode ---------------------------------------------------------------------------------------------------------

    def latents(self, mel: Tensor, lengths: Tensor | None = None) -> Tensor:
        """mel [B, F, 128], lengths [B] frames (None: no padding) -> latents [B, F // 8, 14] of length 1, before
        quantization."""
        return self.project(self.encoder(mel, lengths), lengths)

    def project(self, hidden: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Encoder states [B, S, H], lengths [B] frames (None: no padding) -> latents [B, F // 8, 14] of length 1."""
        joined, factor = self.config.frames_per_state, self.config.down_sample_factor
        if lengths is None:
            lengths = torch.full((hidden.shape[0],), hidden.shape[1] * joined, device=hidden.device)
        pooled = interpolate(hidden, self.config.states(lengths), lengths // factor, hidden.shape[1] * joined // factor)
        return F.normalize(self.vq_in_linear(pooled).float(), dim=-1)

    def encode(self, mel: Tensor, lengths: Tensor | None = None) -> Tensor:
        """mel [B, F, 128], lengths [B] frames -> codes [B, F // 8] int64, zeros behind an item's own length."""
        codes = quantizer.to_codes(self.latents(mel, lengths))
        if lengths is None:
            return codes
        return codes * valid(lengths // self.config.down_sample_factor, codes.shape[1])

    def listen(self, mel: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, list[Tensor]]:
        """mel [B, F, 128], lengths [B] frames -> codes as `encode`, and what the transcriber makes of each item's
        states: log-probabilities [S_i, 29] of characters, the blank last."""
        full = torch.full((mel.shape[0],), mel.shape[1], device=mel.device) if lengths is None else lengths
        hidden = self.encoder(mel, lengths)
        codes = quantizer.to_codes(self.project(hidden, lengths))
        states = self.config.states(full)
        scores = self.transcriber(hidden, None if lengths is None else states).float().log_softmax(-1)
        heard = [row[:count] for row, count in zip(scores, states.tolist())]
        return codes * valid(full // self.config.down_sample_factor, codes.shape[1]), heard

    # decode ---------------------------------------------------------------------------------------------------------

    def condition(self, quantized: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Quantized vectors [B, T, 14], lengths [B] tokens -> what the decoder is told at each frame, [B, 8 T, H]."""
        if lengths is None:
            lengths = torch.full((quantized.shape[0],), quantized.shape[1], device=quantized.device)
        factor = self.config.down_sample_factor
        embedded = self.vq_out_linear(quantized.to(self.vq_out_linear.bias.dtype))
        return interpolate(embedded, lengths, lengths * factor, quantized.shape[1] * factor)

    def text_times(
        self, quantized: Tensor, text_ids: Tensor, lengths: Tensor | None, text_lengths: Tensor | None
    ) -> Tensor:
        """Frame [B, L] at which each character begins, found from the quantized vectors [B, T, 14]."""
        batch, size, device = quantized.shape[0], quantized.shape[1], quantized.device
        tokens = torch.full((batch,), size, device=device) if lengths is None else lengths
        letters = torch.full((batch,), text_ids.shape[1], device=device) if text_lengths is None else text_lengths
        logits = self.aligner(quantized, lengths)
        times = forced_alignment(logits, tokens * STEPS_PER_TOKEN, text_ids, letters)
        return times * (self.config.down_sample_factor / STEPS_PER_TOKEN)

    def decode(
        self,
        codes: Tensor,
        noise: Tensor,
        solver: SolverConfig,
        *,
        lengths: Tensor | None = None,
        text_ids: Tensor | None = None,
        text_lengths: Tensor | None = None,
        prompt: Tensor | None = None,
        prompt_lengths: Tensor | None = None,
    ) -> Tensor:
        """Codes to mel [B, 8 T, 128], the prompt's part included.

        codes [B, T], the prompt's first; noise [B, 8 T, 128]; lengths [B] tokens (None: no padding); text_ids [B, L]
        with text_lengths [B]; prompt [B, 8 T, 128], clean in its first prompt_lengths [B] frames.
        """
        quantized = quantizer.from_codes(codes, self.config.vq_emb_dim)
        condition = self.condition(quantized, lengths)
        frames = None if lengths is None else lengths * self.config.down_sample_factor
        given = {"lengths": frames, "prompt": prompt, "prompt_lengths": prompt_lengths}
        reading = self.reading(quantized, text_ids, lengths, text_lengths)
        branches = [self.decoder.prepare(condition, **reading, **given)]
        if solver.guided:
            branches.append(self.decoder.prepare(torch.zeros_like(condition), **given))
        field = self.field(branches, flow.evaluation_times(solver))
        return flow.solve(field, noise, solver, prompt=prompt, lengths=frames, prompt_lengths=prompt_lengths)

    def field(self, branches: Sequence[Conditioning], times: Sequence[float]) -> flow.Field:
        """The velocities of one decode: what the decoder is told in each branch of guidance, and when it is asked."""
        return Field(self.decoder, branches, times, self.run)

    def reading(
        self, quantized: Tensor, text_ids: Tensor | None, lengths: Tensor | None, text_lengths: Tensor | None
    ) -> dict[str, Tensor | None]:
        """The decoder's arguments about a text, by name; none without a text."""
        if text_ids is None or text_ids.shape[1] == 0 or not self.config.use_text_cond:
            return {}
        times = self.text_times(quantized, text_ids, lengths, text_lengths) if self.config.aligned else None
        return {"text": self.text_emb(text_ids), "text_lengths": text_lengths, "text_times": times}
