"""One set of rules for texts, used in training and in inference alike: what is said, in lower case."""

from __future__ import annotations

import re
import unicodedata

from tadicodec.text.numbers import say

QUOTES = str.maketrans({"‘": "'", "’": "'", "“": '"', "”": '"', "–": "-", "—": "-"})
SILENT = re.compile(r"[\"()\[\]{}<>*_~^|\\/`#]+")  # written, never heard; a stop or a comma is heard as a pause
SPACES = re.compile(r"\s+")
LETTERS = " abcdefghijklmnopqrstuvwxyz'"  # what a transcriber writes


def normalize(text: str) -> str:
    """A text as it is said.

    Compatibility characters are folded (NFKC), typographic quotes and dashes made plain, numbers and abbreviations
    spelled, brackets and quotation marks dropped; all in lower case, with single spaces.
    """
    text = unicodedata.normalize("NFKC", text).translate(QUOTES)
    text = SILENT.sub(" ", say(text))
    return SPACES.sub(" ", text).strip().lower()


def letters_only(text: str) -> str:
    """A normalised text without punctuation and accents: a to z, apostrophe and single spaces."""
    folded = unicodedata.normalize("NFKD", normalize(text))
    kept = (c if c in LETTERS else "" if unicodedata.combining(c) else " " for c in folded)
    return SPACES.sub(" ", "".join(kept)).strip()


def to_letters(text: str) -> list[int]:
    """A text -> ids in `LETTERS` of what a transcriber should write for it."""
    return [LETTERS.index(character) for character in letters_only(text)]


def from_letters(ids: list[int]) -> str:
    """Ids in `LETTERS` -> the text that they write, with single spaces."""
    return SPACES.sub(" ", "".join(LETTERS[i] for i in ids)).strip()
