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
