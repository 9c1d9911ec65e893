"""What callers hand in, made uniform: waves of any kind and rate, one value or one an item, padded batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from tadicodec.audio.resample import resample
from tadicodec.errors import InputError

T = TypeVar("T")
Wave = Tensor | np.ndarray
LOUDEST = 1e4  # beyond this, samples are not audio in [-1, 1], and their squares soon overflow


def items_of(wave: Wave | Sequence[Wave]) -> list[Wave]:
    """One wave [N], a batch [B, N] or a list of waves, as a list of waves [N_i]."""
    if isinstance(wave, (Tensor, np.ndarray)):
        if wave.ndim not in (1, 2):
            raise InputError(f"a wave of shape {list(wave.shape)}: give [N], [B, N] or a list of [N]")
        if wave.ndim == 2 and wave.shape[1] <= 32 < wave.shape[0]:
            raise InputError(f"a wave of shape {list(wave.shape)}: channels come last; average them with wave.mean(1)")
        wave = [wave] if wave.ndim == 1 else list(wave)
    if not len(wave):
        raise InputError("no waves to encode")
    return list(wave)


def to_samples(wave: Wave, sample_rate: int, target_rate: int) -> np.ndarray:
    """One wave as finite float32 samples [N] at the target rate; integers are scaled to [-1, 1)."""
    samples = wave.detach().cpu().numpy() if isinstance(wave, Tensor) else np.asarray(wave)
    if samples.ndim != 1 or not samples.size:
        raise InputError("a wave is a one-dimensional array with at least one sample; average its channels first")
    if not (1000 <= sample_rate <= 768_000 and sample_rate == int(sample_rate)):
        raise InputError(f"a sample rate of {sample_rate} Hz: give a whole number between 1,000 and 768,000")
    if samples.dtype.kind in "iu":
        half = (int(np.iinfo(samples.dtype).max) + 1) / (2 if samples.dtype.kind == "u" else 1)
        samples = (samples - (half if samples.dtype.kind == "u" else 0)) / half
    samples = samples.astype(np.float32)
    if not np.isfinite(samples).all():
        raise InputError("the wave holds NaN or infinite samples; repair it first")
    if np.abs(samples).max() > LOUDEST:
        raise InputError(f"the wave reaches {np.abs(samples).max():.3g}; scale its samples to [-1, 1] first")
    return resample(samples, int(sample_rate), target_rate)


def grouped(items: Sequence[T], sizes: Sequence[int], most: int) -> list[list[T]]:
    """Items of similar size together: sorted, in groups of at most `most` padded to their largest (or one item)."""
    groups: list[list[T]] = []
    for size, index in sorted((size, index) for index, size in enumerate(sizes)):
        if groups and (len(groups[-1]) + 1) * size <= most:
            groups[-1].append(items[index])
        else:
            groups.append([items[index]])
    return groups


def each(value: Any, count: int) -> list[Any]:
    """One value for all items, or one an item."""
    if not isinstance(value, (list, tuple)):
        return [value] * count
    if len(value) != count:
        raise InputError(f"{len(value)} given for {count} items; give one, or one for each")
    return list(value)


def pad(items: Sequence[Tensor]) -> Tensor:
    """Right-pad with zeros: [L_i, ...] -> [B, max L, ...]."""
    return torch.nn.utils.rnn.pad_sequence(list(items), batch_first=True)
