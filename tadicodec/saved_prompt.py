"""A speaker prompt as bytes (safetensors: nothing executable), for token files that carry their speaker along."""

from __future__ import annotations

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from tadicodec.errors import InputError
from tadicodec.speech import Prompt

FRAMES_PER_TOKEN = 8
CODES = 1 << 14


def prompt_to_bytes(prompt: Prompt) -> bytes:
    """Serialise exactly: the mel stays float32, so decoding does not depend on how the prompt travelled."""
    text = torch.frombuffer(bytearray(prompt.text.encode() or b"\0"), dtype=torch.uint8)
    tensors = {"mel": prompt.mel.detach().float(), "codes": prompt.codes.to(torch.int64), "text": text}
    return save({name: tensor.cpu().contiguous() for name, tensor in tensors.items()})


def prompt_from_bytes(data: bytes) -> Prompt:
    """Read what `prompt_to_bytes` wrote.

    Raises:
        InputError: not safetensors, or not the three tensors of a prompt with sizes that agree.
    """
    try:
        tensors = load(data)
        mel, codes, text = tensors["mel"], tensors["codes"], tensors["text"]
        check_prompt(mel, codes, text)
        words = bytes(text.tolist()).rstrip(b"\0").decode()
    except (SafetensorError, KeyError, ValueError, RuntimeError) as error:
        raise InputError(f"not a saved speaker prompt: {error}") from error
    return Prompt(mel=mel, codes=codes, text=words)


def check_prompt(mel: Tensor, codes: Tensor, text: Tensor) -> None:
    """Raises ValueError unless mel [8 T, bins] float32, codes [T] int64 and text [n] uint8 make a prompt."""
    if (mel.dtype, codes.dtype, text.dtype) != (torch.float32, torch.int64, torch.uint8):
        raise ValueError("wrong types")
    if mel.ndim != 2 or codes.ndim != 1 or text.ndim != 1 or mel.shape[0] != FRAMES_PER_TOKEN * len(codes):
        raise ValueError("wrong sizes")
    if not len(codes) or codes.min() < 0 or codes.max() >= CODES or not mel.isfinite().all():
        raise ValueError("values out of range")
