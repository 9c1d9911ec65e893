"""A speaker prompt as bytes (safetensors: nothing executable), inside a token file or as a file that a receiver
keeps."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from tadicodec.config import CODE_BITS
from tadicodec.errors import InputError, reason
from tadicodec.outputs import write_bytes
from tadicodec.speech import Prompt

FRAMES_PER_TOKEN = 8
CODES = 1 << CODE_BITS
LONGEST = 64 << 20  # bytes; 30 s are 0.8 MB
MOST_BINS = 1024  # of a mel


def prompt_to_bytes(prompt: Prompt) -> bytes:
    """A prompt as bytes. Its mel stays float32, so decoding does not depend on how the prompt travelled."""
    strings = {name: to_tensor(value) for name, value in (("text", prompt.text), ("weights", prompt.weights))}
    tensors = {"mel": prompt.mel.detach().float(), "codes": prompt.codes.to(torch.int64), **strings}
    return save({name: tensor.cpu().contiguous() for name, tensor in tensors.items()})


def prompt_from_bytes(data: bytes) -> Prompt:
    """Read what `prompt_to_bytes` wrote.

    Raises:
        InputError: not safetensors, or not the tensors of a prompt with sizes that agree.
    """
    try:
        tensors = load(data)
        mel, codes, text = tensors["mel"], tensors["codes"], tensors["text"]
        weights = tensors.get("weights", text[:0])
        check_prompt(mel, codes, text, weights)
        words, made_by = to_string(text), to_string(weights)
    except (SafetensorError, KeyError, ValueError, RuntimeError) as error:
        raise InputError(f"not a saved speaker prompt: {reason(error)}") from error
    return Prompt(mel=mel, codes=codes, text=words, weights=made_by)


def save_prompt(path: str | Path, prompt: Prompt, overwrite: bool = False) -> None:
    """Write a speaker's prompt to a file that receivers keep. Raises InputError where it cannot be written."""
    write_bytes(path, prompt_to_bytes(prompt), overwrite)


def load_prompt(path: str | Path) -> Prompt:
    """Read a file that `save_prompt` wrote.

    Raises:
        InputError: missing, far too long for a prompt, or something else.
    """
    try:
        if Path(path).stat().st_size > LONGEST:
            raise InputError(f"{path}: {Path(path).stat().st_size} bytes is no speaker prompt; make one with `prompt`")
        return prompt_from_bytes(Path(path).read_bytes())
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def to_tensor(text: str) -> Tensor:
    """A text as UTF-8 bytes, [n] uint8; a zero byte where it is empty, because tensors must not be."""
    return torch.frombuffer(bytearray(text.encode() or b"\0"), dtype=torch.uint8)


def to_string(data: Tensor) -> str:
    """The inverse of `to_tensor`."""
    return bytes(data.tolist()).rstrip(b"\0").decode()


def check_prompt(mel: Tensor, codes: Tensor, text: Tensor, weights: Tensor) -> None:
    """Raises ValueError unless mel [8 T, bins] float32, codes [T] int64, and text [n] and weights [m] uint8 make a
    prompt."""
    if (mel.dtype, codes.dtype, text.dtype, weights.dtype) != (torch.float32, torch.int64, torch.uint8, torch.uint8):
        raise ValueError("wrong types")
    if (mel.ndim, codes.ndim, text.ndim, weights.ndim) != (2, 1, 1, 1):
        raise ValueError("wrong sizes")
    if mel.shape[0] != FRAMES_PER_TOKEN * len(codes) or not 1 <= mel.shape[1] <= MOST_BINS:
        raise ValueError("wrong sizes")
    if not len(codes) or codes.min() < 0 or codes.max() >= CODES or not mel.isfinite().all():
        raise ValueError("values out of range")
