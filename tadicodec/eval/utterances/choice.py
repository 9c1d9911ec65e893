"""Choices that are the same for every model and on every day: which utterances, which prompts, which wrong words."""

from __future__ import annotations

import hashlib
import random
from collections import defaultdict
from collections.abc import Sequence
from typing import Protocol, TypeVar

from tadicodec.data.manifest import Utterance
from tadicodec.pipeline.pieces import WORD

PROMPT_SECONDS = (2.0, 5.0)


class Grouped(Protocol):
    """Something with an id that belongs to a group."""

    @property
    def id(self) -> str:
        """A name that no other one has."""

    @property
    def group(self) -> str:
        """The name of the group."""


Item = TypeVar("Item", bound=Grouped)


def number(*parts: object) -> int:
    """A 63-bit number that depends on nothing but `parts` (unlike `hash`)."""
    return int.from_bytes(hashlib.sha256("|".join(map(str, parts)).encode()).digest()[:8], "big") >> 1


def spoken(text: str) -> str:
    """Lower-case letters, digits and single spaces: equal for two texts that sound the same."""
    return " ".join("".join(c if c.isalnum() else " " for c in text.lower()).split())


def choose(items: Sequence[Item], limit: int | None) -> list[Item]:
    """At most `limit` items of each group, group by group; a larger limit only adds."""
    groups: dict[str, list[Item]] = defaultdict(list)
    for item in sorted(items, key=lambda item: number("choice", item.id)):
        groups[item.group].append(item)
    return [item for name in sorted(groups) for item in groups[name][:limit]]


def prompts_for(lines: Sequence[Utterance]) -> dict[str, Utterance]:
    """For each id, another whole utterance of the same speaker with other words.

    It is 2 to 5 s long or as near to that as there is, and of the same split where there is one. It is whole, because a
    trimmed one would be shorter than its text says.
    """
    by_speaker: dict[str, list[Utterance]] = defaultdict(list)
    for line in lines:
        if line.speaker:
            by_speaker[line.speaker].append(line)
    prompts = {}
    for group in by_speaker.values():
        said = {line.id: spoken(line.text) for line in group}
        for line in group:
            others = [other for other in group if said[other.id] != said[line.id]]
            if others:
                prompts[line.id] = min(others, key=lambda other: preference(line, other))
    return prompts


def preference(line: Utterance, other: Utterance) -> tuple[float, bool, int]:
    """A key that sorts utterances by how well they suit as a prompt for `line`, the best first."""
    low, high = PROMPT_SECONDS
    distance = max(low - other.seconds, other.seconds - high, 0.0)
    return distance, other.split != line.split, number("prompt", line.id, other.id)


def vocabulary(texts: Sequence[str]) -> tuple[str, ...]:
    """The distinct words of all texts, sorted."""
    return tuple(sorted({word for text in texts for word in spoken(text).split()}))


def wrong_words(text: str, share: float, words: Sequence[str], key: str) -> str:
    """`text` with about this share of its words replaced by others of `words`.

    A larger share replaces the same ones and more. A share that is no whole number of words is rounded up as often as
    its fraction says.
    """
    pieces = WORD.findall(text)
    draw = random.Random(number("wrong", key))
    order = sorted(range(len(pieces)), key=lambda _: draw.random())
    count = int(share * len(pieces) + draw.random())
    others = {place: draw.choice(words) for place in order}
    for place in order[:count]:
        pieces[place] = replaced(pieces[place], others[place])
    return "".join(pieces).strip()


def replaced(piece: str, other: str) -> str:
    """Another word in the place of a piece (a word with the space behind it); never the word itself."""
    bare = piece.rstrip()
    word = other if spoken(other) != spoken(bare) else other[::-1] + "er"
    return word + piece[len(bare) :]
