"""Short texts, capitals, digits in groups, repeated words: what is said of them, and for how long."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tadicodec.text.normalize import letters_only
from tadicodec.text.numbers import say
from tadicodec.tts.duration import plausible
from tadicodec.tts.wording import as_said

LIST = Path(__file__).parents[2] / "tools" / "short_texts.tsv"
SAID = {
    "hello there": "hello there.",
    "Wait!": "Wait!",
    'He said "no."': 'He said "no."',
    "no no no": "no no no.",
    "HELLO THERE": "HELLO THERE.",
    "The BBC and the U.S.A. met.": "The bee bee see and the you ess ay met.",
    "NASA, WHO?": "NASA, WHO?",
    "OK, PDFs": "okay, PDFs.",
    "TV": "tee vee.",
    "": "",
}
FIGURES = {
    "Call 555-0123-4567.": "Call five five five, zero one two three, four five six seven.",
    "020 7946 0018": "zero two zero, seven nine four six, zero zero one eight",
    "(212) 555-0198": "two one two, five five five, zero one nine eight",
    "+44 20 7946 0018": "plus four four, two zero, seven nine four six, zero zero one eight",
    "the code is 4711, not 47": "the code is four seven one one, not forty seven",
    "5-10 minutes": "five to ten minutes",
    "1914-1918": "nineteen fourteen to nineteen eighteen",
    "100 200 300": "one hundred two hundred three hundred",
    "it is -5, 7-0 at most": "it is minus five, seven-zero at most",
}


@pytest.mark.parametrize("text", SAID)
def test_as_said(text: str) -> None:
    assert as_said(text) == SAID[text]


@pytest.mark.parametrize("text", FIGURES)
def test_figures_in_groups(text: str) -> None:
    assert say(text) == FIGURES[text]


def test_the_list_says_what_the_pipeline_says() -> None:
    rows = [line.split("\t") for line in LIST.read_text().splitlines() if not line.startswith("#")]
    assert len(rows) == 40 and {row[0] for row in rows} == {"few words", "capitals", "digits", "repeated"}
    for kind, text, words in rows:
        if kind != "capitals":
            assert letters_only(as_said(text)) == words, text


def test_short_texts_take_a_plausible_time() -> None:
    stretched = torch.tensor([1.9, 2.3, 2.1, 2.9, 0.3])  # what a model made of "yes.": 1.5 s
    ids = torch.tensor(list(b"yes."))
    said = plausible(stretched, ids)
    assert said.tolist() == pytest.approx([1.0, 1.0, 1.0, 1.5, 0.3])
    long = torch.rand(61) * 4
    assert torch.equal(plausible(long, torch.zeros(60, dtype=torch.long)), long)  # sentences are the model's own
    assert len(plausible(torch.ones(1), torch.zeros(0, dtype=torch.long))) == 1
