"""Which clips make a batch, and in which order: by length under a frame budget, reproducible from (seed, epoch)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class BatchConfig:
    """How large batches are, and which process of how many this is."""

    frames: int = 2400  # padded mel frames a batch and process may hold
    seed: int = 0
    rank: int = 0
    world: int = 1


@dataclass
class Position:
    """Where in the data order a run is; the whole state of the data side."""

    epoch: int = 0
    batch: int = 0  # batches of this epoch already taken by each process


def epoch_batches(
    frames: Sequence[int], config: BatchConfig, epoch: int, hearings: Sequence[float] | None = None
) -> list[list[int]]:
    """Clip indices of every batch of an epoch, for one process.

    Clips are sorted by length with a little noise, so that neighbours differ from epoch to epoch while padding stays
    small; batches are shuffled; processes take turns and get equally many. `hearings` says how often each clip comes in
    an epoch, on average (None: once).
    """
    order = np.random.default_rng([config.seed, epoch])
    lengths = np.asarray(frames)
    clips = np.arange(len(lengths)) if hearings is None else drawn(hearings, order)
    noisy = lengths[clips] * order.uniform(0.9, 1.1, len(clips))
    batches: list[list[int]] = []
    current: list[int] = []
    for index in clips[np.argsort(noisy, kind="stable")].tolist():
        longest = max([int(lengths[index]), *(int(lengths[i]) for i in current)])
        if current and longest * (len(current) + 1) > config.frames:
            batches.append(current)
            current = []
        current.append(index)
    if current:
        batches.append(current)
    batches = [batches[i] for i in order.permutation(len(batches))]
    whole = max(len(batches) // config.world, 1)
    return [batches[(config.rank + i * config.world) % len(batches)] for i in range(whole)]


def drawn(hearings: Sequence[float], order: np.random.Generator) -> np.ndarray:
    """The clips of an epoch: each as often as the whole part of its number says, and once more with the probability
    that is left."""
    whole = np.floor(hearings).astype(np.int64)
    more = order.random(len(whole)) < np.asarray(hearings) - whole
    return np.repeat(np.arange(len(whole)), whole + more)


def batches_from(
    frames: Sequence[int], config: BatchConfig, position: Position, hearings: Sequence[float] | None = None
) -> Iterator[tuple[list[int], Position]]:
    """Endless batches from a position on, each with the position that follows it (what a checkpoint must hold)."""
    epoch, skip = position.epoch, position.batch
    while True:
        batches = epoch_batches(frames, config, epoch, hearings)
        for number in range(skip, len(batches)):
            following = Position(epoch, number + 1) if number + 1 < len(batches) else Position(epoch + 1, 0)
            yield batches[number], following
        epoch, skip = epoch + 1, 0
