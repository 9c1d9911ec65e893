"""Texts as they come in: what is said, without characters that only steer machines."""

from __future__ import annotations

import re
import unicodedata

# What terminals act on: colours and cursor moves, titles, and the two-letter commands.
ESCAPES = re.compile("\x1b(?:\\[[0-9;?]*[ -/]*[@-~]|\\][^\x07\x1b]*(?:\x07|\x1b\\\\)?|[@-Zc])?")
MARK = "\ufeff"  # of byte order
DIRECTIONS = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"  # may show a text as another one


def clean(text: str) -> str:
    """The text without byte-order marks, control characters and escape sequences of terminals.

    Line ends stay, all other white space becomes spaces; joiners, which some scripts need, stay.
    """
    if text.isprintable():
        return text
    text = ESCAPES.sub("", text.replace("\r\n", "\n"))
    return "".join(spaced(c) for c in text if not steers(c))


def spaced(character: str) -> str:
    """A character, or a space in place of white space that is no line end."""
    return " " if character.isspace() and character != "\n" else character


def steers(character: str) -> bool:
    """Whether a character is a control character, a byte-order mark or a mark of writing direction."""
    control = unicodedata.category(character) == "Cc" and not character.isspace()
    return control or character == MARK or character in DIRECTIONS
