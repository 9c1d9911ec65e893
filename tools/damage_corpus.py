"""Test recordings as a telephone, a noisy street, a room or a timid speaker would have delivered them.

    python tools/damage_corpus.py corpus/manifest.jsonl damaged --split test_seen --limit 6

writes damaged/manifest.jsonl for `tadicodec evaluate damaged/manifest.jsonl --conditions text,own`: each utterance once
undamaged and once a kind of damage, which is also its source, so that figures come by kind. The damage is done to waves
and shares no code with what training does to mels.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tadicodec.audio.files import read_audio
from tadicodec.audio.resample import resample
from tadicodec.errors import InputError
from tadicodec.eval.utterances.cases import Case, read_cases

RATE = 24000
Damage = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def phone(wave: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """[N] at 24 kHz through 0.3 to 3.4 kHz, 8 kHz and 8-bit mu-law (G.711)."""
    narrow = band(resample(wave, RATE, 8000), 8000, 300, 3400)
    mu = np.sign(narrow) * np.log1p(255 * np.abs(narrow).clip(max=1)) / np.log(256)
    coarse = np.round(mu * 127) / 127
    linear = np.sign(coarse) * (256 ** np.abs(coarse) - 1) / 255
    return fit(resample(linear.astype(np.float32), 8000, RATE), len(wave))


def noise(wave: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """Pink noise 15 dB below the speech."""
    spectrum = np.fft.rfft(draw.standard_normal(len(wave)))
    pink = np.fft.irfft(spectrum / np.sqrt(np.maximum(np.arange(len(spectrum)), 1)), len(wave))
    return wave + pink * (rms(wave) / rms(pink) * 10 ** (-15 / 20))


def room(wave: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """A reverberation of 0.4 s (60 dB), 6 dB below the direct sound."""
    time = np.arange(int(0.4 * RATE)) / RATE
    tail = draw.standard_normal(len(time)) * 10 ** (-3 * time / 0.4)
    tail[: RATE // 200] = 0  # 5 ms until the first wall
    wet = np.convolve(wave, tail)[: len(wave)]
    return wave + wet * (rms(wave) / rms(wet) * 10 ** (-6 / 20))


def quiet(wave: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """30 dB down."""
    return wave * 10 ** (-30 / 20)


KINDS: dict[str, Damage] = {"undamaged": lambda wave, draw: wave, "phone": phone, "noise": noise, "room": room}
KINDS |= {"quiet": quiet}


def band(wave: np.ndarray, rate: int, low: float, high: float) -> np.ndarray:
    """Nothing outside of low to high Hz."""
    spectrum = np.fft.rfft(wave)
    hertz = np.fft.rfftfreq(len(wave), 1 / rate)
    return np.fft.irfft(spectrum * ((hertz >= low) & (hertz <= high)), len(wave))


def rms(wave: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(wave)))) or 1.0


def fit(wave: np.ndarray, size: int) -> np.ndarray:
    return np.pad(wave[:size], (0, max(size - len(wave), 0)))


def write(case: Case, kind: str, out: Path) -> dict:
    """One file and its line of the manifest."""
    import soundfile

    wave = resample(*read_audio(case.audio), RATE)
    damaged = KINDS[kind](wave.astype(np.float64), np.random.default_rng(len(wave)))
    path = out / "audio" / kind / f"{case.id}.flac"
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, (damaged / max(1.0, float(np.abs(damaged).max()))).astype(np.float32), RATE)
    line = {
        "id": f"{kind}-{case.id}",
        "audio": str(path.relative_to(out)),
        "text": case.text,
        "speaker": "",
        "source": kind,
    }
    return line | {"seconds": round(len(wave) / RATE, 3), "sample_rate": RATE, "split": case.split}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("manifest", type=Path)
    parser.add_argument("out", type=Path, help="folder to write; must not exist")
    parser.add_argument("--split", default="test_seen")
    parser.add_argument("--limit", type=int, default=6, help="utterances of each source (default %(default)s)")
    arguments = parser.parse_args()
    try:
        if arguments.out.exists():
            raise InputError(f"{arguments.out}: exists; choose another folder")
        cases = read_cases(arguments.manifest, (arguments.split,), arguments.limit).cases
        lines = [write(case, kind, arguments.out) for kind in KINDS for case in cases]
    except InputError as error:
        print(f"damage_corpus: error: {error}", file=sys.stderr)
        return 2
    manifest = arguments.out / "manifest.jsonl"
    manifest.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")
    print(f"{manifest}: {len(lines)} utterances")
    return 0


if __name__ == "__main__":
    sys.exit(main())
