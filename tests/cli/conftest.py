import io
import sys
from dataclasses import dataclass

import numpy as np
import pytest
import soundfile

from tadicodec.cli.main import main


@dataclass(frozen=True)
class Result:
    code: int
    out: bytes
    err: str

    @property
    def text(self) -> str:
        return self.out.decode()


@pytest.fixture
def cli(capsysbinary, monkeypatch):
    """Run the command line in this process: cli("encode", path, ..., stdin=b"...") -> Result."""

    def call(*arguments, stdin=b"") -> Result:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        capsysbinary.readouterr()
        code = main([str(argument) for argument in arguments])
        captured = capsysbinary.readouterr()
        return Result(code, captured.out, captured.err.decode())

    return call


def speechlike(seconds: float, rate: int = 24000, seed: int = 0) -> np.ndarray:
    """[N] a few harmonics with a slow envelope and some noise."""
    time = np.arange(int(seconds * rate)) / rate
    noise = np.random.default_rng(seed).normal(size=len(time))
    tones = sum(np.sin(2 * np.pi * 130 * n * time + seed) / n for n in range(1, 9))
    return (0.1 * tones * (1 + np.sin(2 * np.pi * 3 * time)) + 0.003 * noise).astype(np.float32)


@pytest.fixture
def make_wave(tmp_path):
    """make_wave("a.wav", seconds, rate, channels) -> path of a file with something like speech in it."""

    def make(name="a.wav", seconds=0.7, rate=24000, channels=1, seed=0):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        wave = speechlike(seconds, rate, seed)
        soundfile.write(path, np.stack([wave] * channels, axis=1), rate)
        return path

    return make
