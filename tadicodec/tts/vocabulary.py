"""How codes are tokens of a language model: one entry for each code, one before speech begins, one where it ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from tadicodec.errors import InputError

START, END, CODE = "<|start_of_audio|>", "<|end_of_audio|>", "<|audio_{}|>"  # names in the published tokenizers
TURN_ENDS = ("<|im_end|>", "<|end|>")  # published models may end the turn instead
BYTE_VALUES = 256


@dataclass(frozen=True)
class Vocabulary:
    """Where codes, start and end stand in a language model's vocabulary. Any of `ends` ends speech; the first is the
    one that is trained on."""

    start: int
    ends: tuple[int, ...]
    codes: Sequence[int]

    @cached_property
    def entries(self) -> Tensor:
        """The ids of all codes, [codes]."""
        return torch.tensor(self.codes)

    @property
    def size(self) -> int:
        """The number of entries that a table needs for all of them."""
        return max(self.start, *self.ends, *self.codes) + 1


def byte_vocabulary(codes: int) -> Vocabulary:
    """UTF-8 bytes, start, end, codes: the layout of our own small models."""
    first = BYTE_VALUES + 2
    return Vocabulary(BYTE_VALUES, (BYTE_VALUES + 1,), range(first, first + codes))


def tokenizer_vocabulary(tokenizer: Any) -> Vocabulary:
    """The published layout: entries of a tokenizer, found by their names.

    Raises:
        InputError: the tokenizer has no audio tokens, or not one for every code from 0 on.
    """
    known: dict[str, int] = tokenizer.get_vocab()
    codes: list[int] = []
    while (code := known.get(CODE.format(len(codes)))) is not None:
        codes.append(code)
    count = sum(name.startswith(CODE.split("{")[0]) for name in known)
    if START not in known or not codes:
        raise InputError(f"the tokenizer has no {START} or {CODE.format(0)}: not a speech language model of this kind")
    if len(codes) != count or len(codes) & (len(codes) - 1):
        raise InputError(
            f"the tokenizer names {count} codes, {len(codes)} of them in a row from 0: not a whole codebook"
        )
    ends = [known[name] for name in (END, *TURN_ENDS) if name in known]
    if tokenizer.eos_token_id is not None:
        ends.append(tokenizer.eos_token_id)
    if not ends:
        raise InputError(f"the tokenizer has no {END} and no end of turn: speech would not end")
    return Vocabulary(known[START], tuple(dict.fromkeys(ends)), codes)


def add_codes(tokenizer: Any, codes: int) -> None:
    """Extend a text model's tokenizer by those of the published names that it lacks."""
    known = tokenizer.get_vocab()
    names = [START, END, *(CODE.format(code) for code in range(codes))]
    tokenizer.add_tokens([name for name in names if name not in known], special_tokens=True)
