"""Utterances of a token corpus to the tensors on which a speech language model is trained."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tadicodec.data.collate import pad
from tadicodec.data.shards import TokenCorpus
from tadicodec.guards.fields import require_positive, require_range
from tadicodec.text.normalize import LETTERS
from tadicodec.tts.model_config import TtsConfig
from tadicodec.tts.script import joined
from tadicodec.tts.text_reader import BYTES, GLUE, TextReader

ASCII = 128
UNKNOWN = -1.0  # start of a character nobody knows


@dataclass(frozen=True)
class TokenData:
    """The `data` section of a speech language model's recipe."""

    corpus: str = ""  # folder made by `tadicodec tokenize`
    tokens: int = 5000  # the most padded tokens of a step and process, text and speech together where a model reads
    # both in a row; an utterance counts as if the longest other one stood before it
    min_tokens: int = 3  # of speech
    max_tokens: int = 160
    pair: float = 0.5  # probability that another utterance of the speaker goes before, as a prompt will
    pair_tokens: int = 48  # the longest such utterance
    bare_text: float = 0.3  # probability of its text without punctuation, as the codec's transcriber would write it
    train_split: str = "train"
    valid_split: str = "valid"

    def __post_init__(self) -> None:
        require_positive("data", self, "tokens", "min_tokens", "max_tokens", "pair_tokens")
        require_range("data", self, 0, 1, "pair", "bare_text")

    @property
    def frames(self) -> int:
        """The size of a batch, under the name that all data sections share."""
        return self.tokens


@dataclass(frozen=True)
class Line:
    """One training sequence: ids [L], codes [T], starts [L] (negative: unknown), and how many tokens of a prompt stand
    at its front."""

    ids: Tensor
    codes: Tensor
    starts: Tensor
    prompt: int = 0


class TokenCollator:
    """Makes batches of utterances, some of them behind another one of their speaker.

    A batch holds codes [B, T], lengths [B], text_ids [B, L], text_lengths [B], starts [B, L] (negative: unknown) and
    prompts [B], the tokens of the one before.
    """

    def __init__(self, corpus: TokenCorpus, reader: TextReader, config: TtsConfig, data: TokenData) -> None:
        self.corpus, self.reader, self.data = corpus, reader, data
        self.style, self.glue = config.text, GLUE[config.engine]
        self.partners: dict[str, list[int]] = defaultdict(list)
        for index, (speaker, tokens) in enumerate(zip(corpus.speakers, corpus.tokens)):
            if tokens <= data.pair_tokens:
                self.partners[speaker].append(index)

    def __call__(self, indices: list[int], generator: torch.Generator) -> dict[str, Any]:
        """The batch of the utterances with these numbers."""
        draws = torch.rand(3, len(indices), generator=generator, dtype=torch.float64).tolist()
        lines = [self.line(index, *draw) for index, *draw in zip(indices, *draws)]
        return {
            "codes": pad([line.codes for line in lines]),
            "lengths": torch.tensor([len(line.codes) for line in lines]),
            "text_ids": pad([line.ids for line in lines]),
            "text_lengths": torch.tensor([len(line.ids) for line in lines]),
            "starts": pad([line.starts for line in lines]),
            "prompts": torch.tensor([line.prompt for line in lines]),
        }

    def line(self, index: int, chance: float, choice: float, bareness: float) -> Line:
        """An utterance, behind another of its speaker with the probability of the recipe."""
        own = self.corpus[index]
        others = self.partners[own.speaker]
        if chance >= self.data.pair or not others:
            return self.single(index)
        other = others[int(choice * len(others))]
        if other == index:
            return self.single(index)
        if self.style != BYTES:
            before = self.corpus[other]
            ids = torch.tensor(self.reader.encode(f"{before.text}{self.glue}{own.text}"), dtype=torch.long)
            codes = np.concatenate([before.codes, own.codes])
            return Line(ids, torch.from_numpy(codes), torch.full((len(ids),), UNKNOWN), len(before.codes))
        first, second = self.single(other), self.single(index)
        if bareness < self.data.bare_text:
            first = bare(first)
        count = len(first.codes)
        ids, starts = joined((first.ids, first.starts), (second.ids, second.starts), count)
        if min(float(line.starts.min()) if len(line.ids) else 0.0 for line in (first, second)) < 0:
            starts = torch.full((len(ids),), UNKNOWN)
        return Line(ids, torch.cat([first.codes, second.codes]), starts, count)

    def single(self, index: int) -> Line:
        """An utterance alone, as a training sequence."""
        own = self.corpus[index]
        ids = torch.tensor(self.reader.encode(own.text), dtype=torch.long)
        starts = torch.full((len(ids),), UNKNOWN)
        if self.style == BYTES and own.starts is not None and len(own.starts) == len(ids):
            starts = torch.from_numpy(own.starts)
        return Line(ids, torch.from_numpy(own.codes), starts)

    def text_length(self, index: int) -> int:
        """How many ids the text of an utterance has."""
        return len(self.reader.encode(self.corpus[index].text))


def bare(line: Line) -> Line:
    """The same sequence with a text of letters, apostrophes and single spaces only; as it is where it has letters of
    other scripts."""
    ids = line.ids.tolist()
    if any(byte >= ASCII for byte in ids):
        return line
    plain = [byte if chr(byte) in LETTERS else ord(" ") for byte in ids]
    kept = [i for i, byte in enumerate(plain) if chr(byte) != " " or (i > 0 and chr(plain[i - 1]) != " ")]
    if kept and chr(plain[kept[-1]]) == " ":
        kept.pop()
    return Line(torch.tensor([plain[i] for i in kept], dtype=torch.long), line.codes, line.starts[kept], line.prompt)
