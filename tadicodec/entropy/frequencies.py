"""Scores to the whole numbers that share out a range among symbols."""

from __future__ import annotations

import numpy as np

from tadicodec.entropy.tables import exp_below

PEAK = float(1 << 24)  # what the most probable symbol gets


def frequencies(scores: np.ndarray) -> np.ndarray:
    """Scores [n, symbols] in nats -> [n, symbols] int64, each at least 1: nothing is impossible."""
    below = scores.max(-1, keepdims=True) - scores
    return np.floor(exp_below(below) * PEAK).astype(np.int64) + 1
