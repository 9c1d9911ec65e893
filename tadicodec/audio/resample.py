"""Change of sample rate."""

from __future__ import annotations

import numpy as np
import soxr


def resample(wave: np.ndarray, from_rate: int, to_rate: int) -> np.ndarray:
    """Resample wave [N] to exactly ceil(N * to_rate / from_rate) float32 samples, keeping its start aligned."""
    if from_rate == to_rate:
        return wave.astype(np.float32, copy=False)
    length = -(-len(wave) * to_rate // from_rate)
    resampled = soxr.resample(wave.astype(np.float32, copy=False), from_rate, to_rate, quality="HQ")[:length]
    return np.pad(resampled, (0, length - len(resampled)))  # soxr rounds, so it may be one sample short
