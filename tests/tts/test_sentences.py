"""Splitting text: at full stops that end sentences, never in the middle of what fits, always within the limit."""

from __future__ import annotations

import pytest

from tadicodec.errors import InputError
from tadicodec.tts.sentences import at_stops, gathered, shorten, size, speakable, split_sentences


def test_full_stops_that_end_a_sentence() -> None:
    text = 'Mr. Smith met J. R. Jones at 3.30 p.m. "Really?" he said. Yes! 你好。再见。\nA title\nThe end'
    assert [part.strip() for part in at_stops(text) if part.strip()] == [
        "Mr. Smith met J. R. Jones at 3.30 p.m.",
        '"Really?"',
        "he said.",
        "Yes!",
        "你好。",
        "再见。",
        "A title",
        "The end",
    ]


def test_short_sentences_stay_together_and_long_ones_are_cut_at_commas() -> None:
    assert split_sentences("One. Two. Three.", 100) == ["One. Two. Three."]
    assert split_sentences("One two three four, five six seven. Eight.", 24) == [
        "One two three four,",
        "five six seven.",
        "Eight.",
    ]


@pytest.mark.parametrize("most", [1, 4, 7, 30, 200])
@pytest.mark.parametrize("text", ["word " * 2000, "x" * 500, "早上好" * 50, "a, b; c: d - e", "🎉 hello 🎉 world 🎉"])
def test_nothing_is_lost_and_nothing_is_too_long(text: str, most: int) -> None:
    parts = split_sentences(text, most)
    longest_letter = max(size(letter) for letter in text)
    assert all(size(part) <= max(most, longest_letter) and speakable(part) for part in parts)
    said = [letter for letter in text if letter.isalnum()]
    assert [letter for part in parts for letter in part if letter.isalnum()] == said


def test_joining_keeps_spaces_out_of_scripts_without_them() -> None:
    assert gathered(["你好。", "再见。"], 100) == ["你好。再见。"]
    assert gathered(["One.", "Two."], 100) == ["One. Two."] and gathered(["One. ", "Two."], 100) == ["One. Two."]
    assert shorten("no comma here", 8) == ["no comma ", "here"]


@pytest.mark.parametrize("text", ["", "  \n", "...!?", "🎉🎉", "—", "\u200b"])
def test_nothing_to_say(text: str) -> None:
    with pytest.raises(InputError, match="nothing to say"):
        split_sentences(text, 100)
