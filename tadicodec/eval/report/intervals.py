"""Figures with their uncertainty: ratios of sums, medians over seeds, bootstrap intervals over utterances."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

DRAWS = 1000
LEVEL = 0.95


@dataclass(frozen=True)
class Estimate:
    """A figure, the bounds of its 95 % interval, and how many utterances it comes from."""

    value: float
    low: float
    high: float
    count: int


def estimate(
    parts: Sequence[Sequence[float | None]], wholes: Sequence[Sequence[float]] | None = None
) -> Estimate | None:
    """Sum of parts over sum of wholes, utterances weighing by their wholes (None: all alike, a mean).

    parts [S, U] and wholes [S, U] for S seeds and U utterances; None entries were not measured and are left out. With
    several seeds the figure is the median of theirs. The interval resamples utterances, all seeds of one together
    (Efron's percentile bootstrap, seed 0), so that rows of the same utterances meet the same draws.

    Returns:
        None when nothing was measured.
    """
    values = np.array([[np.nan if value is None else value for value in row] for row in parts], float)
    weights = np.ones_like(values) if wholes is None else np.array(wholes, float)
    known = ~np.isnan(values)
    if not known.any():
        return None
    values, weights = np.where(known, values, 0.0), np.where(known, weights, 0.0)
    utterances = values.shape[1]
    draws = np.random.default_rng(0).multinomial(utterances, np.full(utterances, 1 / utterances), size=DRAWS)  # [D, U]
    resampled = medians(draws @ values.T, draws @ weights.T)
    low, high = np.nanquantile(resampled, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    (value,) = medians(values.sum(1)[None], weights.sum(1)[None])
    return Estimate(float(value), float(low), float(high), int(known.any(axis=0).sum()))


def medians(parts: np.ndarray, wholes: np.ndarray) -> np.ndarray:
    """Sums of parts and wholes [D, S] -> [D] medians, over S seeds, of their ratios; NaN where no seed has anything."""
    with np.errstate(invalid="ignore", divide="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a draw of nothing but failures
        return np.nanmedian(np.where(wholes > 0, parts / wholes, np.nan), axis=1)
