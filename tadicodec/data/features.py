"""Prepared features: mel and wave of a corpus in flat arrays, read by memory map, needing nothing but numpy.

A features folder holds shards (`00000.mel.npy` float16 [frames, bins], `00000.wave.npy` int16 [samples]) and
`index.jsonl`, one utterance a line with its place in its shard.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from tadicodec.errors import InputError

INDEX = "index.jsonl"


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


class Features:
    """A features folder: the clips of one split, and their arrays."""

    def __init__(self, folder: Path | str, split: str, *, min_frames: int = 1, max_frames: int = 10**9) -> None:
        self.folder = Path(folder)
        index = self.folder / INDEX
        if not index.is_file():
            raise InputError(f"{self.folder}: no {INDEX}; make it with `tadicodec prepare MANIFEST {self.folder}`")
        rows = [Clip(**json.loads(line)) for line in index.read_text(encoding="utf-8").splitlines()]
        self.clips = [row for row in rows if row.split == split and min_frames <= row.frames <= max_frames]
        if not self.clips:
            raise InputError(f"{self.folder}: no clip of split {split!r} between {min_frames} and {max_frames} frames")
        self.open = lru_cache(maxsize=64)(self.map)  # a shard stays mapped while its neighbours are read

    def __len__(self) -> int:
        return len(self.clips)

    def mel(self, clip: Clip) -> np.ndarray:
        """[frames, bins] float32."""
        return self.open(clip.shard, "mel")[clip.start : clip.start + clip.frames].astype(np.float32)

    def wave(self, clip: Clip, first: int, frames: int, hop: int) -> np.ndarray:
        """Samples behind mel frames first .. first + frames: [frames * hop] float32."""
        begin = (clip.start + first) * hop
        return self.open(clip.shard, "wave")[begin : begin + frames * hop].astype(np.float32) / 32768

    def map(self, shard: int, kind: str) -> np.ndarray:
        return np.load(self.folder / f"{shard:05d}.{kind}.npy", mmap_mode="r", allow_pickle=False)
