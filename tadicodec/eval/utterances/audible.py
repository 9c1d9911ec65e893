"""What a metric model can judge: a 16 kHz mono wave that is long and loud enough."""

from __future__ import annotations

import numpy as np

from tadicodec.errors import InputError

SAMPLE_RATE = 16000  # Hz, of every model here
# Samples (0.35 s): 17 frames of 20 ms, of which WavLMForXVector makes 3, and a deviation needs 2. One limit for all
# models, so that they leave out the same utterances.
SHORTEST = 5600
QUIETEST = 1e-4  # peak of -80 dBFS: three steps of 16-bit audio


def check_audible(wave16k: np.ndarray) -> np.ndarray:
    """The wave [N] as contiguous float32.

    Raises:
        InputError: not mono, not finite, shorter than 0.35 s, or silent: no model's figure would mean anything.
    """
    wave = np.ascontiguousarray(wave16k, np.float32)
    if wave.ndim != 1:
        raise InputError(f"a wave of shape {list(wave.shape)}: metrics take one channel [N] at 16 kHz")
    if len(wave) < SHORTEST:
        raise InputError(f"{len(wave) / SAMPLE_RATE:.2f} s of audio: too short to judge (0.35 s at least)")
    if not np.isfinite(wave).all():
        raise InputError("samples that are not finite: the system that made this wave failed")
    if np.abs(wave).max() < QUIETEST:
        raise InputError("silence: there is nothing to judge")
    return wave
