"""When each character of a known text is said, found by the receiver from the codes alone.

A small CTC network reads the quantized sequence (SiTok trains one beside its codec, with weight 0.1). Aligning a given
text to its output needs far less certainty than recognising an unknown one, and costs no bits. The decoder then sees
every character where it is spoken, so it need not learn to align by attention first.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tadicodec.model.convolution import Convolution, run_conformer
from tadicodec.model.transformer import Block, BlockConfig, normalise

STEPS_PER_TOKEN = 4  # 6.25 Hz -> 25 Hz: more steps than spoken letters


class Aligner(nn.Module):
    """A network that says, for each quarter of a token [B, 4 T], which character is spoken there; where `convolved`,
    with a convolution behind every block."""

    def __init__(self, dims: int, block: BlockConfig, layers: int, vocabulary: int, convolved: bool = False) -> None:
        super().__init__()
        self.head_size = block.hidden_size // block.num_heads
        self.spread = nn.Linear(dims, block.hidden_size * STEPS_PER_TOKEN)
        self.layers = nn.ModuleList(Block(block) for _ in range(layers))
        self.conformer = nn.ModuleList(Convolution(block.hidden_size) for _ in range(layers if convolved else 0))
        self.out = nn.Linear(block.hidden_size, vocabulary + 1)  # the blank comes last
        nn.init.zeros_(self.out.weight)  # until it knows how often letters come it has nothing to tell the encoder

    def forward(self, quantized: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Quantized vectors [B, T, 14], lengths [B] tokens -> logits [B, 4 T, vocabulary + 1]."""
        x = self.spread(quantized).unflatten(-1, (STEPS_PER_TOKEN, -1)).flatten(1, 2)
        steps = None if lengths is None else lengths * STEPS_PER_TOKEN
        return self.out(normalise(run_conformer(self.layers, self.conformer, x, steps, self.head_size)))


@torch.no_grad()
def forced_alignment(
    logits: Tensor, steps: Tensor, text_ids: Tensor, text_lengths: Tensor, *, whole: bool = True
) -> Tensor:
    """The most probable path of CTC through a known text (Viterbi; Graves et al. 2006).

    logits [B, S, V + 1] with the blank last, steps [B], text_ids [B, L], text_lengths [B] -> the step [B, L] at which
    each character is first emitted. Steps never fall, and are `S` behind an item's own text. A text too long for its
    steps is spread evenly. With `whole` off the speech may end before the text does; what is not spoken is at `S`, too.
    """
    states, emission = emissions(logits.float(), text_ids)
    alpha, moves = viterbi(emission, may_skip(states, logits.shape[-1] - 1), steps)
    rows = torch.arange(len(steps), device=steps.device)
    last = 2 * text_lengths
    before = (last - 1).clamp(min=0)
    state = torch.where(alpha[rows, before] > alpha[rows, last], before, last)
    if not whole:
        own = torch.arange(alpha.shape[1], device=alpha.device) <= last[:, None]
        state = alpha.masked_fill(~own, -torch.inf).argmax(1)
    possible = torch.isfinite(alpha[rows, state])
    size = logits.shape[1]
    times = torch.full((len(steps), text_ids.shape[1] + 1), float(size), device=logits.device)
    for step in range(size - 1, -1, -1):  # overwritten while going back, so the first emission stays
        spoken = (state % 2 == 1) & (step < steps)
        times[rows, torch.where(spoken, state // 2, text_ids.shape[1])] = float(step)
        state = state - moves[step][rows, state]
    times = times[:, :-1]
    letters = torch.arange(text_ids.shape[1], device=logits.device)[None]
    even = letters * (steps / text_lengths.clamp(min=1))[:, None]
    return torch.where(letters < text_lengths[:, None], torch.where(possible[:, None], times, even), float(size))


def emissions(logits: Tensor, text_ids: Tensor) -> tuple[Tensor, Tensor]:
    """States (blank, first character, blank, ...) [B, 2 L + 1] and their log-probabilities [B, S, 2 L + 1]."""
    blank = logits.shape[-1] - 1
    states = torch.full((text_ids.shape[0], 2 * text_ids.shape[1] + 1), blank, device=logits.device)
    states[:, 1::2] = text_ids
    return states, logits.log_softmax(-1).gather(2, states[:, None].expand(-1, logits.shape[1], -1))


def may_skip(states: Tensor, blank: int) -> Tensor:
    """Where the path may jump over a blank, bool [B, 2 L + 1]: onto a character that differs from the one before."""
    before = torch.nn.functional.pad(states, (2, 0), value=blank)[:, :-2]
    return (states != blank) & (states != before)


def viterbi(emission: Tensor, skip: Tensor, steps: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Best scores [B, 2 L + 1] after each item's own steps, and for every step how far the path moved (0, 1 or 2)."""
    never = -torch.inf
    alpha = torch.full_like(emission[:, 0], never)
    alpha[:, :2] = emission[:, 0, :2]
    moves = [torch.zeros_like(alpha, dtype=torch.long)]
    padded = torch.nn.functional.pad
    for step in range(1, emission.shape[1]):
        one = padded(alpha, (1, 0), value=never)[:, :-1]
        two = padded(alpha, (2, 0), value=never)[:, :-2].masked_fill(~skip, never)
        best, move = torch.stack([alpha, one, two]).max(0)
        going = (step < steps)[:, None]
        alpha = torch.where(going, best + emission[:, step], alpha)
        moves.append(move * going)
    return alpha, moves
