"""How long text takes to say: a small network, or the published rule of three on bytes.

A text of L ids has L + 1 durations, in tokens: the silence before it, then each character up to the start of the next.
Their running sum says where on the time axis of the speech every character stands.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tadicodec.model.lengths import valid
from tadicodec.model.transformer import Block, BlockConfig, key_mask, normalise, rotary_tables

HEAD_SIZE = 32
LAYERS = 2
SLACK = 0.25  # tokens added before taking logarithms: the aligner's resolution
STEADY = 10.0  # tokens of a prompt at which half of its speaking rate is believed
FASTEST, SLOWEST = 0.6, 1.6  # times the usual length
LEAST = 2  # tokens
SHORT = 24  # bytes
LONGEST_LETTER, LONGEST_PAUSE = 1.0, 1.5  # tokens, in short texts
PAUSES = tuple(b".,;:!?-")


class Durations(nn.Module):
    """A network that predicts how long each character of a text [B, L] takes to say."""

    def __init__(self, vocabulary: int, size: int) -> None:
        super().__init__()
        self.head_size = min(HEAD_SIZE, size)
        block = BlockConfig(size, size // self.head_size, 2 * size)
        self.embedding = nn.Embedding(vocabulary + 1, size)  # the last one is the beginning
        self.layers = nn.ModuleList(Block(block) for _ in range(LAYERS))
        self.out = nn.Linear(size, 1)

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """ids [B, L], lengths [B] -> durations [B, L + 1] in tokens, above 0, zeros behind an item's own text."""
        ids = F.pad(ids, (1, 0), value=self.embedding.num_embeddings - 1)
        there = valid(lengths + 1, ids.shape[1])
        x = self.embedding(ids)
        rotary = rotary_tables(torch.arange(ids.shape[1], device=ids.device)[None], self.head_size)
        for layer in self.layers:
            x = layer(x, rotary, key_mask(there))
        return F.softplus(self.out(normalise(x))[..., 0].float()) * there


def duration_loss(predicted: Tensor, text_lengths: Tensor, starts: Tensor, tokens: Tensor) -> Tensor:
    """The loss of predicted durations [B, L + 1], a scalar.

    starts [B, L]: where characters begin, in tokens (negative: unknown). tokens [B]: length of the speech. Characters
    are compared after the prediction is scaled to the speech's own length, because the speaking rate is the speaker's
    (known from the prompt), not the text's; the total is compared as it is.
    """
    total = predicted.sum(1).clamp(min=1e-3)
    rate = (tokens / total).detach()[:, None]
    there = valid(text_lengths + 1, predicted.shape[1])
    known = there & (starts[:, :1] >= 0) if starts.shape[1] else torch.zeros_like(there)
    error = ((predicted * rate + SLACK).log() - (to_durations(starts, text_lengths, tokens) + SLACK).log()).abs()
    shape = (error * known).sum() / known.sum().clamp(min=1)
    return shape + (total.log() - tokens.clamp(min=1).log()).abs().mean()


def to_durations(starts: Tensor, text_lengths: Tensor, tokens: Tensor) -> Tensor:
    """starts [B, L] -> durations [B, L + 1] that sum to tokens [B], with zeros behind an item's own text."""
    size = starts.shape[1]
    there = valid(text_lengths, size)
    edges = torch.where(there, starts.float(), tokens[:, None].float())
    edges = F.pad(edges, (1, 0))  # speech begins at 0
    edges = torch.cat([edges, tokens[:, None].float()], dim=1)
    return edges.diff(dim=1).clamp(min=0)


def plausible(durations: Tensor, ids: Tensor) -> Tensor:
    """Durations [L + 1] of a text of bytes ids [L]; in a short one, letters and pauses that nobody holds so long are
    shortened.

    Models that have heard sentences stretch a word that stands alone: a stop behind "yes" made it 1.6 s long.
    """
    if not 0 < len(ids) <= SHORT:
        return durations
    most = torch.full_like(durations, LONGEST_LETTER)
    pauses = torch.isin(ids, torch.tensor(PAUSES))
    most[1:][pauses] = LONGEST_PAUSE
    most[1:-1][pauses[1:]] = LONGEST_PAUSE  # the letter before a stop holds the silence that follows it
    return torch.minimum(durations, most)


def to_starts(durations: Tensor, tokens: float) -> Tensor:
    """durations [L + 1] -> starts [L], all stretched so that the speech takes `tokens`."""
    scaled = durations * (tokens / durations.sum().clamp(min=1e-6))
    return scaled.cumsum(0)[:-1]


def even_starts(count: int, tokens: float) -> Tensor:
    """Starts [count] of characters that are spread evenly over so many tokens."""
    return torch.arange(count, dtype=torch.float32) * (tokens / max(count, 1))


def speaking_rate(durations: Tensor, tokens: int) -> float:
    """How much longer than usual a prompt of `tokens` takes for its text with these durations [L + 1]; 1 without text.

    A short prompt says little about the rate, so it is believed only in part.
    """
    usual = float(durations.sum())
    if len(durations) < 2 or usual <= 0:
        return 1.0
    return min(max((tokens / usual) ** (tokens / (tokens + STEADY)), FASTEST), SLOWEST)


def by_bytes(text: str, prompt_text: str, prompt_tokens: int, usual: float) -> int:
    """The length of a text in tokens by the published rule: the prompt's tokens x bytes of the text / bytes of the
    prompt's text.

    usual: tokens a byte, taken where the prompt's text is unknown or so short that the rule would run away.
    """
    size, known = len(text.encode()), len(prompt_text.encode())
    rate = prompt_tokens / known if known else usual
    rate = min(max(rate, usual * FASTEST), usual / FASTEST) if known < 20 else rate
    return max(round(size * rate), LEAST)


def text_times(predicted: Tensor, starts: Tensor, tokens: Tensor) -> Tensor:
    """Where characters begin [B, L]: `starts` where they are known, otherwise as predicted [B, L + 1] for a speech of
    tokens [B]."""
    guess = predicted.detach() * (tokens / predicted.detach().sum(1).clamp(min=1e-6))[:, None]
    return torch.where(starts[:, :1] >= 0, starts, guess.cumsum(1)[:, :-1])


def in_bins(starts: Tensor, text_lengths: Tensor, sizes: Tensor) -> Tensor:
    """starts [B, L] of which only the bin is known, of so many tokens, sizes [B] (0: all is known).

    What begins in a bin is spread evenly over it, much as a squeezed file tells times (`entropy/timing.py`). What
    begins before 0 or behind the text, text_lengths [B], stays as it is.
    """
    starts = starts.clone()
    for row, (count, size) in enumerate(zip(text_lengths.tolist(), sizes.tolist())):
        own = starts[row, :count]
        if not size or not count or float(own.min()) < 0:
            continue
        bins = torch.floor(own / size)
        _, which, counts = torch.unique_consecutive(bins, return_inverse=True, return_counts=True)
        place = torch.arange(count, device=own.device) - (counts.cumsum(0) - counts)[which]
        starts[row, :count] = (bins + (place + 0.5) / counts[which]) * size
    return starts
