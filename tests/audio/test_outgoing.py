"""What is sent while it is made is, put together, a file like any other."""

from __future__ import annotations

import io
import warnings

import numpy as np
import pytest

from tadicodec.audio.files import read_audio
from tadicodec.audio.outgoing import MEDIA, outgoing
from tadicodec.errors import InputError
from tests.conftest import voice


@pytest.mark.parametrize("form", MEDIA)
def test_parts_make_a_whole(form: str) -> None:
    wave = 1.2 * voice(3.0)
    stream = outgoing(form, 24000)
    parts = [stream.add(part) for part in np.array_split(wave, 6)] + [stream.finish()]
    assert sum(bool(part) for part in parts[:-1]) >= 3  # it does not wait for the end
    data = b"".join(parts)
    if form == "pcm":
        read, rate = np.frombuffer(data, "<i2") / 32768, 24000
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            read, rate = read_audio(io.BytesIO(data))
    assert rate == 24000 and abs(len(read) - len(wave)) <= (1500 if form == "mp3" else 0)
    if form in ("wav", "pcm", "flac"):
        np.testing.assert_allclose(read, np.clip(wave, -1, 1), atol=1e-4)


@pytest.mark.parametrize("form", MEDIA)
def test_nothing_is_a_file_too(form: str) -> None:
    assert isinstance(outgoing(form, 24000).finish(), bytes)


def test_an_unknown_format() -> None:
    with pytest.raises(InputError, match="aac"):
        outgoing("aac", 24000)
