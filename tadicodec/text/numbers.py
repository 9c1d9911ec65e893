"""Numbers, money, times and abbreviations as they are said in English (inflect spells the numbers)."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

ABBREVIATIONS = {
    "mr": "mister", "mrs": "missus", "ms": "miz", "dr": "doctor", "st": "saint", "prof": "professor", "jr": "junior",
    "sr": "senior", "vs": "versus", "etc": "et cetera", "capt": "captain", "col": "colonel", "gen": "general",
    "lt": "lieutenant", "sgt": "sergeant", "rev": "reverend", "hon": "honorable", "dept": "department",
    "approx": "approximately",
}  # fmt: skip
CURRENCIES = {"$": ("dollar", "cent"), "£": ("pound", "penny"), "€": ("euro", "cent")}
SYMBOLS = {"%": " percent ", "&": " and ", "@": " at ", "+": " plus ", "=": " equals ", "°": " degrees ", "⁄": " over "}

ABBREVIATION = re.compile(rf"\b({'|'.join(ABBREVIATIONS)})\.", re.IGNORECASE)
NUMBER_SIGN = re.compile(r"(?:#|\bno\.) ?(?=\d)", re.IGNORECASE)
MONEY = re.compile(r"([$£€]) ?(\d+(?:,\d{3})*)(?:\.(\d\d)\b)?( (?:thousand|million|billion|trillion))?")
TIME = re.compile(r"\b(\d{1,2}):(\d\d)\b")
ORDINAL = re.compile(r"\b(\d+(?:,\d{3})*)(?:st|nd|rd|th)\b", re.IGNORECASE)
DECADE = re.compile(r"\b(1[1-9]\d0|20[1-9]0)(?:'?s)\b")
YEAR = re.compile(r"\b(1[1-9]\d\d|20[1-9]\d)\b(?![,.]\d)")
NUMBER = re.compile(r"(?:(?<![\w.])-)?(?<![\d.])\d+(?:,\d{3})*(?:\.\d+)?")
TELEPHONE = re.compile(
    r"(?<![\w.,$£€-])(?:\+\d{1,3}[ -]?)?(?:\(\d{1,5}\)[ -]?)?\d{1,6}(?:[ -]\d{1,6})+(?![\w%-]|[.,:]\d)"
)
FEWEST_DIGITS = 7  # of a telephone number in groups
DATE = re.compile(r"(?:1[1-9]|20)\d\d-(?:\d\d-\d\d|(?:1[1-9]|20)\d\d)")  # 2024-05-06, and years from to
RANGE = re.compile(r"(?<![\w.,$£€-])(\d+)-(\d+)(?![\w%-]|[.,:]\d)")
CODE = re.compile(r"\b((?:code|pin|password|passcode|extension|postcode)(?: is| was|:)?) (\d{3,})\b", re.IGNORECASE)
LEFT = re.compile(r"\d+")  # of a version or an address, such as 1.2.3
LONGEST = 15  # digits; longer ones are read one by one


def say(text: str) -> str:
    """An English text with its digits, currency signs and abbreviations written as they are said."""
    text = ABBREVIATION.sub(lambda found: ABBREVIATIONS[found[1].lower()], text)
    if any(character.isdecimal() for character in text):
        text = NUMBER_SIGN.sub("number ", text)
        for pattern, spoken in RULES:
            text = pattern.sub(spoken, text)
        text = LEFT.sub(lambda found: f" {words(found[0])} ", text)
    return "".join(SYMBOLS.get(character, character) for character in text)


def money(found: re.Match[str]) -> str:
    """An amount of money, as a match of `MONEY` has it, in words."""
    whole, part, scale = found[2].replace(",", ""), found[3], found[4]
    unit, small = CURRENCIES[found[1]]
    if scale:
        return f"{words(whole + (f'.{part}' if part else ''))}{scale} {unit}s"
    said = f"{words(whole)} {unit}{'' if whole == '1' else 's'}"
    if not part or int(part) == 0:
        return said
    smalls = {"penny": "pence"}.get(small, f"{small}s")
    return f"{said} and {words(int(part))} {small if int(part) == 1 else smalls}"


def clock(found: re.Match[str]) -> str:
    """A time of day in words: "5:30" is "five thirty"."""
    hour, minute = int(found[1]), int(found[2])
    if hour > 24 or minute > 59:
        return f"{words(found[1])} {words(found[2])}"
    if minute == 0:
        return f"{words(hour)} o'clock" if hour <= 12 else f"{words(hour)} hundred"
    return f"{words(hour)} {'oh ' if minute < 10 else ''}{words(minute)}"


def telephone(found: re.Match[str]) -> str:
    """Groups of digits one by one, with a pause between the groups; other figures in a row are left as they are.

    Groups with spaces between them are taken for a telephone number where they begin as one: with 0, + or a bracket.
    """
    text = found[0]
    short = sum(character.isdecimal() for character in text) < FEWEST_DIGITS
    if short or DATE.fullmatch(text) or (" " in text and text[0] not in "0+("):
        return text
    sign = "plus " if text.startswith("+") else ""
    return sign + ", ".join(one_by_one(group) for group in LEFT.findall(text))


def one_by_one(digits: str) -> str:
    """Digits, each said by itself."""
    return " ".join(words(digit) for digit in digits)


def ordinal(found: re.Match[str]) -> str:
    """An ordinal number in words: "3rd" is "third". Very long ones stay as they are."""
    digits = found[1].replace(",", "")
    return found[0] if len(digits) > LONGEST else plain(engine().number_to_words(engine().ordinal(digits), andword=""))


def year(digits: str) -> str:
    """Four digits as a year is said: "1984" is "nineteen eighty four"."""
    first, second = int(digits[:2]), int(digits[2:])
    if second == 0:
        return f"{words(first)} hundred"
    return f"{words(first)} {'oh ' if second < 10 else ''}{words(second)}"


def decade(found: re.Match[str]) -> str:
    """A decade in words: "1980s" is "nineteen eighties"."""
    said = year(found[1])
    return f"{said[:-1]}ies" if said.endswith("y") else f"{said}s"


def number(found: re.Match[str]) -> str:
    """A number with its sign and commas in words."""
    digits = found[0].replace(",", "")
    sign = "minus " if digits.startswith("-") else ""
    return sign + words(digits.lstrip("-"))


def words(digits: int | str) -> str:
    """A number without sign or commas in words; leading zeros and very long numbers digit by digit."""
    digits = str(digits)
    whole = digits.split(".")[0]
    if len(whole) > LONGEST or (len(whole) > 1 and whole[0] == "0"):
        return " ".join("point" if d == "." else plain(engine().number_to_words(d)) for d in digits)
    return plain(engine().number_to_words(digits, andword=""))


def plain(said: str) -> str:
    """Words without commas and hyphens."""
    return said.replace(",", "").replace("-", " ").replace("  ", " ")


RULES = (
    (TELEPHONE, telephone),
    (RANGE, lambda found: f"{found[1]} to {found[2]}" if int(found[1]) < int(found[2]) else found[0]),
    (CODE, lambda found: f"{found[1]} {one_by_one(found[2])}"),
    (MONEY, money),
    (TIME, clock),
    (ORDINAL, ordinal),
    (DECADE, decade),
    (YEAR, lambda found: year(found[1])),
    (NUMBER, number),
)


@cache
def engine() -> Any:
    """inflect, which spells numbers; loaded when it is first needed."""
    import inflect  # only texts with digits pay for importing it

    return inflect.engine()
