import io
import os

import numpy as np
import pytest
import soundfile

from tadicodec.audio.files import inspect_audio, read_audio, write_audio, write_audio_stream
from tadicodec.errors import InputError, InputWarning

TONE = (0.3 * np.sin(np.arange(24000) * 0.05)).astype(np.float32)


@pytest.mark.parametrize("extension", ["wav", "flac", "ogg", "mp3"])
def test_round_trip(tmp_path, extension):
    path = tmp_path / f"tone.{extension}"
    write_audio(path, TONE, 24000)
    wave, rate = read_audio(path)
    assert rate == 24000 and wave.dtype == np.float32 and wave.shape == TONE.shape
    assert np.corrcoef(wave, TONE)[0, 1] > 0.99
    assert inspect_audio(path).samples == len(TONE)
    assert os.listdir(tmp_path) == [path.name]


def test_sixteen_bits_are_exact_to_half_a_step(tmp_path):
    write_audio(tmp_path / "a.wav", TONE, 24000)
    assert np.abs(read_audio(tmp_path / "a.wav")[0] - TONE).max() <= 1 / 32767


def test_read_and_write_streams():
    stream = io.BytesIO()
    write_audio_stream(stream, TONE, 16000)
    wave, rate = read_audio(io.BytesIO(stream.getvalue()))
    assert rate == 16000 and len(wave) == len(TONE)


def test_a_stream_that_takes_parts_gets_everything():
    class Slow(io.BytesIO):
        def write(self, data):
            return super().write(data[:1000])

    write_audio_stream(stream := Slow(), TONE, 24000)
    assert len(read_audio(io.BytesIO(stream.getvalue()))[0]) == len(TONE)


@pytest.mark.parametrize("channels", [1, 2, 8])
@pytest.mark.parametrize("rate", [8000, 44100, 192000])
def test_channels_are_averaged(tmp_path, channels, rate):
    samples = np.random.default_rng(0).uniform(-1, 1, (1000, channels)).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", samples, rate, subtype="FLOAT")
    wave, found = read_audio(tmp_path / "a.wav")
    assert found == rate and inspect_audio(tmp_path / "a.wav").channels == channels
    np.testing.assert_allclose(wave, samples.mean(axis=1), atol=1e-6)


def test_values_beyond_one_are_clipped(tmp_path):
    write_audio(tmp_path / "a.wav", np.array([3.0, -3.0, 0.0], np.float32), 24000)
    np.testing.assert_allclose(read_audio(tmp_path / "a.wav")[0], [1, -1, 0], atol=1e-4)


def test_more_than_one_block(tmp_path):
    long = np.random.default_rng(0).uniform(-0.5, 0.5, 600_000).astype(np.float32)
    write_audio(tmp_path / "a.flac", long, 24000)
    assert np.abs(read_audio(tmp_path / "a.flac")[0] - long).max() < 1e-4


def bad_inputs(folder):
    """name -> (path, what the message must hold)."""
    text = "this is no audio\n" * 50
    for name in ("text.wav", "text.mp3", "text.raw"):
        (folder / name).write_text(text)
    (folder / "empty.wav").write_bytes(b"")
    (folder / "folder.wav").mkdir()
    soundfile.write(folder / "none.wav", TONE[:0], 24000)
    for name, value in (("nan.wav", np.nan), ("inf.wav", np.inf)):
        soundfile.write(folder / name, np.array([0, value, 0], np.float32), 24000, subtype="FLOAT")
    soundfile.write(folder / "slow.wav", TONE, 3)
    return {
        "missing.wav": "does not exist",
        "folder.wav": "is a folder",
        "empty.wav": "is empty",
        "text.wav": "not audio",
        "text.mp3": "not audio",
        "text.raw": "not audio",
        "none.wav": "no samples",
        "nan.wav": "NaN",
        "inf.wav": "NaN",
        "slow.wav": "3 Hz",
    }


def test_every_bad_input_is_one_clear_line(tmp_path):
    for name, reason in bad_inputs(tmp_path).items():
        with pytest.raises(InputError) as caught:
            read_audio(tmp_path / name)
        assert reason in str(caught.value) and name in str(caught.value) and "\n" not in str(caught.value)


def test_bad_streams():
    for data in (b"", b"text" * 100):
        with pytest.raises(InputError, match="standard input"):
            read_audio(io.BytesIO(data))


def test_a_named_pipe_is_read(tmp_path):
    write_audio(tmp_path / "a.wav", TONE, 24000)
    read_end, write_end = os.pipe()
    os.write(write_end, (tmp_path / "a.wav").read_bytes()[:4000])
    os.close(write_end)
    with pytest.warns(InputWarning, match="0.08 of 1.00 s"):
        wave, _ = read_audio(f"/dev/fd/{read_end}")
    os.close(read_end)
    assert len(wave) == (4000 - 44) // 2


def test_existing_output_is_kept_unless_told(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(b"precious")
    with pytest.raises(InputError, match="overwrite"):
        write_audio(path, TONE, 24000)
    assert path.read_bytes() == b"precious"
    write_audio(path, TONE, 24000, overwrite=True)
    assert len(read_audio(path)[0]) == len(TONE)


@pytest.mark.parametrize(
    ("name", "wave", "reason"),
    [
        ("a.xyz", TONE, ".xyz"),
        ("a", TONE, "without an extension"),
        ("a.wav", np.array([np.nan]), "finite"),
        ("file/a.wav", TONE, "cannot write"),
        ("folder", TONE, "extension"),
        ("folder.wav", TONE, "is a folder"),
    ],
)
def test_bad_outputs_leave_nothing(tmp_path, name, wave, reason):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.wav").mkdir()
    with pytest.raises(InputError, match=reason):
        write_audio(tmp_path / name, wave, 24000)
    assert sorted(os.listdir(tmp_path)) == ["file", "folder.wav"]


def test_a_failed_write_leaves_nothing(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(InputError, match="No space left"):
        write_audio(tmp_path / "a.wav", TONE, 24000)
    assert os.listdir(tmp_path) == []


def test_writing_through_a_link_keeps_the_link(tmp_path):
    (tmp_path / "real.wav").write_bytes(b"old")
    (tmp_path / "link.wav").symlink_to(tmp_path / "real.wav")
    write_audio(tmp_path / "link.wav", TONE, 24000, overwrite=True)
    assert (tmp_path / "link.wav").is_symlink() and len(read_audio(tmp_path / "real.wav")[0]) == len(TONE)
