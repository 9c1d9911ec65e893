"""The model and the speaker prompt that the options ask for."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tadicodec.cli.transcripts import given_text, sidecar_text
from tadicodec.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from tadicodec.codec import Codec
    from tadicodec.speech import Prompt


@dataclass(frozen=True)
class Sampling:
    """How to decode; None is the model's own default."""

    steps: int | None
    guidance: float | None
    seed: int

    def keywords(self) -> dict[str, Any]:
        """Arguments for `Codec.decode`, with a fresh generator."""
        import torch

        generator = torch.Generator().manual_seed(self.seed)
        return {"steps": self.steps, "guidance": self.guidance, "generator": generator}


@dataclass(frozen=True)
class Voice:
    """What --prompt names: wave [N] at `sample_rate` and the words in it. Read before the model is loaded."""

    wave: np.ndarray
    sample_rate: int
    text: str


def read_voice(args: argparse.Namespace) -> Voice | None:
    """Read the file of --prompt and its text. Raises InputError."""
    if args.prompt is None:
        if args.prompt_text is not None:
            raise InputError("--prompt-text needs --prompt, the wave it belongs to")
        return None
    from tadicodec.audio.files import read_audio

    wave, sample_rate = read_audio(args.prompt)
    text = given_text(args.prompt_text)
    if text is None:
        text = sidecar_text(Path(args.prompt)) or ""
    return Voice(wave, sample_rate, text)


def load_codec(args: argparse.Namespace) -> Codec:
    """The model of --model on --device in --dtype. Raises InputError."""
    import torch

    from tadicodec.codec import Codec

    return Codec.from_pretrained(args.model, device=find_device(args.device), dtype=getattr(torch, args.dtype))


def make_prompt(codec: Codec, voice: Voice | None) -> Prompt | None:
    """The prompt as this model wants it. Raises InputError."""
    return None if voice is None else codec.prompt(voice.wave, voice.sample_rate, text=voice.text)


def find_device(name: str | None) -> str:
    """A device that works here; without a name the GPU if there is one. Raises InputError."""
    import torch

    if name is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.zeros(1, device=name).cpu()
    except (RuntimeError, AssertionError, NotImplementedError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"device {name} cannot be used here ({reason}); try --device cpu") from error
    return name
