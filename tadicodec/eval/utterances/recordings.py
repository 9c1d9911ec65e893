"""Reading the recordings that every row of the table starts from."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tadicodec.audio.files import read_audio
from tadicodec.audio.resample import resample
from tadicodec.errors import InputError
from tadicodec.eval.utterances.audible import SAMPLE_RATE, check_audible

CACHED = 4  # waves: an utterance's recording and prompt are read by every row


class Recordings:
    """Reads files and keeps the last few: path -> wave [N] float32 and its rate in Hz."""

    def __init__(self) -> None:
        self.cache: dict[Path, tuple[np.ndarray, int]] = {}

    def read(self, path: Path | None) -> tuple[np.ndarray, int]:
        """A file's wave [N] float32 and its rate in Hz. Raises InputError: no such file, not audio, too short or
        silent."""
        if path is None:
            raise InputError("no recording is named for it")
        if path not in self.cache:
            wave, rate = read_audio(path)
            audible(wave, rate, path.name)
            if len(self.cache) >= CACHED:
                del self.cache[next(iter(self.cache))]
            self.cache[path] = wave, rate
        return self.cache[path]


def audible(wave: np.ndarray, sample_rate: int, name: str) -> np.ndarray:
    """Wave [N] as the judges hear it, at 16 kHz.

    Raises:
        InputError: not finite, too short or silent; `name` says which wave.
    """
    try:
        if not np.isfinite(wave).all():
            raise InputError("samples that are not finite")
        return check_audible(resample(wave, sample_rate, SAMPLE_RATE))
    except InputError as error:
        raise InputError(f"{name}: {error}") from error
