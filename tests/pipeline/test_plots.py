"""Pictures are drawn of any speech, and say what they show."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest

from tadicodec.errors import InputError
from tadicodec.pipeline import plots
from tadicodec.text.captions import Word
from tests.conftest import voice

pytest.importorskip("matplotlib")


def pixels(data: bytes) -> np.ndarray:
    from matplotlib.image import imread

    return imread(io.BytesIO(data))


def utterance(seconds: float, words: list[Word]) -> plots.Utterance:
    tokens = max(int(seconds * 6.25), 1)
    codes = np.random.default_rng(0).integers(0, 1 << 14, tokens)
    return plots.Utterance(voice(seconds), 24000, np.zeros((8 * tokens, 128), np.float32), codes, words)


@pytest.mark.parametrize("seconds", [0.01, 2.0, 200.0])
def test_utterances(seconds: float) -> None:
    words = [Word("cost", 0.0, 0.4), Word("$5", 0.5, 0.9), Word("你好", 1.0, 1.2), Word("a_{b^", 1.3, 1.9)]
    figure = plots.draw_utterance(utterance(seconds, words), "a.wav")
    picture = pixels(plots.png(figure))
    assert picture.shape[0] == 700 and 900 <= picture.shape[1] <= 4000 and picture[..., :3].std() > 0.05
    assert {text.get_text() for text in figure.axes[0].texts} == {"cost", r"\$5", "你好", "a_{b^"}
    title = figure.axes[0].get_title()
    assert title == ("a.wav (the first 60 of 200 s)" if seconds > 60 else "a.wav")


def test_bits_of_codes() -> None:
    figure = plots.draw_utterance(
        plots.Utterance(np.zeros(3840), 24000, np.zeros((8, 128)), np.array([0b101, 1 << 13]))
    )
    bits = figure.axes[2].images[0].get_array()
    assert bits[:, 0].tolist() == [1, 0, 1] + [0] * 11 and bits[:, 1].tolist() == [0] * 13 + [1]


def test_a_model_with_more_bits_a_code() -> None:
    codes = np.array([1 << 15, 0])
    figure = plots.draw_utterance(plots.Utterance(np.zeros(7680), 24000, np.zeros((16, 128)), codes, code_bits=16))
    assert figure.axes[2].images[0].get_array()[:, 0].tolist() == [0] * 15 + [1]


def test_two_mels_have_one_scale() -> None:
    one = utterance(1.0, [])
    figure = plots.draw_utterance(replace(one, decoded=one.mel + 1))
    assert [axes.get_ylabel() for axes in figure.axes] == [
        "sound",
        "mel, original",
        "mel, decoded",
        "bits of the codes",
    ]
    assert {axes.images[0].get_clim() for axes in figure.axes[1:3]} == {(0.0, 1.0)}


def test_without_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    with pytest.raises(InputError, match=r"tadicodec\[plot\]"):
        plots.new_figure(1, 1)
