"""Clips to the tensors that a training step takes."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tadicodec.data.features import Clip, Features
from tadicodec.data.hearing import Heard, Hearing
from tadicodec.text.normalize import letters_only, to_letters
from tadicodec.text.tokens import TextTokenizer

SPEAKERS = 8192  # numbers that speakers get; a few share one, and none changes as a corpus grows


@dataclass(frozen=True)
class Collator:
    """Makes batches of whole clips, for the codec.

    A batch holds ids, mel [B, F, 128], lengths [B], bandwidth [B], speaker [B] (a number, -1 for a changed voice),
    text_ids [B, L], text_lengths [B], letters [B, K] that a transcriber should write, letter_lengths [B] and, with
    `hearing`, what the encoder hears, heard [B, F, 128].
    """

    features: Features
    tokenizer: TextTokenizer
    bare_text: float = 0.0  # probability that a text comes as a transcriber would write it, without punctuation
    hearing: Hearing | None = None  # None: every clip as it is

    def __call__(self, indices: list[int], generator: torch.Generator) -> dict[str, Any]:
        """The batch of the clips with these numbers."""
        clips = [self.features.clips[i] for i in indices]
        heard = [self.hear(clip, generator) for clip in clips]
        mels = [torch.from_numpy(item.target) for item in heard]
        bare = (torch.rand(len(clips), generator=generator) < self.bare_text).tolist()
        texts = [
            torch.tensor(self.tokenizer.encode(letters_only(clip.text) if plain else clip.text), dtype=torch.long)
            for clip, plain in zip(clips, bare)
        ]
        letters = [torch.tensor(to_letters(clip.text), dtype=torch.long) for clip in clips]
        return {
            "ids": [clip.id for clip in clips],
            "letters": pad(letters),
            "letter_lengths": torch.tensor([len(item) for item in letters]),
            "mel": pad(mels),
            "lengths": torch.tensor([len(mel) for mel in mels]),
            "bandwidth": torch.tensor([item.bandwidth for item in heard]),
            "speaker": torch.tensor([-1 if h.changed else number_of(c.speaker) for c, h in zip(clips, heard)]),
            "text_ids": pad(texts),
            "text_lengths": torch.tensor([len(text) for text in texts]),
            **({} if self.hearing is None else {"heard": pad([torch.from_numpy(item.mel) for item in heard])}),
        }

    def hear(self, clip: Clip, generator: torch.Generator) -> Heard:
        """How a clip is heard this time."""
        if self.hearing is not None:
            return self.hearing(clip, generator)
        mel = self.features.mel(clip)
        return Heard(mel, mel, clip.bandwidth, changed=False)


def number_of(speaker: str) -> int:
    """A number for a speaker that depends on the name alone."""
    return zlib.crc32(speaker.encode()) % SPEAKERS


@dataclass(frozen=True)
class CropCollator:
    """Makes batches of crops of equal length, for the vocoder: wave [B, N], the whole clip's mel there [B, F, 128],
    bandwidth [B]."""

    features: Features
    frames: int
    hop: int = 480

    def __call__(self, indices: list[int], generator: torch.Generator) -> dict[str, Any]:
        """The batch of crops of the clips with these numbers."""
        clips = [self.features.clips[i] for i in indices]
        draws = torch.rand(len(clips), generator=generator).tolist()
        mels, waves = [], []
        for clip, draw in zip(clips, draws):
            first = int(draw * (clip.frames - self.frames + 1))
            mels.append(torch.from_numpy(self.features.mel(clip)[first : first + self.frames]))
            waves.append(torch.from_numpy(self.features.wave(clip, first, self.frames, self.hop)))
        return {
            "mel": torch.stack(mels),
            "wave": torch.stack(waves),
            "lengths": torch.full((len(clips),), self.frames),
            "bandwidth": torch.tensor(np.array([clip.bandwidth for clip in clips])),
        }


def pad(items: list[Tensor]) -> Tensor:
    """Right-pad with zeros: list of [L, ...] -> [B, max L, ...]."""
    return torch.nn.utils.rnn.pad_sequence(items, batch_first=True)
