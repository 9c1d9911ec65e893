"""Turns one item of the corpus into a file: read a recording or synthesise, trim, level, write FLAC."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from corpus_plan import Utterance, Voice

RATE = 24000
LEVEL = 10 ** (-23 / 20)  # RMS of every utterance, of full scale
PEAK = 0.95
MARGIN = 0.15  # seconds of silence kept at both ends
QUIET = 10 ** (-40 / 20)  # of the loudest 20 ms: below this an end is silence
PROBE = "The quick brown fox jumps over the lazy dog, and then it rests beside the old stone wall."


@dataclass(frozen=True)
class Recording:
    """A recorded utterance: its line of the source manifest and where it goes."""

    line: dict
    source: Path  # file to read

    @property
    def id(self) -> str:
        """Its id in both manifests."""
        return self.line["id"]

    @property
    def name(self) -> str:
        """Name of its collection: the folder it came in."""
        return Path(self.line["audio"]).parts[0]

    @property
    def audio(self) -> str:
        """Path relative to the manifest."""
        return f"audio/{self.name}/{self.line['speaker']}/{self.id}.flac"


Item = Utterance | Recording


def trim(wave: np.ndarray) -> np.ndarray:
    """[N] -> [N'] with at most 0.15 s of silence before and after the speech."""
    hop = RATE // 50
    frames = wave[: len(wave) // hop * hop].reshape(-1, hop)
    power = np.sqrt((frames**2).mean(1)) if len(frames) else np.zeros(1)
    loud = np.flatnonzero(power > QUIET * power.max())
    if not len(loud):
        return wave
    margin = int(MARGIN * RATE)
    return wave[max(0, loud[0] * hop - margin) : (loud[-1] + 1) * hop + margin]


def level(wave: np.ndarray) -> np.ndarray:
    """[N] at -23 dB RMS, or as loud as a peak of 0.95 allows. Raises ValueError where there is no sound."""
    rms, peak = float(np.sqrt(np.mean(wave**2, dtype=np.float64))), float(np.abs(wave).max(initial=0))
    if not (np.isfinite(rms) and rms > 1e-5):
        raise ValueError("silent or not finite")
    return (wave * min(LEVEL / rms, PEAK / peak)).astype(np.float32)


def write_flac(wave: np.ndarray, path: Path) -> None:
    """Write [N] as 24 kHz 16-bit FLAC; the file appears whole or not at all."""
    import soundfile

    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    soundfile.write(partial, wave, RATE, format="FLAC", subtype="PCM_16")
    partial.replace(path)


class Studio:
    """One process's synthesisers, loaded when first needed."""

    def __init__(self, cache: Path) -> None:
        self.cache = cache
        self._models: dict[str, Any] = {}
        self._styles: dict[str, np.ndarray] = {}

    def wave(self, item: Utterance | Recording) -> np.ndarray:
        """The item's speech [N] at 24 kHz, trimmed and leveled."""
        wave = self.read(item) if isinstance(item, Recording) else self.say(item)
        return level(trim(wave))

    def read(self, item: Recording) -> np.ndarray:
        """Decode a recording [N] to mono 24 kHz."""
        import soundfile
        import soxr

        wave, rate = soundfile.read(item.source, dtype="float32", always_2d=True)
        mono = wave.mean(1)
        return mono if rate == RATE else soxr.resample(mono, rate, RATE)

    def say(self, item: Utterance) -> np.ndarray:
        """Synthesise [N]: spoken at 1 / factor of the speed, then slowed and lowered (or the reverse)."""
        import soxr

        voice, speed = item.voice, item.speed / item.voice.factor
        if voice.source == "hibari":
            wave = self.model("hibari")(item.text, speed=speed, seed=item.seed)
        else:
            wave = self.model("kokoro")(item.text, self.style(voice), voice.british, speed)
        wave = np.asarray(wave, np.float32).ravel()
        return wave if voice.factor == 1.0 else soxr.resample(wave, RATE, int(RATE / voice.factor))

    def style(self, voice: Voice) -> np.ndarray:
        """The voice's style [510, 256]: a pack, or the weighted mean of two."""
        for name in voice.packs:
            if name not in self._styles:
                self._styles[name] = self.model("kokoro").style(name)
        styles = [self._styles[name] for name in voice.packs]
        return styles[0] if len(styles) == 1 else voice.weight * styles[0] + (1 - voice.weight) * styles[1]

    def model(self, name: str) -> Any:
        """Load one of hibari, kokoro, camplus."""
        import speech_models

        from tadicodec.eval.judges.panel import load_embedder

        if name not in self._models:
            loaders = {
                "hibari": speech_models.hibari,
                "kokoro": lambda: speech_models.Kokoro(self.cache),
                "camplus": lambda: load_embedder("campplus"),
            }
            self._models[name] = loaders[name]()
        return self._models[name]

    def voiceprint(self, voice: Voice) -> np.ndarray:
        """Speaker embedding [192] of a voice saying one fixed sentence."""
        from speech_models import to_16k

        item = Utterance("probe", voice, PROBE, "train", 0, 1.0)
        return self.model("camplus")(to_16k(self.wave(item), RATE))
