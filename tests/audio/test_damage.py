"""Damaged and streamed files are read as other players read them, and what is lost is said. The rows of the table in
docs/audio_formats.md are the names of these cases."""

from __future__ import annotations

import io
import struct
import warnings
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tadicodec.audio import ffmpeg, marks, recording
from tadicodec.audio.files import inspect_audio, read_audio
from tadicodec.errors import InputError, InputWarning
from tests.conftest import voice

RATE = 24000
SPEECH = voice(3.0, RATE)


def made(form: str, subtype: str, wave: np.ndarray = SPEECH) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, wave, RATE, format=form, subtype=subtype)
    return file.getvalue()


def sized(data: bytes, size: int) -> bytes:
    """A WAV file whose header announces `size` bytes of samples."""
    return data[:4] + struct.pack("<I", min(size + 36, 0xFFFFFFFF)) + data[8:40] + struct.pack("<I", size) + data[44:]


def holed(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes(400) + data[middle + 400 :]


def cut(data: bytes, share: float = 0.6) -> bytes:
    return data[: int(share * len(data))]


WAV, FLAC, MP3 = made("WAV", "PCM_16"), made("FLAC", "PCM_16"), made("MP3", "MPEG_LAYER_III")
OGG, OPUS = made("OGG", "VORBIS"), made("OGG", "OPUS")
CHUNK = b"LIST" + struct.pack("<I", 4) + b"INFO"
ID3 = b"ID3\4\0\0\0\0\2\0" + bytes(256)
CASES: dict[str, tuple[bytes, float, str | None]] = {  # bytes, seconds that are read, what the warning says
    "wav, size 0, from a pipe": (sized(WAV, 0), 3.0, None),
    "wav, size 0xFFFFFFFF, from a pipe": (sized(WAV, 0xFFFFFFFF), 3.0, None),
    "wav, size 0x7FFFFFFF, from a recorder": (sized(WAV, 0x7FFFFFFF - 36), 3.0, None),
    "wav, samples behind the announced size": (sized(WAV, 48000), 1.0, "announces 1.00 s; 2.00 s more follow"),
    "wav, cut off": (cut(WAV), 1.8, "1.80 of 3.00 s (60 %)"),
    "two wavs in a row": (WAV + WAV, 3.0, "another recording follows"),
    "wav, text behind the samples": (WAV + CHUNK, 3.0, None),
    "wav, an odd number of bytes": (made("WAV", "PCM_U8", SPEECH[:-1]) + CHUNK, 3.0, None),
    "wav with 64-bit sizes, cut off": (cut(made("RF64", "PCM_16")), 1.8, "1.80 of 3.00 s (60 %)"),
    "Wave64, cut off": (cut(made("W64", "PCM_16")), 1.8, "1.80 of 3.00 s (60 %)"),
    "aiff, cut off": (cut(made("AIFF", "PCM_16")), 1.8, "1.80 of 3.00 s (60 %)"),
    "two aiffs in a row": (made("AIFF", "PCM_16") * 2, 3.0, "another recording follows"),
    "au, cut off": (cut(made("AU", "PCM_16")), 1.8, "1.80 of 3.00 s (60 %)"),
    "flac, cut off": (cut(FLAC), 1.6, "of 3.00 s"),
    "two flacs in a row": (FLAC + FLAC, 3.0, "another recording follows"),
    "opus, cut off": (cut(OPUS), 0.97, "its end is missing: 0.97 s"),
    "two oggs in a row": (OGG + OGG, 3.0, "another recording follows"),
    "mp3, cut off": (cut(MP3), 1.8, "of 3.0"),
    "mp3, junk before the first frame": (b"\1junk" * 500 + MP3, 3.0, "the 2500 bytes before its first mp3 frame"),
    "mp3, junk between two frames": (holed(MP3), 2.9, "damaged and left out"),
    "mp3, tags on both sides": (ID3 + ID3 + MP3 + b"TAG" + bytes(125), 3.0, None),
    "mp3, two in a row": (MP3 + ID3 + MP3, 6.0, None),
    "samples far above 1": (made("WAV", "FLOAT", 20 * SPEECH), 3.0, "where 1 is full scale"),
}


@pytest.mark.parametrize("kind", CASES)
@pytest.mark.parametrize("other", [True, False])
def test_what_is_there_is_read_and_what_is_lost_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, other: bool
) -> None:
    """With ffmpeg and without: as a file and as a stream."""
    if not other:
        monkeypatch.setattr(recording, "available", lambda: False)
    data, seconds, warning = CASES[kind]
    (tmp_path / "a.wav").write_bytes(data)
    for source in (tmp_path / "a.wav", io.BytesIO(data)):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            wave, rate = read_audio(source)
        said = [str(one.message) for one in caught]
        assert rate == RATE and len(wave) / RATE == pytest.approx(seconds, abs=0.13)
        assert len(said) == (warning is not None), said
        if warning is not None:
            assert issubclass(caught[0].category, InputWarning)
            assert warning in said[0] and "\n" not in said[0] and "{" not in said[0]
            assert ("a.wav" if source != tmp_path else "standard input") in said[0] or isinstance(source, io.BytesIO)


