"""From text and a prompt's codes to new codes in a few parallel steps (MaskGIT, Chang et al. 2022, as published)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from tadicodec.config import MOST_GUIDANCE, MOST_STEPS
from tadicodec.errors import InputError
from tadicodec.guards.fields import require_positive, require_sizes
from tadicodec.tts.masked import MaskedNetwork, Words


@dataclass(frozen=True)
class MaskSampling:
    """How a masked model fills in its codes.

    Raises:
        InputError: a value out of range.
    """

    steps: int = 25
    guidance: float = 1.5  # h + guidance x (h - unconditional); 0: none
    rescale: float = 0.75  # share of the result whose spread is pulled back to that of h
    temperature: float = 0.9  # of the codes, falling to 0 with t
    noise: float = 1.0  # added to the confidence, falling to 0 with t
    share: float = 0.02  # of the codebook that can be drawn, the most probable

    def __post_init__(self) -> None:
        require_sizes("sampling", self, MOST_STEPS, "steps")
        require_positive("sampling", self, "share")
        if self.share > 1 or not 0 <= self.rescale <= 1:
            raise InputError("config: sampling needs share and rescale in 0 to 1")
        if not all(0 <= value <= MOST_GUIDANCE for value in (self.guidance, self.temperature, self.noise)):
            raise InputError(f"config: sampling guidance, temperature and noise are 0 to {MOST_GUIDANCE}")


@torch.inference_mode()
def sample_masked(
    network: MaskedNetwork,
    prompt: Tensor,
    tokens: int,
    words: Words | None,
    sampling: MaskSampling,
    generator: torch.Generator,
) -> Tensor:
    """New codes [tokens].

    prompt [P]: the prompt's codes (P may be 0). words: the prompt's text and the new one's, as one item.
    """
    device = network.mask_emb.weight.device
    codes = torch.zeros(tokens, dtype=torch.long)
    masked = torch.ones(tokens, dtype=torch.bool)
    output = network.output()
    for step in range(sampling.steps):
        time, last = 1 - step / sampling.steps, step == sampling.steps - 1
        known = prompt.to(device), codes.to(device), masked.to(device)
        hidden = guided(network, *known, words, time=time, sampling=sampling)
        logits = keep_likely(network.logits(hidden, output).float().cpu(), sampling.share)
        drawn = logits.argmax(-1) if last else draw(logits, sampling.temperature * time, generator)
        codes = torch.where(masked, drawn, codes)
        sure = logits.softmax(-1).gather(-1, drawn[:, None])[:, 0] + sampling.noise * time * gumbel(drawn, generator)
        left = math.floor(mask_share(1 - (step + 1) / sampling.steps) * tokens)
        if left == 0 or last:
            break
        again = sure.masked_fill(~masked, torch.inf).topk(min(left, int(masked.sum())), largest=False).indices
        masked = torch.zeros_like(masked).scatter(0, again, True)
    return codes


def mask_share(time: float) -> float:
    """The share of the tokens that is still masked at a time from 0 to 1."""
    return math.sin(math.pi / 2 * time)


def guided(
    network: MaskedNetwork,
    prompt: Tensor,
    codes: Tensor,
    masked: Tensor,
    words: Words | None,
    *,
    time: float,
    sampling: MaskSampling,
) -> Tensor:
    """Hidden states [T, H] of the new tokens. Guidance compares with the new tokens alone, without text and prompt."""
    whole = torch.cat([prompt, codes])[None]
    hide = torch.cat([torch.zeros_like(prompt, dtype=torch.bool), masked])[None]
    times = torch.full((1,), time, device=codes.device)
    hidden = network.hidden(network.embed(whole, hide), times, words)[0, len(prompt) :]
    if sampling.guidance == 0:
        return hidden
    alone = network.hidden(network.embed(codes[None], masked[None]), times, None)[0]
    moved = hidden + sampling.guidance * (hidden - alone)
    matched = moved * (hidden.std() / moved.std())
    return sampling.rescale * matched + (1 - sampling.rescale) * moved


def keep_likely(logits: Tensor, share: float) -> Tensor:
    """Logits [T, codes] with -inf for all but the top `share` of the codebook."""
    count = max(math.ceil(share * logits.shape[-1]), 1)
    values, places = logits.topk(count, dim=-1)
    return torch.full_like(logits, -torch.inf).scatter(-1, places, values)


def draw(logits: Tensor, temperature: float, generator: torch.Generator) -> Tensor:
    """Logits [T, codes] -> codes [T], drawn at this temperature."""
    return (logits / max(temperature, 1e-10) + gumbel(logits, generator)).argmax(-1)


def gumbel(like: Tensor, generator: torch.Generator) -> Tensor:
    """Gumbel noise in the shape of `like`."""
    uniform = torch.rand(like.shape, generator=generator)
    return -torch.log(-torch.log(uniform.clamp(1e-20, 1 - 1e-7)))
