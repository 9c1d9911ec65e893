"""Arithmetic that gives the same bits in every order of additions, and so on every machine and thread count.

Sums are made of whole numbers below 2^53 alone, which float64 holds exactly, whatever BLAS does with them: a product
of 15 and of 7 bits leaves room for 2^31 inputs. Everything
else is single products, quotients, square roots and roundings of float64, each of which IEEE 754 defines to the bit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tadicodec.entropy.tables import TURN, exp_below, sine

WEIGHT_LEVELS = 127.0  # the largest whole number of a weight
LEVELS = 32767.0  # of an activation
EPS = 1e-6  # of a norm
VALUE_STEP, MOST_VALUE = 1024.0, float(1 << 20)  # values of attention are whole numbers of 2^-10
SHARES = 65536.0  # what attention gives to the place that it heeds most


def to_levels(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """x [..., n] -> whole numbers [..., n] of at most 15 bits and a sign, and the size [..., 1] of one of them."""
    step = np.maximum(np.abs(x).max(-1, keepdims=True), 1e-30) / LEVELS
    return np.rint(x / step), step


@dataclass(frozen=True)
class Matrix:
    """A matrix of whole numbers of 8 bits: levels [o, i] float64, and the size of one of them in each row, step [o]."""

    levels: np.ndarray
    step: np.ndarray

    @classmethod
    def of(cls, weight: np.ndarray) -> Matrix:
        """Round a weight [o, i] of any float type."""
        wide = weight.astype(np.float64)
        step = np.maximum(np.abs(wide).max(1), 1e-30) / WEIGHT_LEVELS
        return cls(np.rint(wide / step[:, None]), step)

    @property
    def rows(self) -> np.ndarray:
        """The numbers [o, i] that it stands for."""
        return self.levels * self.step[:, None]

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """x [n, i] -> [n, o]."""
        levels, step = to_levels(x)
        return (levels @ self.levels.T) * step * self.step


def norm(x: np.ndarray, gain: np.ndarray | None = None) -> np.ndarray:
    """x [n, H] divided by its root mean square, times gain [H]."""
    levels, step = to_levels(x)
    mean = (levels * levels).sum(-1, keepdims=True) / float(x.shape[-1])
    scaled = x / np.sqrt(mean * step * step + EPS)
    return scaled if gain is None else scaled * gain


def rotate(x: np.ndarray, positions: np.ndarray, speeds: np.ndarray) -> np.ndarray:
    """x [n, heads, d] turned by its positions [n] int64, in 1/64 of a place; speeds [d / 2] as `tables.turns` has
    them."""
    phase = (positions[:, None] * speeds >> (40 - 14)) % TURN  # [n, d / 2]
    table = sine()
    sin, cos = table[phase][:, None], table[(phase + TURN // 4) % TURN][:, None]
    first, second = np.split(x, 2, axis=-1)
    return np.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)


def attend(scores: np.ndarray, values: np.ndarray) -> np.ndarray:
    """scores [heads, n, P] (-inf: unseen), values [heads, P, d] in whole numbers of 1 / VALUE_STEP -> [heads, n, d]."""
    below = scores.max(-1, keepdims=True) - scores
    shares = np.rint(exp_below(np.minimum(below, 100.0)) * SHARES)  # SHARES e^-100 rounds to 0
    return (shares @ values) / shares.sum(-1, keepdims=True) / VALUE_STEP


def to_values(x: np.ndarray) -> np.ndarray:
    """Values of attention as the whole numbers that `attend` takes."""
    return np.minimum(np.maximum(np.rint(x * VALUE_STEP), -MOST_VALUE), MOST_VALUE)
