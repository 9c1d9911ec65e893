"""One recording of a corpus of any kind: what is known about it, and a way to its samples that can wait."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from tadicodec.errors import InputError

TRAIN, VALID = "train", "valid"
SPLIT_NAMES = {"validation": VALID, "dev": VALID, "val": VALID}  # as others call it


class Sound(Protocol):
    """Where the samples of a recording are."""

    @property
    def name(self) -> str:
        """What messages call it."""

    def size(self) -> int:
        """Bytes (or samples) it takes, so that a changed recording is noticed; -1 where that cannot be told."""

    def seconds(self) -> float:
        """Its length as far as a header tells, 0 where that cannot be read: reading it will say what is wrong."""

    def read(self, sample_rate: int) -> np.ndarray:
        """Its samples [N] float32 at this rate, channels averaged. Raises InputError."""


@dataclass(frozen=True)
class FileSound:
    """An audio file."""

    path: Path

    @property
    def name(self) -> str:
        """What messages call it."""
        return str(self.path)

    def size(self) -> int:
        """Bytes (or samples) that it takes, as `Sound.size` says."""
        return self.path.stat().st_size if self.path.is_file() else -1

    def seconds(self) -> float:
        """Its length in seconds, as `Sound.seconds` says."""
        return header_seconds(self.path)

    def read(self, sample_rate: int) -> np.ndarray:
        """Its samples [N] float32 at this rate. Raises InputError."""
        return samples_of(self.path, sample_rate)


@dataclass(frozen=True)
class BytesSound:
    """The bytes of an audio file that has come from somewhere else, such as a streamed dataset."""

    name: str
    data: bytes

    def size(self) -> int:
        """Bytes (or samples) that it takes, as `Sound.size` says."""
        return len(self.data)

    def seconds(self) -> float:
        """Its length in seconds, as `Sound.seconds` says."""
        return header_seconds(io.BytesIO(self.data))

    def read(self, sample_rate: int) -> np.ndarray:
        """Its samples [N] float32 at this rate. Raises InputError."""
        try:
            return samples_of(io.BytesIO(self.data), sample_rate)
        except InputError as error:
            raise InputError(f"{self.name}: {str(error).removeprefix('standard input ')}") from error


@dataclass(frozen=True)
class Recording:
    """text None: nobody has written down what is said, the codec's transcriber will."""

    id: str
    sound: Sound
    text: str | None
    speaker: str
    seconds: float
    split: str = ""  # "": the corpus knows no splits


@dataclass(frozen=True)
class Corpus:
    """recordings is a list, or an iterator where what is to come cannot be known before it comes (`listed` False)."""

    name: str
    recordings: Iterable[Recording]
    listed: bool = True


def with_splits(recordings: Iterable[Recording], every: int) -> Iterator[Recording]:
    """Recordings of a corpus without splits: each `every`-th is for validation, the others for training; 0: none."""
    for number, item in enumerate(recordings, 1):
        split = item.split or (VALID if every and number % every == 0 else TRAIN)
        yield replace(item, split=SPLIT_NAMES.get(split, split))


def header_seconds(source: Path | io.BytesIO) -> float:
    """The length of an audio file as its header says, in seconds; 0 where that cannot be read."""
    from tadicodec.audio.files import inspect_audio

    try:
        return inspect_audio(source).seconds
    except InputError:
        return 0.0


def samples_of(source: Path | io.BytesIO, sample_rate: int) -> np.ndarray:
    """The samples [N] float32 of an audio file at this rate. Raises InputError."""
    from tadicodec.audio.files import read_audio
    from tadicodec.pipeline.waves import to_samples

    return to_samples(*read_audio(source), sample_rate)
