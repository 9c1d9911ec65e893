"""Utterances whose length says what is spoken and whose pitch says who speaks, and judges that can tell."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tadicodec.eval.judges.panel import Judges
from tests.conftest import voice

TEXTS = (
    "Birds sing before the morning comes.",
    "A well-known captain sailed his ship home.",
    "Nobody expected snow during that summer.",
    "Please bring two cups of coffee upstairs.",
    "The old clock stopped at half past nine.",
    "My brother painted every door bright green.",
)
PITCHES = {"anna": 100.0, "ben": 230.0}
RATE = 24000


def seconds_of(place: int) -> float:
    return 0.6 + 0.1 * place


def heard_place(wave16k: np.ndarray) -> int:
    return round((len(wave16k) / 16000 - 0.6) / 0.1)


@dataclass
class LengthReader:
    """A recogniser: the length of a wave tells its sentence."""

    name: str = "length reader"
    heard: list[str] = field(default_factory=list)

    def __call__(self, wave16k: np.ndarray) -> str:
        place = heard_place(wave16k)
        text = TEXTS[place] if 0 <= place < len(TEXTS) else ""
        self.heard.append(text)
        return text


class PitchPrint:
    """A speaker embedder: the spectrum from 80 to 300 Hz, as a unit vector."""

    name = "pitch print"

    def __call__(self, wave16k: np.ndarray) -> np.ndarray:
        spectrum = np.abs(np.fft.rfft(wave16k))
        frequencies = np.fft.rfftfreq(len(wave16k), 1 / 16000)
        bands = np.array([spectrum[(frequencies >= f) & (frequencies < f + 10)].sum() for f in range(80, 300, 10)])
        return bands / np.linalg.norm(bands)


class Loudness:
    """An opinion model: louder is better."""

    name = "loudness"

    def __call__(self, wave16k: np.ndarray) -> float:
        return 1 + 4 * float(np.abs(wave16k).mean())


@pytest.fixture
def judges() -> Judges:
    return Judges(LengthReader(), PitchPrint(), Loudness())


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """Six utterances, three of each speaker, all of one split and source."""
    pytest.importorskip("jiwer")
    pytest.importorskip("whisper_normalizer")
    folder = tmp_path / "set"
    folder.mkdir()
    lines = []
    for place, text in enumerate(TEXTS):
        speaker = list(PITCHES)[place % 2]
        name = f"u{place}"
        soundfile.write(folder / f"{name}.wav", voice(seconds_of(place), RATE, PITCHES[speaker], seed=place), RATE)
        lines.append(
            {
                "id": name,
                "audio": f"{name}.wav",
                "text": text,
                "speaker": speaker,
                "seconds": seconds_of(place),
                "sample_rate": RATE,
                "split": "test",
                "source": "made",
            }
        )
    path = folder / "manifest.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path
