"""Block by block is all at once."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tadicodec.audio import recording
from tadicodec.audio.blocks import Resampler, read_wave_blocks, send_wave_blocks, write_wave_blocks
from tadicodec.audio.files import read_audio, write_audio, write_audio_stream
from tadicodec.audio.resample import resample
from tadicodec.errors import InputError


def noise(count: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(-1.2, 1.2, count).astype(np.float32)


@pytest.mark.parametrize("rate", [8000, 16000, 24000, 44100, 48000])
def test_reading_in_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rate: int) -> None:
    monkeypatch.setattr(recording, "BLOCK", 10_007)
    monkeypatch.setattr(recording, "SMALL", 1009)
    soundfile.write(tmp_path / "a.wav", np.stack([noise(99_000), -0.5 * noise(99_000)], axis=1), rate)
    whole = resample(*read_audio(tmp_path / "a.wav"), 24000)
    blocks = list(read_wave_blocks(tmp_path / "a.wav", 24000))
    assert len(blocks) > 5
    np.testing.assert_array_equal(np.concatenate(blocks), whole)


@pytest.mark.parametrize("count", [1, 100, 4001])
def test_resampled_lengths(count: int) -> None:
    convert, wave = Resampler(44100, 24000), noise(count)
    parts = [convert(part) for part in np.array_split(wave, 3)] + [convert.finish()]
    np.testing.assert_array_equal(np.concatenate(parts), resample(wave, 44100, 24000))


@pytest.mark.parametrize("extension", [".wav", ".flac"])
def test_writing_in_blocks(tmp_path: Path, extension: str) -> None:
    wave = noise(5000)
    write_audio(tmp_path / f"whole{extension}", wave, 24000)
    assert write_wave_blocks(tmp_path / f"blocks{extension}", np.array_split(wave, 7), 24000) == 5000
    assert (tmp_path / f"whole{extension}").read_bytes() == (tmp_path / f"blocks{extension}").read_bytes()
    with pytest.raises(InputError, match="exists"):
        write_wave_blocks(tmp_path / f"blocks{extension}", [wave], 24000)


def test_sending_in_blocks() -> None:
    wave, whole, blocks = noise(5000), io.BytesIO(), io.BytesIO()
    write_audio_stream(whole, wave, 24000)
    send_wave_blocks(blocks, np.array_split(wave, 7), 5000, 24000)
    assert whole.getvalue() == blocks.getvalue()


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    def blocks():
        yield noise(100)
        raise InputError("no more")

    with pytest.raises(InputError, match="no more"):
        write_wave_blocks(tmp_path / "a.wav", blocks(), 24000)
    assert not list(tmp_path.iterdir())
    with pytest.raises(InputError, match="finite"):
        write_wave_blocks(tmp_path / "a.wav", [np.array([np.nan])], 24000)
    with pytest.raises(InputError, match="cannot write .xyz"):
        write_wave_blocks(tmp_path / "a.xyz", [noise(1)], 24000)
