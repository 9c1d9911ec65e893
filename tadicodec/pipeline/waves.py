"""What callers hand in, made uniform: waves of any kind and rate, one value or one for each item, padded batches."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from tadicodec.audio.resample import resample
from tadicodec.errors import InputError
from tadicodec.guards import arguments
from tadicodec.speech import Prompt

T = TypeVar("T")
Wave = Tensor | np.ndarray
Texts = str | None | Sequence[str | None]  # one for all items or one an item, as the next two
Prompts = Prompt | None | Sequence[Prompt | None]
Generators = torch.Generator | None | Sequence[torch.Generator]
LOUDEST = 1e4  # beyond this, samples are not audio in [-1, 1], and their squares soon overflow


def items_of(wave: Wave | Sequence[Wave]) -> list[Wave]:
    """One wave [N], a batch [B, N] or a list of waves, as a list of waves [N_i]."""
    if isinstance(wave, (Tensor, np.ndarray)):
        if wave.ndim not in (1, 2):
            raise InputError(f"a wave of shape {list(wave.shape)}: give [N], [B, N] or a list of [N]")
        if wave.ndim == 2 and wave.shape[1] <= 32 < wave.shape[0]:
            raise InputError(f"a wave of shape {list(wave.shape)}: channels come last; average them with wave.mean(1)")
        wave = [wave] if wave.ndim == 1 else list(wave)
    if isinstance(wave, (str, bytes, os.PathLike)):
        raise InputError("a wave is its samples, not a file's name; soundfile.read(name) gives samples and their rate")
    if not isinstance(wave, (list, tuple)):
        raise InputError(f"a wave is an array or tensor of samples, not {arguments.described(wave)}")
    if not len(wave):
        raise InputError("no waves to encode")
    return list(wave)


def to_samples(wave: Wave, sample_rate: int, target_rate: int) -> np.ndarray:
    """One wave as finite float32 samples [N] at the target rate; integers are scaled to [-1, 1).

    Raises:
        InputError: anything but such a wave, or a rate that is not one; the message says what to write.
    """
    samples, sample_rate = array_of(wave), rate_of(sample_rate)
    if samples.dtype.kind in "iu":
        half = (int(np.iinfo(samples.dtype).max) + 1) / (2 if samples.dtype.kind == "u" else 1)
        samples = (samples - (half if samples.dtype.kind == "u" else 0)) / half
    samples = samples.astype(np.float32)
    if not np.isfinite(samples).all():
        raise InputError("the wave holds NaN or infinite samples; repair it first")
    if np.abs(samples).max() > LOUDEST:
        raise InputError(f"the wave reaches {np.abs(samples).max():.3g}; scale its samples to [-1, 1] first")
    return resample(samples, sample_rate, target_rate)


def array_of(wave: Wave) -> np.ndarray:
    """One wave as an array [N] with at least one number. Raises InputError."""
    if isinstance(wave, Tensor):
        wave = wave.detach().cpu()
        wave = (wave.float() if wave.is_floating_point() else wave).numpy()
    if not isinstance(wave, np.ndarray):
        raise InputError(
            f"a wave is an array or tensor of samples, not {arguments.described(wave)}; for numbers in a list write "
            "numpy.array(samples, dtype=numpy.float32)"
        )
    if wave.ndim == 2 and wave.size:
        axis = int(np.argmin(wave.shape))
        raise InputError(f"a wave of shape {list(wave.shape)}: average its channels with wave.mean({axis})")
    if wave.ndim != 1 or not wave.size:
        raise InputError("a wave is a one-dimensional array with at least one sample")
    if wave.dtype.kind not in "iuf":
        raise InputError(f"a wave of {wave.dtype}: its samples are float or integer numbers")
    return wave


def rate_of(sample_rate: Any) -> int:
    """A sample rate in Hz. Raises InputError."""
    text = f"a sample rate of {arguments.described(sample_rate)} Hz: give a whole number between 1,000 and 768,000"
    if isinstance(sample_rate, (bool, np.bool_)) or not isinstance(sample_rate, (int, float, np.number)):
        raise InputError(text)
    if not (1000 <= sample_rate <= 768_000 and sample_rate == int(sample_rate)):
        raise InputError(text)
    return int(sample_rate)


def grouped(items: Sequence[T], sizes: Sequence[int], most: int) -> list[list[T]]:
    """Items in groups of similar size: sorted, each group with at most `most` when padded to its largest (or one
    item)."""
    groups: list[list[T]] = []
    for size, index in sorted((size, index) for index, size in enumerate(sizes)):
        if groups and (len(groups[-1]) + 1) * size <= most:
            groups[-1].append(items[index])
        else:
            groups.append([items[index]])
    return groups


def floats(name: str, value: Any, axes: tuple[int, ...]) -> Tensor:
    """Numbers with so many axes as a float32 tensor. Raises InputError."""
    try:
        found = torch.as_tensor(value)
        if found.is_complex():
            raise TypeError("complex numbers have no one value")
        found = found.float()
    except (TypeError, ValueError, RuntimeError):
        raise InputError(f"{name} is an array or tensor of numbers, not {arguments.described(value)}") from None
    if found.ndim not in axes or not found.numel():
        raise InputError(f"{name} of shape {list(found.shape)}: give {' or '.join(map(str, axes))} axes, none empty")
    return found


def generators_of(value: Any, count: int) -> list[torch.Generator]:
    """One generator for all items, or one an item; None is a new one with seed 0. Raises InputError."""
    if isinstance(value, (list, tuple)):
        return [generator_of(one) for one in each(value, count)]
    return [generator_of(value)] * count


def generator_of(value: Any) -> torch.Generator:
    """A generator; None is a new one with seed 0. Raises InputError."""
    if value is None:
        return torch.Generator().manual_seed(0)
    return arguments.kind("a generator", value, torch.Generator, "torch.Generator().manual_seed(...)")


def each(value: Any, count: int) -> list[Any]:
    """A list with one value for each item, from one for all or one for each."""
    if not isinstance(value, (list, tuple)):
        return [value] * count
    if len(value) != count:
        raise InputError(f"{len(value)} given for {count} items; give one, or one for each")
    return list(value)


def pad(items: Sequence[Tensor]) -> Tensor:
    """Tensors [L_i, ...] -> [B, max L, ...], zeros on the right."""
    return torch.nn.utils.rnn.pad_sequence(list(items), batch_first=True)
