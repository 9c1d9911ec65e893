"""Prepared features: mel and wave of a corpus in flat arrays, read by memory map, which needs nothing but numpy.

A features folder holds shards (`00000.mel.npy` float16 [frames, bins], `00000.wave.npy` int16 [samples]) and
`index.jsonl`, one utterance a line with its place in its shard.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from tadicodec.errors import InputError, reason
from tadicodec.guards.documents import LARGEST, parse_json

INDEX = "index.jsonl"
KINDS = {"mel": (np.dtype(np.float16), 2), "wave": (np.dtype(np.int16), 1)}  # type and dimensions of the arrays


@dataclass(frozen=True)
class Clip:
    """One utterance of the index: `frames` mel frames from `start` in shard number `shard`."""

    id: str
    text: str
    speaker: str
    split: str
    source: str
    shard: int
    start: int
    frames: int
    bandwidth: int  # mel bins that hold signal


def read_index(path: Path) -> list[Clip]:
    """All clips of an index.

    Raises:
        InputError: a line that is not a clip; the file is damaged or of another version.
    """
    try:
        lines = path.read_bytes().decode().split("\n")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text; delete it and run `tadicodec prepare` again") from error
    return [parse_clip(line, f"{path}, line {number}") for number, line in enumerate(lines, 1) if line.strip()]


def parse_clip(line: str, place: str) -> Clip:
    """A line of an index as a clip. Raises InputError where a value has not its field's type."""
    try:
        clip = Clip(**parse_json(line))
    except (ValueError, TypeError) as error:
        raise InputError(
            f"{place}: not a clip; delete the file and run `tadicodec prepare` again ({reason(error)})"
        ) from error
    numbers = (clip.shard, clip.start, clip.frames, clip.bandwidth)
    words = (clip.id, clip.text, clip.speaker, clip.split, clip.source)
    if not all(type(value) is int and 0 <= value < LARGEST for value in numbers) or not all(
        type(w) is str for w in words
    ):
        raise InputError(f"{place}: not a clip; delete the file and run `tadicodec prepare` again")
    return clip


def splits_of(folder: Path | str) -> set[str]:
    """The names of the splits of which a features folder has clips."""
    index = Path(folder) / INDEX
    return {row.split for row in read_index(index)} if index.is_file() else set()


class Features:
    """A features folder: the clips of one split, and their arrays."""

    def __init__(self, folder: Path | str, split: str, *, min_frames: int = 1, max_frames: int = 10**9) -> None:
        self.folder = Path(folder)
        index = self.folder / INDEX
        if not index.is_file():
            raise InputError(f"{self.folder}: no {INDEX}; make it with `tadicodec prepare MANIFEST {self.folder}`")
        rows = read_index(index)
        self.clips = [row for row in rows if row.split == split and min_frames <= row.frames <= max_frames]
        if not self.clips:
            raise InputError(f"{self.folder}: no clip of split {split!r} between {min_frames} and {max_frames} frames")
        self.open = lru_cache(maxsize=64)(self.map)  # a shard stays mapped while its neighbours are read

    def __len__(self) -> int:
        return len(self.clips)

    def mel(self, clip: Clip) -> np.ndarray:
        """A clip's mel [frames, bins] float32. Raises InputError for a damaged shard."""
        return self.part(clip.shard, "mel", clip.start, clip.frames).astype(np.float32)

    def wave(self, clip: Clip, first: int, frames: int, hop: int) -> np.ndarray:
        """Samples behind mel frames first .. first + frames: [frames * hop] float32. Raises InputError."""
        return self.part(clip.shard, "wave", (clip.start + first) * hop, frames * hop).astype(np.float32) / 32768

    def part(self, shard: int, kind: str, begin: int, count: int) -> np.ndarray:
        """Part of a shard's array, from `begin` on. Raises InputError where it ends before that."""
        found = self.open(shard, kind)[begin : begin + count]
        if len(found) != count:
            raise damaged(self.folder / f"{shard:05d}.{kind}.npy", "it ends before what the index says")
        return found

    def map(self, shard: int, kind: str) -> np.ndarray:
        """A shard's array. Raises InputError for a file that is none."""
        path = self.folder / f"{shard:05d}.{kind}.npy"
        try:
            array = np.load(path, mmap_mode="r", allow_pickle=False)
        except Exception as error:  # a damaged header can raise anything in numpy
            raise damaged(path, reason(error)) from error
        if (array.dtype, array.ndim) != KINDS[kind]:
            raise damaged(path, f"{array.dtype} of {array.ndim} dimensions")
        return array


def damaged(path: Path, why: str) -> InputError:
    """The error that says which file of the features is damaged, and what to do."""
    return InputError(f"{path}: damaged ({why}); delete it and run `tadicodec prepare` again")
