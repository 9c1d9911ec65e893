"""Recordings brought to the level of the speech a model was trained on."""

from __future__ import annotations

import numpy as np

BIN = 240  # samples, 10 ms
QUIET = 1e-3  # of the loudest bin's power: below this a bin is a pause
SILENCE = 1e-7  # mean power: below this (-70 dB of full scale) there is nothing to amplify
TOLERANCE = 3.0  # dB: nearer to the level than this, samples stay as they are; training speech does
MOST = 40.0  # dB of gain


class Leveller:
    """Brings the pieces of one recording, one after the other, to a level in dB (RMS of the speech, of full scale).
    Level 0 changes nothing.

    The gain follows the loudest piece so far, so a pause is not amplified to speech, and it depends on nothing that
    comes later: reading block by block gives what reading at once does.
    """

    def __init__(self, level: float) -> None:
        self.level, self.loudest = level, 0.0

    def __call__(self, samples: np.ndarray) -> np.ndarray:
        """The next piece [N] float32 -> the same at the level, [N]."""
        if self.level == 0:
            return samples
        self.loudest = max(self.loudest, speech_power(samples))
        if self.loudest < SILENCE:
            return samples
        gain = self.level - 10 * np.log10(self.loudest)
        if abs(gain) <= TOLERANCE:
            return samples
        return samples * np.float32(10 ** (min(gain, MOST) / 20))


def speech_power(samples: np.ndarray) -> float:
    """The mean power of a wave [N] without its pauses."""
    whole = np.square(np.pad(samples, (0, -len(samples) % BIN)).astype(np.float64)).reshape(-1, BIN).mean(1)
    return float(whole[whole >= QUIET * whole.max()].mean())