def test_samples_of_damaged_files_are_those_of_whole_ones() -> None:
    for kind, data in (("wav, size 0, from a pipe", WAV), ("wav, cut off", WAV), ("flac, cut off", FLAC)):
        whole = read_audio(io.BytesIO(data))[0]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", InputWarning)
            wave = read_audio(io.BytesIO(CASES[kind][0]))[0]
        np.testing.assert_array_equal(wave, whole[: len(wave)])


def test_mp3_with_a_changing_rate_and_no_length_is_read_to_its_end() -> None:
    """libsndfile guesses the length from the first frame, and stops there."""
    av = pytest.importorskip("av")
    file = io.BytesIO()
    with av.open(file, "w", format="mp3", options={"write_xing": "0"}) as out:
        sound = out.add_stream("libmp3lame", rate=16000, layout="mono")
        sound.codec_context.flags |= 2  # constant quality
        loud = voice(4.0, 16000) * np.repeat([0.001, 1.0], 32000).astype(np.float32)
        frame = av.AudioFrame.from_ndarray(loud[None], "fltp", "mono")
        frame.sample_rate = 16000
        for packet in [*sound.encode(frame), *sound.encode(None)]:
            out.mux(packet)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(read_audio(io.BytesIO(file.getvalue()))[0]) / 16000 == pytest.approx(4.0, abs=0.15)


def test_damage_in_the_middle_of_a_flac_costs_its_blocks_only() -> None:
    pytest.importorskip("av")
    with pytest.warns(InputWarning, match="damaged"):
        wave, _ = read_audio(io.BytesIO(holed(FLAC)))
    assert 2.0 < len(wave) / RATE < 3.0


def test_info_says_it_too(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(cut(WAV))
    info = inspect_audio(tmp_path / "a.wav")
    assert info.seconds == pytest.approx(1.8, abs=0.01) and "1.80 of 3.00 s" in info.notes[0]
    (tmp_path / "a.wav").write_bytes(WAV)
    assert inspect_audio(tmp_path / "a.wav").notes == ()


def test_without_ffmpeg_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "available", lambda: False)
    with pytest.raises(InputError, match=r"tadicodec\[formats\]"):
        read_audio(io.BytesIO(b"\x1a\x45\xdf\xa3" + bytes(500)))


def test_an_mp4_that_was_cut_off(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="was cut off"):
        read_audio(io.BytesIO(b"\0\0\0\x14ftypisom\0\0\0\0isom" + bytes(1000)))


def test_no_bytes_make_it_crash() -> None:
    """Each of many damaged files is read, or refused in one line."""
    chance = np.random.default_rng(0)
    for data in (WAV[:20000], made("AIFF", "PCM_16")[:20000], cut(FLAC, 0.3), cut(MP3, 0.5), cut(OPUS, 0.5), OGG):
        for _ in range(40):
            broken = bytearray(data)
            for place in chance.integers(0, min(len(data), 200), 3):
                broken[place] = chance.integers(256)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", InputWarning)
                try:
                    read_audio(io.BytesIO(bytes(broken[: chance.integers(1, len(broken))])))
                except InputError as error:
                    assert "\n" not in str(error)


def test_marks_survive_any_bytes() -> None:
    chance = np.random.default_rng(1)
    for head in (b"RIFF", b"RF64", b"FORM", marks.W64, b".snd", b"OggS", b"fLaC", b"ID3", b"\xff\xfb"):
        for size in (0, 1, 4, 30, 500):
            for _ in range(20):
                marks.read_marks(head + chance.integers(0, 256, size, np.uint8).tobytes())


@pytest.mark.parametrize("text", ["#EXTM3U\n#EXTINF:1,\n{path}\n", "ffconcat version 1.0\nfile '{path}'\n"])
def test_a_playlist_cannot_make_us_read_other_files(tmp_path: Path, text: str) -> None:
    """ffmpeg would follow it to any file or address."""
    if not ffmpeg.available():
        pytest.skip("neither PyAV nor ffmpeg")
    (tmp_path / "secret.wav").write_bytes(WAV)
    with pytest.raises(InputError, match="not audio"):
        read_audio(io.BytesIO(text.format(path=tmp_path / "secret.wav").encode()))
