"""Speaking with a causal language model: transformers' `generate` with its cache of keys and values, kept to codes and
to lengths."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tadicodec.config import MOST_GUIDANCE, WIDEST_CODE
from tadicodec.errors import InputError
from tadicodec.guards.fields import require_positive, require_sizes
from tadicodec.tts.autoregressive import lay_out
from tadicodec.tts.script import Script
from tadicodec.tts.vocabulary import Vocabulary

SHORTEST, LONGEST = 0.5, 1.5  # of the estimated length
SPARE = 6  # tokens
LOWEST_TEMPERATURE = 1e-3  # temperature; logits divided by less overflow
LOOPS = {1: 10, 2: 5, 3: 4, 4: 3, 5: 3, 6: 3, 7: 3, 8: 3}  # period in tokens: how often it may be said in a row


@dataclass(frozen=True)
class ArSampling:
    """How an autoregressive model draws its codes; the defaults are the published ones.

    Raises:
        InputError: a value out of range.
    """

    top_k: int = 50
    top_p: float = 0.98
    temperature: float = 1.0

    def __post_init__(self) -> None:
        require_sizes("sampling", self, 1 << WIDEST_CODE, "top_k")
        require_positive("sampling", self, "top_p", "temperature")
        if self.top_p > 1 or not LOWEST_TEMPERATURE <= self.temperature <= MOST_GUIDANCE:
            raise InputError(
                f"config: sampling top_p is above 0 and at most 1, temperature {LOWEST_TEMPERATURE} to {MOST_GUIDANCE}"
            )


@torch.inference_mode()
def generate_codes(
    lm: Any, vocabulary: Vocabulary, script: Script, prompt: Tensor, sampling: ArSampling, generator: torch.Generator
) -> Tensor:
    """The new codes [T] for a script, drawn behind those of the prompt [P]."""
    ids, positions = lay_out(vocabulary, script.ids, prompt, script.starts)
    shortest, longest = limits(script)
    given = {"input_ids": ids[None].to(lm.device), "attention_mask": torch.ones(1, len(ids), device=lm.device)}
    if script.starts is not None:
        given["position_ids"] = positions[None].to(lm.device)
    keep = KeepSpeaking(vocabulary, len(ids), shortest)
    with torch.random.fork_rng([lm.device] if lm.device.type == "cuda" else []):
        torch.manual_seed(int(torch.randint(2**62, (1,), generator=generator)))
        out = lm.generate(
            **given,
            logits_processor=[keep],
            do_sample=True,
            max_new_tokens=longest,
            eos_token_id=list(vocabulary.ends),
            pad_token_id=vocabulary.ends[0],
            top_k=sampling.top_k,
            top_p=sampling.top_p,
            temperature=sampling.temperature,
        )
    said = keep.places[out[0, len(ids) :].cpu()]
    return said[said >= 0]


def limits(script: Script) -> tuple[int, int]:
    """The fewest and the most new tokens; a length that the caller has chosen is kept exactly."""
    if script.fixed:
        return script.tokens, script.tokens
    return max(math.floor(SHORTEST * script.tokens), 1), math.ceil(LONGEST * script.tokens) + SPARE


class KeepSpeaking:
    """A logits processor: it allows only codes and, from the fewest tokens on, the end, and keeps the model from going
    round in circles."""

    def __init__(self, vocabulary: Vocabulary, begin: int, shortest: int) -> None:
        self.codes, self.ends = vocabulary.entries, torch.tensor(vocabulary.ends)
        self.begin, self.shortest = begin, shortest
        self.places = torch.full((vocabulary.size,), -1)  # token id -> code
        self.places[self.codes] = torch.arange(len(self.codes))

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """input_ids [1, S], scores [1, vocabulary] -> scores with -inf for what is not allowed."""
        allowed = torch.full_like(scores, -torch.inf)
        columns = self.codes
        if input_ids.shape[1] - self.begin >= self.shortest:
            columns = torch.cat([self.codes, self.ends])
        columns = columns.to(scores.device)
        allowed[:, columns] = scores[:, columns]
        for token in looping(input_ids[0, self.begin :].tolist()):
            allowed[:, token] = -torch.inf
        return allowed


def looping(tokens: list[int]) -> set[int]:
    """Codes that would take up once more what has just been said several times in a row."""
    found = set()
    for period, times in LOOPS.items():
        tail = tokens[-period * times :]
        if len(tail) == period * times and tail == tail[:period] * times:
            found.add(tail[0])
    return found
