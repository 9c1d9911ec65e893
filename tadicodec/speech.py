"""What passes between encoder and decoder: encoded utterances and speaker prompts."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tadicodec.errors import InputError
from tadicodec.guards import arguments
from tadicodec.text.clean import clean

Codes = Tensor | np.ndarray | Sequence[Any]  # integers [T] or [B, T], or a list of [T_i]
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
        for name, axes in (("codes", 2), ("lengths", 1), ("samples", 1)):
            value = getattr(self, name)
            if not isinstance(value, Tensor) or value.ndim != axes or value.is_floating_point():
                raise InputError(
                    f"{name} of a Speech is an integer tensor of {axes} axes, not {arguments.described(value)}; "
                    "Speech.from_codes makes one from codes alone"
                )
        if not isinstance(self.text, tuple):
            raise InputError(f"text of a Speech is a tuple of strings or None, not {arguments.described(self.text)}")
        texts = arguments.texts(self.text, len(self.text))
        object.__setattr__(self, "text", tuple(text if text is None else clean(text) for text in texts))

    @classmethod
    def from_codes(
        cls,
        codes: Codes,
        text: str | None | Sequence[str | None] = None,
        lengths: Tensor | np.ndarray | Sequence[int] | None = None,
    ) -> Speech:
        """Codes alone, such as a language model makes them, as something to decode, write or stream.

        codes: integers [T] or [B, T] in a tensor or an array, or a list with [T_i] for each utterance. text: what is
        said, one string or None for all, or one an utterance. lengths: [B] tokens of each utterance, without padding;
        None: every utterance is as long as its row. The result says nothing of the model that made the codes, and
        counts 3,840 samples (0.16 s) for each of them.

        Raises:
            InputError: codes that are not integers or not of these shapes, negative codes, lengths or texts that do
                not fit them.
        """
        rows, counts = code_rows(codes, lengths)
        return cls(rows, counts, counts * SAMPLES_PER_TOKEN, arguments.texts(text, len(rows)))

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


def to_speech(
    speech: Speech | Codes,
    text: str | None | Sequence[str | None] = None,
    lengths: Tensor | np.ndarray | Sequence[int] | None = None,
) -> Speech:
    """A Speech as it is, or what `Speech.from_codes` makes of codes. Raises InputError."""
    if not isinstance(speech, Speech):
        return Speech.from_codes(speech, text, lengths)
    if text is not None or lengths is not None:
        raise InputError("text and lengths are for codes alone; a Speech has its own")
    return speech


def code_rows(codes: Any, lengths: Any) -> tuple[Tensor, Tensor]:
    """What `Speech.from_codes` takes -> codes [B, T] int64, zeros behind each row's own, and lengths [B]."""
    if isinstance(codes, (list, tuple)) and any(not isinstance(code, (int, np.integer)) for code in codes):
        if lengths is not None:
            raise InputError("codes in a list of utterances have their own lengths; leave lengths out")
        rows = [integers(row, 1) for row in codes]
        padded = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
        return padded, counted([len(row) for row in rows], padded)
    found = integers(codes, 2)
    found = found[None] if found.ndim == 1 else found
    counts = counted([found.shape[1]] * len(found) if lengths is None else lengths, found)
    inside = torch.arange(found.shape[1]) < counts[:, None]
    if bool((found[inside] < 0).any()):
        raise InputError("codes hold negative numbers; give lengths where a row is padded")
    return torch.where(inside, found, 0), counts


def counted(lengths: Any, codes: Tensor, unit: str = "codes") -> Tensor:
    """lengths [B] int64 of rows [B, T, ...]. Raises InputError unless each is from 1 to T."""
    counts = integers(lengths, 1, "lengths")
    if counts.shape != codes.shape[:1]:
        raise InputError(f"{len(counts)} lengths for {len(codes)} rows of {unit}; give one for each")
    if int(counts.min()) < 1 or int(counts.max()) > codes.shape[1]:
        raise InputError(
            f"lengths from {int(counts.min())} to {int(counts.max())}: with rows of {codes.shape[1]} {unit} they are 1 "
            f"to {codes.shape[1]}"
        )
    return counts


def integers(value: Any, axes: int, name: str = "codes") -> Tensor:
    """Integers with one axis, or up to `axes` of them, as an int64 tensor on the CPU. Raises InputError."""
    shapes = "[T]" if axes == 1 else "[T] or [B, T]"
    try:
        found = value.detach().cpu() if isinstance(value, Tensor) else torch.as_tensor(np.asarray(value))
    except (TypeError, ValueError, RuntimeError):
        raise InputError(f"{name} are integers {shapes}, not {arguments.described(value)}") from None
    if not found.numel():
        raise InputError(f"nothing to decode: no {name}")
    if found.is_floating_point() or found.is_complex() or found.dtype == torch.bool:
        raise InputError(f"{name} are whole numbers, not {str(found.dtype).removeprefix('torch.')}; give x.long()")
    if not 1 <= found.ndim <= axes:
        hint = "; write codes[:, 0] for [B, 1, T]" if found.ndim == 3 else ""
        raise InputError(f"{name} of shape {list(found.shape)}: give {shapes}{hint}")
    return found.to(torch.int64)
