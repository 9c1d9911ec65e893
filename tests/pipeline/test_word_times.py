"""When words are said, on real speech with the bundled model and on any speech with a tiny one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tadicodec import Codec, InputError
from tests.conftest import tiny_codec, voice

SAMPLES = Path(__file__).parents[2] / "samples"


@pytest.fixture(scope="module")
def bundled() -> Codec:
    return Codec.from_pretrained()


def sample(number: int) -> tuple[np.ndarray, str]:
    wave, _ = soundfile.read(SAMPLES / f"austen_{number}.flac", dtype="float32")
    return wave, (SAMPLES / f"austen_{number}.txt").read_text().strip()


def test_words_begin_where_the_sound_does(bundled: Codec) -> None:
    """Two sentences with 1.5 s of silence before, between and behind them: no word lies in a silence."""
    (first, one), (second, two) = sample(2), sample(4)
    rest = np.zeros(24000, np.float32)
    speech = bundled.encode(np.concatenate([rest, first, rest, second, rest]), 16000, f"{one} {two}")
    words = bundled.words(speech)
    assert [word.word for word in words] == f"{one} {two}".split()
    assert all(a.start < a.end <= b.end and a.start <= b.start for a, b in zip(words, words[1:]))
    said = len(one.split())
    begin, middle = 1.5, 3.0 + len(first) / 16000
    assert begin <= words[0].start < begin + 0.5 and middle <= words[said].start < middle + 0.5
    assert words[said - 1].end <= middle - 1.4 and words[-1].end <= float(speech.seconds[0]) - 1.4


def test_long_speech_is_as_short_speech(bundled: Codec) -> None:
    """Five sentences alone, and one after another in windows: the same times."""
    waves, texts = zip(*(sample(number) for number in range(1, 6)))
    alone, place = [], 0.0
    for wave, text in zip(waves, texts):
        alone += [word.start + place for word in bundled.words(bundled.encode(wave, 16000, text))]
        place += len(wave) / 16000
    together = bundled.words(bundled.encode(np.concatenate(waves), 16000, " ".join(texts)))
    assert int(place * 6.25) > bundled.limits.piece_tokens
    differences = np.abs([word.start - start for word, start in zip(together, alone, strict=True)])
    assert np.median(differences) < 0.08 and np.quantile(differences, 0.95) < 0.25


def test_they_come_from_codes_and_text_alone(bundled: Codec) -> None:
    speech = bundled.encode(*sample(2)[:1], 16000, sample(2)[1])
    assert bundled.words(speech) == bundled.words(replace(speech, model="", weights=""))


@pytest.mark.parametrize("seconds", [0.1, 1.0, 30.0])
@pytest.mark.parametrize("text", ["one", "Mr. Smith, (aged 42) -- said: “Hi!” 你好。", "word " * 30, "", " ... "])
def test_any_speech_and_any_text(codec: Codec, seconds: float, text: str) -> None:
    """Whatever the text: every word is there, in order, and within the speech."""
    speech = codec.encode(voice(seconds), 24000, text="")
    words = codec.words(replace(speech, text=(text,)))
    assert "".join(word.word for word in words) == "".join(text.split())
    assert all(0 <= word.start <= word.end <= seconds + 1e-6 for word in words)
    assert all(a.start <= b.start for a, b in zip(words, words[1:]))


def test_refusals(codec: Codec) -> None:
    speech = codec.encode([voice(0.5), voice(0.6)], 24000, text="a")
    with pytest.raises(InputError, match="one utterance"):
        codec.words(speech)
    with pytest.raises(InputError, match="no aligner"):
        tiny_codec(prior_layers=0).words(speech[0])
    assert codec.words(replace(speech[0], text=(None,))) == []
