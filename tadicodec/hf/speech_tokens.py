"""What a language model of any kind needs to speak: words for the codes, training batches, and the way back to a wave.

A sequence is the text, `<|speech_start|>`, one `<|speech_K|>` for each code, `<|speech_end|>`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from tadicodec.codec import Codec
from tadicodec.errors import InputError
from tadicodec.guards import arguments

CODE, START, END = "<|speech_{}|>", "<|speech_start|>", "<|speech_end|>"
IGNORED = -100  # a label that no loss looks at


@dataclass(frozen=True)
class SpeechVocabulary:
    """Ids of a tokenizer: of every code in order, and of the tokens before and after speech."""

    codes: tuple[int, ...]
    start: int
    end: int

    @cached_property
    def places(self) -> dict[int, int]:
        """Code of each id."""
        return {token: code for code, token in enumerate(self.codes)}

    def to_ids(self, codes: Sequence[int] | Tensor) -> list[int]:
        """Codes [T] to ids, with the start before and the end behind them. Raises InputError for other codes."""
        wanted = [int(code) for code in codes]
        if wanted and not 0 <= min(wanted) <= max(wanted) < len(self.codes):
            raise InputError(f"codes from {min(wanted)} to {max(wanted)}: this vocabulary has {len(self.codes)}")
        return [self.start, *(self.codes[code] for code in wanted), self.end]

    def to_codes(self, ids: Sequence[int] | Tensor) -> Tensor:
        """Ids, as a model generates them, to codes [T] int64, up to the end of speech; other words are passed over."""
        found = []
        for token in (int(token) for token in ids):
            if token == self.end:
                break
            if token in self.places:
                found.append(self.places[token])
        return torch.tensor(found, dtype=torch.long)


def add_speech_tokens(tokenizer: Any, model: Any = None, codebook_size: int = 16384) -> SpeechVocabulary:
    """Give a tokenizer of transformers `<|speech_0|>` and so on, those it lacks, and a model the rows for them.

    tokenizer: any; model: any causal language model, whose tables are enlarged, never made smaller; None: only the
    tokenizer. A tokenizer that has the tokens already, such as a saved one, stays as it is.

    Raises:
        InputError: a codebook without codes.
    """
    size = arguments.whole("codebook_size", codebook_size, 1)
    known = tokenizer.get_vocab()
    names = [START, END, *(CODE.format(code) for code in range(size))]
    lacking = [name for name in names if name not in known]
    if lacking:
        tokenizer.add_tokens(lacking, special_tokens=True)
    if model is not None and len(tokenizer) > model.get_input_embeddings().num_embeddings:
        model.resize_token_embeddings(len(tokenizer))
    start, end, *codes = tokenizer.convert_tokens_to_ids(names)
    return SpeechVocabulary(tuple(codes), start, end)


@dataclass(frozen=True)
class SpeechCollator:
    """Rows of a token corpus to a batch for a causal language model. Only speech counts in the loss, not its text.

    longest: tokens of a sequence; utterances that are longer are left out, and a batch of such alone is refused.
    """

    tokenizer: Any
    vocabulary: SpeechVocabulary
    longest: int = 1024

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, Tensor]:
        """Rows with `text` and `codes` -> input_ids, attention_mask and labels [B, L].

        Raises:
            InputError: no utterance is short enough.
        """
        pairs = [self.sequence(row["text"], row["codes"]) for row in rows]
        pairs = [(ids, text) for ids, text in pairs if len(ids) <= self.longest]
        if not pairs:
            raise InputError(f"no utterance of this batch is within {self.longest} tokens; raise longest")
        width = max(len(ids) for ids, _ in pairs)
        fill = self.tokenizer.pad_token_id if self.tokenizer.pad_token_id is not None else self.vocabulary.end
        ids = torch.full((len(pairs), width), fill)
        mask, labels = torch.zeros_like(ids), torch.full_like(ids, IGNORED)
        for i, (tokens, text) in enumerate(pairs):
            row = torch.tensor(tokens)
            ids[i, : len(row)], mask[i, : len(row)] = row, 1
            labels[i, text + 1 : len(row)] = row[text + 1 :]  # the text and the start are given
        return {"input_ids": ids, "attention_mask": mask, "labels": labels}

    def sequence(self, text: str, codes: Sequence[int]) -> tuple[list[int], int]:
        """Ids of an utterance, and how many of them are text."""
        words = self.tokenizer.encode(text, add_special_tokens=False)
        return words + self.vocabulary.to_ids(codes), len(words)


@torch.inference_mode()
def generate_speech(
    model: Any,
    tokenizer: Any,
    vocabulary: SpeechVocabulary,
    codec: Codec,
    text: str,
    *,
    generator: torch.Generator | None = None,
    max_new_tokens: int = 200,
    **sampling: Any,
) -> Tensor:
    """A text to a wave [N] at 24 kHz: the model writes codes, the codec decodes them with the text.

    generator: None is seed 0. max_new_tokens: codes at most, 6.25 a second. sampling: options of transformers'
    `generate`, such as do_sample, temperature, top_k.

    Raises:
        InputError: a codec with more or fewer codes than the vocabulary.
    """
    if codec.config.autoencoder.codebook_size != len(vocabulary.codes):
        raise InputError(
            f"this model has {len(vocabulary.codes)} codes, the codec {codec.config.autoencoder.codebook_size}"
        )
    generator = torch.Generator().manual_seed(0) if generator is None else generator
    ids = torch.tensor([[*tokenizer.encode(text, add_special_tokens=False), vocabulary.start]], device=model.device)
    with torch.random.fork_rng([model.device] if model.device.type == "cuda" else []):
        torch.manual_seed(int(torch.randint(2**62, (1,), generator=generator)))
        made = model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            logits_processor=[SpeechOnly(vocabulary, ids.shape[1])],
            max_new_tokens=max_new_tokens,
            eos_token_id=vocabulary.end,
            pad_token_id=vocabulary.end,
            **{"do_sample": True, **sampling},
        )
    codes = vocabulary.to_codes(made[0, ids.shape[1] :])
    return codec.decode(codes, text=text, generator=generator)[0]


class SpeechOnly:
    """A logits processor: codes, and after the first of them the end."""

    def __init__(self, vocabulary: SpeechVocabulary, begin: int) -> None:
        self.codes, self.end, self.begin = torch.tensor(vocabulary.codes), vocabulary.end, begin

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """input_ids [B, S], scores [B, vocabulary] -> scores."""
        allowed = torch.full_like(scores, -torch.inf)
        columns = self.codes.to(scores.device)
        allowed[:, columns] = scores[:, columns]
        if input_ids.shape[1] > self.begin:
            allowed[:, self.end] = scores[:, self.end]
        return allowed
