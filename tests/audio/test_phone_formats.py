"""What phones, browsers and cameras record is read: by PyAV, and by an `ffmpeg` on the PATH."""

from __future__ import annotations

import shutil
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

from tadicodec.audio import ffmpeg
from tadicodec.audio.blocks import read_wave_blocks
from tadicodec.audio.files import READABLE, inspect_audio, read_audio
from tadicodec.audio.resample import resample
from tadicodec.errors import InputError, InputWarning
from tests.audio.phones import KINDS, record
from tests.conftest import voice

pytest.importorskip("av")


def likeness(a: np.ndarray, b: np.ndarray) -> float:
    """Best correlation of two waves over all delays: encoders put some samples before the sound."""
    size = 2 * max(len(a), len(b))
    product = np.fft.irfft(np.fft.rfft(a, size) * np.conj(np.fft.rfft(b, size)))
    return float(product.max() / np.sqrt(np.square(a).sum() * np.square(b).sum()))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("channels", [1, 2])
def test_every_kind_is_read(tmp_path: Path, kind: str, channels: int) -> None:
    rate = KINDS[kind][2]
    if channels == 2 and kind in ("amr", "avi", "caf"):
        pytest.skip("its encoder takes one channel")
    wave = voice(2.0, rate)
    path = record(tmp_path / f"a.{kind}", wave, channels=channels)
    assert path.suffix in READABLE
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read, found = read_audio(path)
    assert found == rate and len(read) / rate == pytest.approx(2.0, abs=0.06)
    assert likeness(read, wave) > (0.4 if kind == "amr" else 0.95)  # AMR keeps words, not waves
    info = inspect_audio(path)
    assert info.seconds == pytest.approx(2.0, abs=0.06) and info.channels == channels


@pytest.mark.parametrize("kind", ["mp4", "mov", "mkv", "avi", "3gp"])
def test_the_sound_of_a_film(tmp_path: Path, kind: str) -> None:
    wave = voice(1.0, KINDS[kind][2])
    read, _ = read_audio(record(tmp_path / f"film.{kind}", wave, picture=True))
    assert likeness(read, wave) > 0.95


def test_a_name_that_lies(tmp_path: Path) -> None:
    record(tmp_path / "a.m4a", voice(1.0, 44100)).rename(tmp_path / "a.wav")
    assert len(read_audio(tmp_path / "a.wav")[0]) / 44100 == pytest.approx(1.0, abs=0.06)


def test_block_by_block_is_all_at_once(tmp_path: Path) -> None:
    path = record(tmp_path / "a.m4a", voice(3.0, 44100))
    whole = resample(*read_audio(path), 24000)
    np.testing.assert_array_equal(np.concatenate(list(read_wave_blocks(path, 24000))), whole)


@pytest.mark.parametrize(
    ("kind", "options", "said"),
    [("webm", {}, "it ends early"), ("mkv", {}, "it ends early"), ("m4a", {"movflags": "faststart"}, "of 2.00 s")],
)
def test_a_file_that_was_cut_off(tmp_path: Path, kind: str, options: dict[str, str], said: str) -> None:
    path = record(tmp_path / f"a.{kind}", voice(2.0, KINDS[kind][2]), **options)
    path.write_bytes(path.read_bytes()[: int(0.6 * path.stat().st_size)])
    with pytest.warns(InputWarning, match=said):
        read, rate = read_audio(path)
    assert 0.5 < len(read) / rate < 1.5


def test_damage_inside(tmp_path: Path) -> None:
    path = record(tmp_path / "a.aac", voice(2.0, 44100))
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 300] = bytes(300)
    path.write_bytes(data)
    with pytest.warns(InputWarning, match="damaged"):
        read, rate = read_audio(path)
    assert len(read) / rate > 1.5


def test_an_m4a_without_its_end(tmp_path: Path) -> None:
    path = record(tmp_path / "a.m4a", voice(1.0, 44100))
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(InputError, match="was cut off"):
        read_audio(path)


def test_a_film_without_sound(tmp_path: Path) -> None:
    import av

    with av.open(str(tmp_path / "a.mp4"), "w") as file:
        video = file.add_stream("mpeg4", rate=10)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        file.mux(video.encode(av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), "rgb24")))
        file.mux(video.encode(None))
    with pytest.raises(InputError, match="no sound"):
        read_audio(tmp_path / "a.mp4")


STAND_IN = """#!{python}
import struct, sys
assert sys.argv[sys.argv.index("-format_whitelist") + 1].startswith("aac,")
data = open(sys.argv[sys.argv.index("-i") + 1].removeprefix("file:"), "rb").read()
if b"moov" not in data:
    sys.exit(print("moov atom not found", file=sys.stderr))
sys.stdout.buffer.write(struct.pack(">4s5I", b".snd", 28, 0xFFFFFFFF, 6, 8000, 2) + bytes(4))
sys.stdout.buffer.write(struct.pack(">4f", 0.5, 0.25, -0.5, -0.25) * 4000)
"""


@pytest.fixture(params=["a stand-in", "the program"])
def program(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> bool:
    """An `ffmpeg` on the PATH instead of PyAV; whether it is the real one."""
    monkeypatch.setattr(ffmpeg, "has_pyav", lambda: False)
    if request.param == "the program":
        if shutil.which("ffmpeg") is None:
            pytest.skip("no ffmpeg on the PATH")
        return True
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "ffmpeg").write_text(STAND_IN.format(python=sys.executable))
    (tmp_path / "bin" / "ffmpeg").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return False


def test_the_program_ffmpeg(program: bool, tmp_path: Path) -> None:
    wave = voice(1.0, 44100)
    read, rate = read_audio(record(tmp_path / "a.m4a", wave))
    if program:
        assert rate == 44100 and likeness(read, wave) > 0.95
    else:
        assert rate == 8000
        np.testing.assert_array_equal(read, np.tile(np.float32([0.375, -0.375]), 4000))


def test_the_program_says_why(program: bool, tmp_path: Path) -> None:
    (tmp_path / "a.webm").write_bytes(b"\x1a\x45\xdf\xa3" + bytes(600))
    with pytest.raises(InputError) as caught:
        read_audio(tmp_path / "a.webm")
    assert "\n" not in str(caught.value) and (program or "moov atom not found" in str(caught.value))
