"""What passes between encoder and decoder: encoded utterances and speaker prompts."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import torch
from torch import Tensor

from tadicodec.text.clean import clean

SAMPLES_PER_TOKEN = 3840  # 24 kHz / 6.25 Hz
FRAMES_PER_TOKEN = 8


@dataclass(frozen=True)
class Speech:
    """A batch of encoded utterances.

    codes   [B, T] int64, zero-padded on the right
    lengths [B] tokens of each item
    samples [B] 24 kHz samples of each original, so that decoding gives back its exact length
    text    one transcript (or None) an item
    model   name of the model that made the codes
    weights content hash of the encoder and quantizer that made them ("" if unknown)
    """

    codes: Tensor
    lengths: Tensor
    samples: Tensor
    text: tuple[str | None, ...]
    model: str = ""
    weights: str = ""
    sample_rate: int = 24000

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", tuple(text if text is None else clean(text) for text in self.text))

    def __len__(self) -> int:
        return self.codes.shape[0]

    def __getitem__(self, index: int) -> Speech:
        """One item as a batch of one, without its padding."""
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        index %= len(self)
        return Speech(
            codes=self.codes[index : index + 1, : int(self.lengths[index])],
            lengths=self.lengths[index : index + 1],
            samples=self.samples[index : index + 1],
            text=self.text[index : index + 1],
            model=self.model,
            weights=self.weights,
            sample_rate=self.sample_rate,
        )

    @property
    def seconds(self) -> Tensor:
        """[B] duration of each item."""
        return self.samples / self.sample_rate


@dataclass(frozen=True)
class Prompt:
    """A few seconds of a speaker, as the decoder wants them.

    mel   [F, 128] clean normalised log-mel, F = 8 T
    codes [T] the same seconds as tokens
    text  what is said in them ("" if unknown)
    weights content hash of the encoder and quantizer that made the codes ("" if unknown)
    """

    mel: Tensor
    codes: Tensor
    text: str = ""
    weights: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", clean(self.text))

    @property
    def hash(self) -> str:
        """Content hash, so that a token file can name the prompt it was made for."""
        digest = hashlib.sha256(self.mel.detach().cpu().float().numpy().tobytes())
        digest.update(self.codes.cpu().to(torch.int64).numpy().tobytes())
        digest.update(self.text.encode())
        return digest.hexdigest()[:16]
