import io
import sys
from dataclasses import dataclass

import numpy as np
import pytest
import soundfile

from tadicodec.cli.main import main
from tests.conftest import voice


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


@pytest.fixture
def make_wave(tmp_path):
    """make_wave("a.wav", seconds, rate, channels) -> path of a file with something like speech in it."""

    def make(name="a.wav", seconds=0.7, rate=24000, channels=1, seed=0):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        wave = voice(seconds, rate, seed=seed)
        soundfile.write(path, np.stack([wave] * channels, axis=1), rate)
        return path

    return make
