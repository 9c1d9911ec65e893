"""Long text in pieces that a model says in one breath: sentences, then clauses, then words."""

from __future__ import annotations

import re
import unicodedata

from tadicodec.errors import InputError

ABBREVIATIONS = ("mr", "mrs", "ms", "dr", "prof", "st", "sr", "jr", "vs", "etc", "e.g", "i.e", "no", "vol")
FULL_STOP = re.compile(r"[.!?]+[\"'”’)\]]*\s+|[。！？]+[”’」』）]*\s*|\n+")
BREATH = re.compile(r"[,;:—–]\s*|[、，；：]\s*")
WORD = re.compile(r"\s+|(?<=[\u2e80-\u9fff\uf900-\ufaff\u3040-\u30ff\uac00-\ud7af])")


def speakable(text: str) -> bool:
    """Whether a text has a letter or a digit of any script."""
    return any(unicodedata.category(letter)[0] in "LN" for letter in text)


def split_sentences(text: str, most: int) -> list[str]:
    """Sentences of at most `most` UTF-8 bytes each; short ones in a row stay together, and what cannot be said goes.

    Raises:
        InputError: nothing in the text can be said.
    """
    if not speakable(text):
        raise InputError("there is nothing to say: the text holds no letter and no digit")
    pieces = [part for sentence in at_stops(text) for part in shorten(sentence, max(most, 1))]
    spoken = [" ".join(piece.split()) for piece in pieces if speakable(piece)]
    return gathered(spoken, most // 3)


def at_stops(text: str) -> list[str]:
    """A text in parts, cut behind full stops that end a sentence."""
    found, begin = [], 0
    for stop in FULL_STOP.finditer(text):
        last = text[begin : stop.start()].rsplit(maxsplit=1)[-1:]
        word = last[0].lower().lstrip("(\"'") if last else ""
        dotted = stop.group().startswith(".") and "\n" not in stop.group()
        if dotted and (word in ABBREVIATIONS or (len(word) == 1 and word.isalpha() and word != "i")):
            continue
        found.append(text[begin : stop.end()])
        begin = stop.end()
    return [*found, text[begin:]]


def shorten(sentence: str, most: int) -> list[str]:
    """A sentence in parts of at most `most` bytes, cut at commas if that will do, else between words, else anywhere."""
    for cut in (BREATH, WORD):
        if size(sentence) <= most:
            return [sentence]
        parts = gathered(cut_behind(sentence, cut), most)
        if all(size(part) <= most for part in parts):
            return parts
    return [piece for part in parts for piece in chopped(part, most)]


def cut_behind(text: str, pattern: re.Pattern[str]) -> list[str]:
    """A text in parts, cut behind every place that fits the pattern."""
    edges = [0, *(found.end() for found in pattern.finditer(text)), len(text)]
    return [text[a:b] for a, b in zip(edges, edges[1:]) if a < b]


def gathered(parts: list[str], most: int) -> list[str]:
    """Neighbouring parts joined as long as they stay within `most` bytes."""
    out: list[str] = []
    for part in parts:
        glue = "" if not out or out[-1][-1:].isspace() or not out[-1].isascii() else " "
        if out and size(out[-1]) + len(glue) + size(part) <= most:
            out[-1] += glue + part
        else:
            out.append(part)
    return out


def chopped(text: str, most: int) -> list[str]:
    """One endless word in parts of at most `most` bytes."""
    parts = [""]
    for letter in text:
        if parts[-1] and size(parts[-1]) + size(letter) > most:
            parts.append("")
        parts[-1] += letter
    return parts


def size(text: str) -> int:
    """The number of UTF-8 bytes of a text without white space at its ends."""
    return len(text.strip().encode("utf-8", errors="replace"))
