"""Text as it is said: the rules shared by training and inference."""

from __future__ import annotations

import pytest

from tadicodec.text.normalize import letters_only, normalize

SAID = {
    "  Straße\n“Don’t”—stop…  ": "straße don't -stop...",
    "Mr. Smith met Dr. Jones of St. Ives": "mister smith met doctor jones of saint ives",
    "$5.50, £1.01 and $2 million": "five dollars and fifty cents, one pound and one penny and two million dollars",
    "$1": "one dollar",
    "1,234 books; 3.14 and -7": "one thousand two hundred thirty four books; three point one four and minus seven",
    "May 21st, 1984": "may twenty first, nineteen eighty four",
    "the 1990s, 1900, 1806 and 2003": "the nineteen nineties, nineteen hundred, eighteen oh six and two thousand three",
    "at 10:05, 7:30 and 12:00": "at ten oh five, seven thirty and twelve o'clock",
    "No. 5, #7": "number five, number seven",
    "I said no. Then 007 came": "i said no. then zero zero seven came",
    "50% & more": "fifty percent and more",
    "a [b] (c) *d*": "a b c d",
    "": "",
}


@pytest.mark.parametrize("written", SAID)
def test_normalize(written: str) -> None:
    assert normalize(written) == SAID[written]


ODD = ("1.2.3", "٣ apples", "9" * 40, "½ 5€", "12:99", "1e9", "3,,4", "0.5.", "1st1")


@pytest.mark.parametrize("written", [*SAID, *ODD])
def test_nothing_is_left_to_spell_and_twice_is_once(written: str) -> None:
    said = normalize(written)
    assert not any(character.isdecimal() for character in said)
    assert normalize(said) == said


def test_letters_only() -> None:
    assert letters_only("Zoë's café — “quoted”, 21!") == "zoe's cafe quoted twenty one"
    assert letters_only("你好") == ""
