"""The decoder as a solver calls it: a velocity field whose times are known beforehand, with all that follows from the
times alone computed once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from tadicodec.model.decoder import Conditioning, Decoder, time_embedding, to_velocity
from tadicodec.model.fused import FusedBlock, Room, Span, fused
from tadicodec.model.transformer import NORM_EPS, Block, TimedRMSNorm

if TYPE_CHECKING:
    Run = Callable[[Sequence[FusedBlock], Tensor, Sequence[Span], Tensor], Tensor]


def run_blocks(blocks: Sequence[FusedBlock], x: Tensor, spans: Sequence[Span], gains: Tensor) -> Tensor:
    """Rows x [rows, H] of all sequences through all blocks; gains [2 n + 1, H] of one time -> normalised [rows, H]. x
    is overwritten."""
    room = Room()
    for index, block in enumerate(blocks):
        x = block(x, spans, (gains[2 * index], gains[2 * index + 1]), room)
    return F.rms_norm(x, x.shape[-1:], None, NORM_EPS) * gains[-1]


class Field:
    """The velocities of one decode.

    `branches` are what the decoder is told: once with text and tokens and, for guidance, once without. Both go through
    every matrix product together.
    """

    def __init__(
        self, decoder: Decoder, branches: Sequence[Conditioning], times: Sequence[float], run: Run = run_blocks
    ) -> None:
        self.decoder, self.branches, self.run = decoder, branches, run
        self.blocks = [fused(cast(Block, layer)) for layer in decoder.layers]
        self.gains = dict(zip(times, gains_of(decoder, times, branches[0].frames.device), strict=True))
        self.starts = [packed(branch) for branch in branches]
        self.spans = [span_of(branch) for branch in branches]

    def __call__(self, x: Tensor, time: float, guided: bool) -> tuple[Tensor, Tensor | None]:
        """x [B, F, 128] float32 -> its velocity, and the unconditional one where it is asked for."""
        count = 2 if guided else 1
        branches, spans = self.branches[:count], merged(self.spans[:count])
        noisy = self.decoder.in_linear(x.reshape(*branches[0].frames.shape[:2], -1))
        rows = [insert(start, noisy) for start in self.starts[:count]]
        state = self.run(self.blocks, rows[0] if count == 1 else torch.cat(rows), spans, self.gains[time])
        states = state.split([len(part) for part in rows])
        found = [self.velocity(part, branch, x, time) for part, branch in zip(states, branches, strict=True)]
        return found[0], found[1] if guided else None

    def velocity(self, state: Tensor, given: Conditioning, x: Tensor, time: float) -> Tensor:
        """Last hidden state [rows, H] of a branch -> velocity [B, F, 128]."""
        batch, positions = given.frames.shape[:2]
        out = self.decoder.out_linear(state.view(batch, -1, state.shape[-1])[:, -positions:]).reshape(x.shape).float()
        if given.mel is None:
            return out
        return to_velocity(given.mel + out, x, torch.full((batch,), time, device=x.device))


def gains_of(decoder: Decoder, times: Sequence[float], device: torch.device) -> Tensor:
    """The gains of every norm at these times, [times, 2 n + 1, H] float32 for n blocks."""
    moments = torch.tensor(times, device=device, dtype=torch.float32)
    embedded = decoder.diff_step_mlp(time_embedding(moments, decoder.in_linear.out_features))
    blocks = [cast(Block, layer) for layer in decoder.layers]
    norms = [norm for block in blocks for norm in (block.input_layernorm, block.post_attention_layernorm)]
    timed = [cast(TimedRMSNorm, norm) for norm in (*norms, decoder.norm)]
    return torch.stack([norm.to_weight(embedded) for norm in timed], dim=1).float()


def packed(given: Conditioning) -> Tensor:
    """What a branch adds to the noisy mel, with its text before it: [B, L + P, H] float32."""
    if given.text is None:
        return given.frames.float()
    return torch.cat([given.text, given.frames], dim=1).float()


def insert(start: Tensor, noisy: Tensor) -> Tensor:
    """Add the embedded mel [B, P, H] to the last P of [B, L + P, H] -> packed [B (L + P), H]."""
    letters = start.shape[1] - noisy.shape[1]
    if not letters:
        return (start + noisy).flatten(0, 1)
    return torch.cat([start[:, :letters], start[:, letters:] + noisy], dim=1).flatten(0, 1)


def span_of(given: Conditioning) -> Span:
    """Which rows of a branch attend to each other."""
    batch, positions = given.frames.shape[:2]
    letters = 0 if given.text is None else given.text.shape[1]
    return Span.of(batch, letters + positions, given.rotary, given.mask)


def merged(spans: Sequence[Span]) -> list[Span]:
    """The spans of two branches as one where they have the same size, otherwise as they are."""
    if len(spans) == 1 or spans[0].size != spans[1].size or any(len(span.rotary[0]) > 1 for span in spans):
        return list(spans)
    first, second = spans
    if (first.mask is None) != (second.mask is None):
        return list(spans)
    mask = None if first.mask is None or second.mask is None else torch.cat([first.mask, second.mask])
    return [Span(first.batch + second.batch, first.size, first.rotary, mask)]
