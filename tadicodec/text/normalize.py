"""One set of text rules, used in training and in inference alike."""

from __future__ import annotations

import re
import unicodedata

QUOTES = str.maketrans({"‘": "'", "’": "'", "“": '"', "”": '"', "–": "-", "—": "-", "…": "."})
SPACES = re.compile(r"\s+")


def normalize(text: str) -> str:
    """Compatibility characters folded (NFKC), typographic quotes and dashes plain, lower case, single spaces."""
    text = unicodedata.normalize("NFKC", text).translate(QUOTES)
    return SPACES.sub(" ", text).strip().lower()
