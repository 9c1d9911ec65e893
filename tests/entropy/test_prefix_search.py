"""Prefix beam search: exact on small alphabets, greedy where nothing is in doubt, and the text model's float twin."""

from __future__ import annotations

from itertools import groupby, product

import numpy as np
import pytest

from tadicodec.entropy.coder import text_folder
from tadicodec.entropy.letter_model import Continuations, letter_model
from tadicodec.entropy.prefix_search import SearchConfig, prefix_search
from tadicodec.entropy.text_model import END, TextModel
from tadicodec.text.normalize import LETTERS

EVERYTHING = SearchConfig(beam=10**6, weight=0.0, bonus=0.0, below=1e9)
BLANK = len(LETTERS)


def log_softmax(scores: np.ndarray) -> np.ndarray:
    return scores - np.log(np.exp(scores).sum(-1, keepdims=True))


@pytest.mark.parametrize("seed", range(10))
def test_a_wide_search_finds_the_text_of_the_likeliest_sum_of_paths(seed: int) -> None:
    scores = log_softmax(np.random.default_rng(seed).normal(size=(5, 4)) * 2)
    totals: dict[tuple[int, ...], float] = {}
    for path in product(range(4), repeat=5):
        text = tuple(letter for letter, _ in groupby(path) if letter != 3)
        totals[text] = np.logaddexp(totals.get(text, -np.inf), sum(scores[i, j] for i, j in enumerate(path)))
    assert tuple(prefix_search(scores, None, EVERYTHING)) == max(totals, key=lambda text: totals[text])


def test_where_nothing_is_in_doubt_it_writes_the_best_path() -> None:
    path = [LETTERS.index(letter) for letter in "aab"] + [BLANK] + [LETTERS.index(letter) for letter in "bqxz "]
    scores = log_softmax(np.eye(BLANK + 1)[path] * 50)
    wanted = [letter for letter, _ in groupby(path) if letter != BLANK]
    assert prefix_search(scores, letter_model(), SearchConfig()) == wanted
    assert prefix_search(scores[:0], letter_model(), SearchConfig()) == []


def test_the_language_model_decides_between_letters_that_sound_alike() -> None:
    text = "the man said"
    scores = np.full((2 * len(text), BLANK + 1), -20.0)
    scores[1::2, BLANK] = 0.0
    for place, letter in enumerate(text):
        scores[2 * place, LETTERS.index(letter)] = -0.7
        scores[2 * place, LETTERS.index("x")] = -0.69
    found = [prefix_search(scores, letter_model(), SearchConfig()) for _ in range(2)]
    assert "".join(LETTERS[letter] for letter in found[0]) == text
    assert found[0] == found[1]


def test_letters_are_as_likely_as_the_exact_model_finds_them() -> None:
    text = "there was a man who said"
    exact = TextModel(text_folder()).whole(text.encode()).astype(np.float64)
    wanted = log_softmax(np.log(exact[:, [*LETTERS.encode(), END]]))
    texts, number, rows = Continuations(letter_model()), -1, []
    for letter in [-1, *(LETTERS.index(letter) for letter in text)]:
        numbers, follows = texts.extend([number, number], [letter, letter])
        assert np.allclose(follows[0], follows[1], atol=1e-5)  # a batch gives what one alone gives
        number = numbers[0]
        rows.append(follows[0])
    assert np.abs(np.exp(rows) - np.exp(wanted)).max() < 0.01


def chain(count: int) -> tuple[Continuations, np.ndarray]:
    """What follows each beginning of a text of so many letters, of which every second has a twin beside it."""
    texts, number, rows = Continuations(letter_model()), -1, []
    for place in range(count):
        numbers, follows = texts.extend([number] * (1 + place % 2), [place % BLANK] * (1 + place % 2))
        number = numbers[0]
        rows.append(follows[0])
    return texts, np.array(rows)


def test_a_store_that_grows_forgets_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    _, roomy = chain(40)
    monkeypatch.setattr("tadicodec.entropy.letter_model.GROWTH", 4)
    _, grown = chain(40)
    assert np.allclose(roomy, grown, atol=1e-5)


def test_of_a_long_text_the_last_letters_count(monkeypatch: pytest.MonkeyPatch) -> None:
    _, whole = chain(30)
    monkeypatch.setattr("tadicodec.entropy.letter_model.WINDOW", 20)
    texts, forgetful = chain(30)
    assert np.allclose(whole[:20], forgetful[:20], atol=1e-5)
    assert not np.allclose(whole[20:], forgetful[20:], atol=1e-5)
    assert [int((row == 0).sum()) for row in texts.hidden[: len(texts.depths)]] == [
        min(d + 1, 20) for d in texts.depths
    ]


class EndsOnly:
    """A language model, in the place of `Continuations`, to which a text of two letters is at its end."""

    def __init__(self, model: object) -> None:
        self.sizes: list[int] = []

    def extend(self, parents: list[int], letters: list[int]) -> tuple[range, np.ndarray]:
        first = len(self.sizes)
        self.sizes += [self.sizes[parent] + 1 if parent >= 0 else 0 for parent in parents]
        rows = np.full((len(parents), BLANK + 1), -1.0)
        rows[:, -1] = [0.0 if size == 2 else -9.0 for size in self.sizes[first:]]
        return range(first, len(self.sizes)), rows


def test_the_end_and_each_letter_weigh(monkeypatch: pytest.MonkeyPatch) -> None:
    """One, two or three letters are as likely by sound; the end decides, and without a model the bonus."""
    scores = np.full((5, BLANK + 1), -30.0)
    for place, letter in ((0, 0), (2, 1), (4, 2)):
        scores[place, letter] = -0.7
    scores[:, BLANK] = (-1.0, 0.0, -0.6, 0.0, -0.6)
    monkeypatch.setattr("tadicodec.entropy.prefix_search.Continuations", EndsOnly)
    assert len(prefix_search(scores, letter_model(), SearchConfig(weight=0.5, bonus=0.5))) == 2
    assert prefix_search(scores, None, SearchConfig(bonus=0.0)) == [0]
    assert prefix_search(scores, None, SearchConfig(bonus=0.5)) == [0, 1, 2]
