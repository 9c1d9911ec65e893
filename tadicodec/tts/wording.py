"""What a written text is said as: numbers in words, initials as the names of their letters, an end to every text.

Our speech models read bytes and have heard sentences: "BBC" is a word to them that nobody says, and a text without a
stop one that goes on.
"""

from __future__ import annotations

import re

from tadicodec.text.numbers import say

NAMES = {
    **{"a": "ay", "b": "bee", "c": "see", "d": "dee", "e": "ee", "f": "eff", "g": "gee", "h": "aitch", "i": "eye"},
    **{"j": "jay", "k": "kay", "l": "ell", "m": "em", "n": "en", "o": "oh", "p": "pee", "q": "cue", "r": "are"},
    **{"s": "ess", "t": "tee", "u": "you", "v": "vee", "w": "double you", "x": "ex", "y": "why", "z": "zee"},
}
KNOWN = {  # said letter by letter although they have vowels
    *("AI", "API", "ATM", "CEO", "CIA", "CPU", "DIY", "DNA", "EU", "FAQ", "FBI", "GPU", "ID", "IQ", "OS", "UFO", "UI"),
    *("UK", "UN", "URL", "USA", "USB", "VIP"),
}
CAPITALS = re.compile(r"\b[A-Z]{2,5}\b(?!['’]?[a-z])")
DOTTED = re.compile(r"\b(?:[A-Z]\.){2,}")
VOWEL = re.compile("[AEIOUY]")
OKAY = re.compile(r"\bOK\b", re.IGNORECASE)
ENDS = ".!?…:;,。！？"
CLOSING = "\"'”’)]"


def as_said(text: str) -> str:
    """English text as a voice says it: no digits, currency signs or initials left, and a stop at its end."""
    text = OKAY.sub("okay", DOTTED.sub(lambda found: spelled(found[0].replace(".", "")), text))
    text = CAPITALS.sub(lambda found: spelled(found[0]) if initials(found[0]) else found[0], text)
    return finished(say(text))


def initials(word: str) -> bool:
    """Whether a word in capitals is said letter by letter; others may be meant loud, or be names such as NASA."""
    return not VOWEL.search(word) or word in KNOWN


def spelled(word: str) -> str:
    """A word as the names of its letters."""
    return " ".join(NAMES[letter] for letter in word.lower())


def finished(text: str) -> str:
    """The text with a stop where it has no end."""
    said = text.rstrip()
    return text if not said or said.rstrip(CLOSING)[-1:] in ENDS else said + "."
