"""What the page shows is what the codec does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from tadicodec import Codec, InputError
from tadicodec.audio.files import read_audio
from tadicodec.audio.resample import resample
from tadicodec.demo.reconstruct_tab import LONGEST, escaped, hear, picture_html
from tests.conftest import voice

pytest.importorskip("matplotlib")


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    soundfile.write(tmp_path / "a.flac", voice(2.0, 16000), 16000)
    return tmp_path / "a.flac"


def test_it_is_encode_and_decode(codec: Codec, recording: Path) -> None:
    found = hear(codec, str(recording), "one two", None, 3, 7)
    wave = resample(*read_audio(recording), 24000)
    speech = codec.encode(wave, 24000, "one two")
    np.testing.assert_array_equal(found.original, wave)
    expected = codec.decode(speech, steps=3, generator=torch.Generator().manual_seed(7))[0]
    np.testing.assert_array_equal(found.decoded, expected.numpy())
    assert found.picture.startswith(b"\x89PNG") and "data:image/png;base64," in picture_html(found.picture)


def test_bits_are_counted(codec: Codec, recording: Path) -> None:
    found = hear(codec, str(recording), "one two", None, 2, 0)
    assert found.bits.codes == 13 * 14 and found.bits.prompt == 0 and found.bits.text_compressed > 0
    assert "| codes (13 tokens of 14 bits) | 182 | 91.0 |" in found.summary() and "prompt" not in found.summary()
    voiced = hear(codec, str(recording), "one two", str(recording), 2, 0)
    assert voiced.bits.prompt > 1000 and "| prompt, once |" in voiced.summary()


def test_no_text_is_what_the_model_hears(codec: Codec, recording: Path) -> None:
    assert hear(codec, str(recording), "  ", None, 2, 0).speech.text == codec.encode(*read_audio(recording)).text


def test_refusals_and_notes(codec: Codec, recording: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="record something"):
        hear(codec, None, "", None, 2, 0)
    (tmp_path / "text.wav").write_text("hello " * 50)
    with pytest.raises(InputError, match="the file is not audio") as caught:
        hear(codec, str(tmp_path / "text.wav"), "", None, 2, 0)
    assert str(tmp_path) not in str(caught.value)
    soundfile.write(tmp_path / "long.wav", np.zeros(int((LONGEST + 1) * 8000)), 8000)
    with pytest.raises(InputError, match="longer than 120 s"):
        hear(codec, str(tmp_path / "long.wav"), "", None, 2, 0)
    soundfile.write(tmp_path / "half.wav", voice(2.0), 24000)
    (tmp_path / "half.wav").write_bytes((tmp_path / "half.wav").read_bytes()[:48000])
    assert "ends early" in hear(codec, str(tmp_path / "half.wav"), "a", None, 2, 0).summary()


def test_words_cannot_become_markup() -> None:
    assert "<" not in escaped("<script>") and "[" not in escaped("[a](b)") and escaped("he said") == "he said"
