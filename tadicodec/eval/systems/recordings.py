"""Reading waves for every row, and the row of the recordings themselves."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tadicodec.audio.files import read_audio
from tadicodec.audio.resample import resample
from tadicodec.errors import InputError
from tadicodec.eval.cases import Case
from tadicodec.eval.judges.audible import SAMPLE_RATE, check_audible
from tadicodec.eval.systems.system import Rendering

KEPT = 4  # waves held: an utterance's recording and prompt are read by every row


class Recordings:
    """Reads files and keeps the last few: path -> wave [N] float32 and its rate in Hz."""

    def __init__(self) -> None:
        self.kept: dict[Path, tuple[np.ndarray, int]] = {}

    def read(self, path: Path | None) -> tuple[np.ndarray, int]:
        """Raises InputError: no such file, not audio, too short or silent."""
        if path is None:
            raise InputError("no recording is named for it")
        if path not in self.kept:
            wave, rate = read_audio(path)
            audible(wave, rate, path.name)
            if len(self.kept) >= KEPT:
                del self.kept[next(iter(self.kept))]
            self.kept[path] = wave, rate
        return self.kept[path]


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


class RecordingRow:
    """The recordings as they are: what no system needs to beat."""

    name, kind, seeded, prompted = "recordings", "reference", False, False

    def __init__(self, recordings: Recordings) -> None:
        self.recordings = recordings

    def render(self, case: Case, seed: int) -> Rendering:
        return Rendering(*self.recordings.read(case.audio))
