"""What is to be said and when: the prompt's text, the new text, and where each character stands on the time axis."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tadicodec.tts.duration import LEAST, Durations, by_bytes, plausible, speaking_rate, to_starts
from tadicodec.tts.text_reader import BYTES

USUAL = 0.42  # tokens a byte of English read aloud, 15 letters a second; only where a prompt says nothing better
SPACE = 0x20


@dataclass(frozen=True)
class Script:
    """What a model is asked to say.

    ids [L] of the prompt's text and the new one; starts [L], the token at which each begins, the prompt's first (None:
    the model does not ask); tokens of the new speech; fixed: whether the caller has chosen them.
    """

    ids: Tensor
    starts: Tensor | None
    tokens: int
    fixed: bool = False


def chat_script(ids: list[int], text: str, prompt_text: str, prompt_tokens: int, tokens: int | None) -> Script:
    """The script for models that read a chat message and are told no times."""
    length = tokens or by_bytes(text, prompt_text, prompt_tokens, USUAL)
    return Script(torch.tensor(ids), None, length, tokens is not None)


@torch.inference_mode()
def timed_script(
    durations: Durations, text: list[int], prompt_text: list[int], prompt_tokens: int, tokens: int | None
) -> Script:
    """The script for models that are told times: byte ids of both texts, spoken one after the other at the prompt's
    rate."""
    new = plausible(predict(durations, text), torch.tensor(text))
    if not prompt_text:
        length = tokens or max(round(float(new.sum())), LEAST)
        starts = prompt_tokens + to_starts(new, length)
        return Script(torch.tensor(text), starts, length, tokens is not None)
    old = predict(durations, prompt_text)
    length = tokens or max(round(float(new.sum()) * speaking_rate(old, prompt_tokens)), LEAST)
    ids, starts = joined(
        (torch.tensor(prompt_text), to_starts(old, prompt_tokens)),
        (torch.tensor(text), to_starts(new, length)),
        prompt_tokens,
    )
    return Script(ids, starts, length, tokens is not None)


def predict(durations: Durations, ids: list[int]) -> Tensor:
    """Durations [L + 1] of byte ids, in tokens."""
    device = durations.out.weight.device
    return durations(torch.tensor([ids], device=device), torch.tensor([len(ids)], device=device))[0].cpu()


def joined(first: tuple[Tensor, Tensor], second: tuple[Tensor, Tensor], tokens: int) -> tuple[Tensor, Tensor]:
    """ids and starts of two utterances that are said in a row, with a space between them; the first takes `tokens`."""
    ids = torch.cat([first[0], torch.tensor([SPACE]), second[0]])
    return ids, torch.cat([first[1], torch.tensor([float(tokens)]), second[1] + tokens])


def reads_bytes(style: str) -> bool:
    """Whether models of this text style read bytes."""
    return style == BYTES
