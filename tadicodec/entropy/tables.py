"""Functions as tables that are the same on every machine: made of Python's whole numbers, read by interpolation.

The exponential and the sine of a C library differ from one machine to the next in the last place. Here nothing of it is
used: each table is computed in fixed point with `PLACES` binary places and then cut to a float64, and reading it takes
single products, sums and roundings, which IEEE 754 defines to the bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from math import factorial, isqrt

import numpy as np

PLACES = 120  # binary places of the whole numbers that tables are computed with
ONE = 1 << PLACES
PLACE = 64  # units of a position to one token, or to one byte of a text
STEPS = 64  # entries of a table to 1 of its argument
HALVINGS = 10  # 2^-x is tabled in steps of 2^-10
TURN = 1 << 14  # entries of a whole turn
PI = 3141592653589793238462643383279502884197169399375 * ONE // 10**48
LOG2_E = 1.4426950408889634  # log2(e); written out, it is the same float64 everywhere
SMALLEST = 62.0  # 2^-x of more is counted as 2^-62


def to_float(value: int) -> float:
    """A fixed-point number as the float64 below it in 2^-52."""
    return float(value >> (PLACES - 52)) * 2.0**-52


@dataclass(frozen=True)
class Curve:
    """A function on [low, low + (n - 1) / STEPS] by its n values; beyond its ends it is continued with their values."""

    low: float
    values: np.ndarray

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """The function at x [...], float64."""
        place = np.minimum(np.maximum((x - self.low) * STEPS, 0.0), float(len(self.values) - 1))
        below = np.minimum(np.floor(place), float(len(self.values) - 2))
        index = below.astype(np.int64)
        first = self.values[index]
        return first + (self.values[index + 1] - first) * (place - below)


def exponential(x: int) -> int:
    """e^-x of a fixed-point number in [0, 1], by its series."""
    total, term, count = ONE, ONE, 0
    while term:
        count += 1
        term = term * x // (ONE * count)
        total += term if count % 2 == 0 else -term
    return total


@cache
def sigmoid() -> Curve:
    """1 / (1 + e^-x) on [-24, 24]."""
    reach, step, powers = 24 * STEPS, exponential(ONE // STEPS), [ONE]
    while len(powers) <= reach:
        powers.append(powers[-1] * step // ONE)  # e^-(k / STEPS)
    right = [ONE * ONE // (ONE + power) for power in powers]
    return Curve(-24.0, np.array([to_float(value) for value in [ONE - v for v in right[:0:-1]] + right]))


@cache
def softplus() -> Curve:
    """log(1 + e^x) on [-24, 24], as the running sum of the sigmoid."""
    steps = sigmoid().values * 2.0**52
    whole = np.cumsum((steps[:-1] + steps[1:]).astype(np.int64) // 2 // STEPS)  # no rounding depends on an order
    return Curve(-24.0, np.concatenate([[0], whole]).astype(np.float64) * 2.0**-52)


@cache
def normal() -> Curve:
    """The distribution function of the normal distribution on [-8, 8], by the series of its integral."""
    reach, root = 8 * STEPS, isqrt(2 * PI * ONE)
    right = []
    for k in range(reach + 1):
        x = k * ONE // STEPS
        total = term = x
        count = 0
        while term:  # x + x^3 / 3 + x^5 / (3 5) + ..., times the density
            count += 1
            term = term * x // ONE * x // (ONE * (2 * count + 1))
            total += term
        right.append(ONE // 2 + total * density(x, root) // ONE)
    return Curve(-8.0, np.array([to_float(value) for value in [ONE - v for v in right[:0:-1]] + right]))


def density(x: int, root: int) -> int:
    """The normal density at x; `root` is sqrt(2 pi)."""
    half = x * x // (2 * ONE)
    whole, rest = divmod(half, ONE)
    value = exponential(rest)
    for _ in range(whole):
        value = value * exponential(ONE) // ONE
    return value * ONE // root


@cache
def halving() -> np.ndarray:
    """2^-(k / 1024) for k = 0 .. 1024."""
    step = ONE // 2
    for _ in range(HALVINGS):
        step = isqrt(step * ONE)
    values = [ONE]
    for _ in range(1 << HALVINGS):
        values.append(values[-1] * step // ONE)
    return np.array([to_float(value) for value in values])


def exp_below(x: np.ndarray) -> np.ndarray:
    """e^-x for x [...] of 0 or more."""
    doublings = np.minimum(x * LOG2_E, SMALLEST)
    whole = np.floor(doublings)
    place = (doublings - whole) * float(1 << HALVINGS)
    below = np.minimum(np.floor(place), float((1 << HALVINGS) - 1))
    table, index = halving(), below.astype(np.int64)
    first = table[index]
    value = first + (table[index + 1] - first) * (place - below)
    return np.ldexp(value, -whole.astype(np.int32))


@cache
def sine() -> np.ndarray:
    """sin(2 pi k / TURN) for k = 0 .. TURN - 1, to 30 places."""
    angle = 2 * PI // TURN
    terms = [angle**n // ONE ** (n - 1) // factorial(n) if n else ONE for n in range(12)]
    turn_cos = sum(terms[n] * (-1) ** (n // 2) for n in range(0, 12, 2))
    turn_sin = sum(terms[n] * (-1) ** (n // 2) for n in range(1, 12, 2))
    cos, sin, values = ONE, 0, []
    for _ in range(TURN):
        values.append(sin)
        cos, sin = (cos * turn_cos - sin * turn_sin) // ONE, (sin * turn_cos + cos * turn_sin) // ONE
    return np.array([float((value + (1 << PLACES - 31)) >> (PLACES - 30)) * 2.0**-30 for value in values])


@cache
def turns(count: int, base: int = 10000) -> np.ndarray:
    """How far rotary positions turn for 1/64 of a place: base^-(k / count) / (2 pi) / 64 in units of 2^-40 of a turn,
    [count] int64."""
    root = base * ONE
    low, high = ONE, root  # the count-th root of base, by bisection
    while high - low > 1:
        middle = (low + high) // 2
        power = ONE
        for _ in range(count):
            power = min(power * middle // ONE, root + 1)
        low, high = (middle, high) if power <= root else (low, middle)
    found, speed = [], ONE * ONE // (2 * PI * PLACE)
    for _ in range(count):
        found.append(int(speed >> (PLACES - 40)))
        speed = speed * ONE // low
    return np.array(found, dtype=np.int64)
