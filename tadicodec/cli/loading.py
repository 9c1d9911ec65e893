"""The model and the speaker prompt that the options ask for."""

from __future__ import annotations

import argparse
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tadicodec.cli.closing import waiting
from tadicodec.cli.options import AUTO
from tadicodec.cli.transcripts import given_text, sidecar_text
from tadicodec.errors import InputError, InputWarning

if TYPE_CHECKING:
    import numpy as np

    from tadicodec.codec import Codec
    from tadicodec.speech import Prompt


SAVED = ".safetensors"  # a prompt made by `tadicodec prompt`; anything else is a wave


@dataclass(frozen=True)
class Sampling:
    """How to decode; None is the model's own default."""

    steps: int | None
    guidance: float | None
    seed: int

    def keywords(self, count: int) -> dict[str, Any]:
        """Arguments of `Codec.decode` for so many items. Every item has the seed to itself, so its batch does not
        matter."""
        import torch

        generators = [torch.Generator().manual_seed(self.seed) for _ in range(count)]
        return {"steps": self.steps, "guidance": self.guidance, "generator": generators}


@dataclass(frozen=True)
class Voice:
    """What --prompt names: wave [N] at `sample_rate` and, if known, its words. Read before the model is loaded."""

    wave: np.ndarray
    sample_rate: int
    text: str | None


def read_voice(args: argparse.Namespace) -> Voice | Prompt | None:
    """Read the file of --prompt, a wave or a saved prompt, and its text. Raises InputError."""
    if args.prompt is None:
        if args.prompt_text is not None:
            raise InputError("--prompt-text needs --prompt, the wave it belongs to")
        return None
    if args.prompt.lower().endswith(SAVED):
        if args.prompt_text is not None:
            raise InputError("--prompt-text is for a wave; a saved prompt holds its own text")
        from tadicodec.tdc.saved_prompt import load_prompt

        return load_prompt(args.prompt)
    return read_wave_prompt(args.prompt, args.prompt_text)


def read_wave_prompt(path: str, text: str | None) -> Voice:
    """A wave and what is said in it: `text` (the words, or a .txt file), or the .txt beside it. Raises InputError."""
    from tadicodec.audio.files import read_audio

    wave, sample_rate = read_audio(path)
    words = given_text(text)
    return Voice(wave, sample_rate, sidecar_text(Path(path)) if words is None else words)


def load_codec(args: argparse.Namespace) -> Codec:
    """The model of --model, on --device or else the GPU if there is one, in --dtype, decoding in --backend and encoding
    in --encode-backend. Raises InputError."""
    with waiting(f"loading the codec ({args.model or 'bundled'})"):
        import torch

        from tadicodec.codec import Codec

        device = args.device or ("cuda" if torch.cuda.is_available() else "cpu")
        backends = {"backend": args.backend, "encode_backend": args.encode_backend}
        if args.dtype == AUTO:
            return load_fast(args.model, device, backends)
        warn_of_slow(args.dtype, device)
        return Codec.from_pretrained(args.model, device, getattr(torch, args.dtype), **backends)


def load_fast(model: str | None, device: str, backends: dict[str, str]) -> Codec:
    """A model in the precision that its device is faster in, if the mel stays near float32's. backends: by the names
    that `Codec.from_pretrained` has for them. Raises InputError."""
    import torch

    from tadicodec.codec import Codec
    from tadicodec.runtime.backend import TORCH
    from tadicodec.runtime.precision import decoding_precision

    codec = Codec.from_pretrained(model, device)
    dtype = decoding_precision(codec.model, codec.limits.solver())
    if dtype == torch.float32 and set(backends.values()) == {TORCH}:
        return codec
    return Codec.from_pretrained(model, device, dtype, **backends)


def warn_of_slow(dtype: str, device: str) -> None:
    """Warn of a precision that is slower than float32 on a device."""
    from tadicodec.runtime.speed import precisions

    if dtype != "bfloat16" or device != "cpu":
        return
    seconds = precisions()
    times = seconds["bfloat16"] / seconds["float32"]
    if times > 1:
        warnings.warn(
            f"bfloat16 products are {times:.1f} times slower than float32's on this processor; use --dtype float32, "
            "or auto",
            InputWarning,
            stacklevel=2,
        )


def make_prompt(codec: Codec, voice: Voice | Prompt | None) -> Prompt | None:
    """The prompt as this model takes it, from a wave or as it is. Raises InputError."""
    return codec.prompt(voice.wave, voice.sample_rate, text=voice.text) if isinstance(voice, Voice) else voice
