"""The likeliest text behind a transcriber's characters: prefix beam search (Graves, Jaitly 2014; Hannun et al. 2014).

Paths of connectionist temporal classification that write the same text are added up, and a language model has a say in
every letter (shallow fusion).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from tadicodec.entropy.letter_model import Continuations, LetterModel
from tadicodec.guards.fields import require_range

NEVER = -math.inf


@dataclass(frozen=True)
class SearchConfig:
    """beam: texts kept after each state. weight: of the language model's log-probabilities. bonus: added for each
    letter. below: characters this far, in nats, below a state's likeliest are not tried. `tools/transcript_beam.py`
    found them on validation speech.

    Raises:
        InputError: a value out of range.
    """

    beam: int = 8
    weight: float = 0.8
    bonus: float = 1.5
    below: float = 5.0

    def __post_init__(self) -> None:
        require_range("search", self, 1, math.inf, "beam")
        require_range("search", self, 0, math.inf, "weight", "bonus", "below")


@dataclass(eq=False)
class Prefix:
    """A text that may be the beginning of what is said, and the log-probabilities of the paths that write it."""

    parent: Prefix | None = None
    letter: int = -1
    said: float = 0.0  # what language model and bonus give to its letters
    blank: float = NEVER  # paths that end in a blank
    sounded: float = NEVER  # paths that end in its last letter
    children: dict[int, Prefix] = field(default_factory=dict)
    text: int = -1  # its number among the language model's
    follows: np.ndarray | None = None  # log-probabilities [letters + 1] of what comes next, the end last

    @property
    def heard(self) -> float:
        """Log-probability of all its paths."""
        return add(self.blank, self.sounded)

    @property
    def score(self) -> float:
        """By what it is ranked."""
        return self.heard + self.said

    def letters(self) -> list[int]:
        """Its characters."""
        node, found = self, []
        while node.parent is not None:
            found.append(node.letter)
            node = node.parent
        return found[::-1]


def prefix_search(scores: np.ndarray, model: LetterModel | None, config: SearchConfig) -> list[int]:
    """Log-probabilities [S, letters + 1] of characters, the blank last -> the letters of the likeliest text.

    model: None, or the language model of the same letters; without one, the bonus alone counts.
    """
    known = Continuations(model) if model is not None else None
    beam = [Prefix(blank=0.0)]
    for state in scores.astype(np.float64).tolist():
        least = max(state) - config.below
        tried = [letter for letter, likely in enumerate(state[:-1]) if likely >= least]
        grow = {prefix: growths(prefix, state, tried, least) for prefix in beam}
        ask(known, [prefix for prefix in beam if grow[prefix]])
        beam = step(grow, state, config)
    ask(known, beam)
    return max(beam, key=lambda prefix: prefix.score + last(prefix, config)).letters()


def growths(prefix: Prefix, state: list[float], tried: list[int], least: float) -> dict[int, float]:
    """Which of the letters tried a text may take in a state, and the log-probability of the paths that write it then:
    of each at least `least` of all its paths'."""
    if not tried:
        return {}
    heard = prefix.heard
    found = {letter: heard + state[letter] for letter in tried}
    if prefix.letter in found:  # twice the same letter: only with a blank between
        found[prefix.letter] += prefix.blank - heard
        if found[prefix.letter] < heard + least:
            del found[prefix.letter]
    return found


def step(grow: dict[Prefix, dict[int, float]], state: list[float], config: SearchConfig) -> list[Prefix]:
    """The texts kept after one more state with log-probabilities [letters + 1], the blank last; grow: what each of
    those so far becomes."""
    found: dict[Prefix, tuple[float, float]] = {}
    for prefix, letters in grow.items():
        put(found, prefix, prefix.heard + state[-1], prefix.sounded + state[prefix.letter] if prefix.parent else NEVER)
        for letter, sounded in letters.items():
            put(found, grown(prefix, letter, config), NEVER, sounded)
    for prefix, (blank, sounded) in found.items():
        prefix.blank, prefix.sounded = blank, sounded
    return sorted(found, key=lambda prefix: -prefix.score)[: config.beam]


def put(found: dict[Prefix, tuple[float, float]], prefix: Prefix, blank: float, sounded: float) -> None:
    """Add paths to those that write the same text."""
    old = found.get(prefix, (NEVER, NEVER))
    found[prefix] = add(old[0], blank), add(old[1], sounded)


def grown(prefix: Prefix, letter: int, config: SearchConfig) -> Prefix:
    """The text with one letter more."""
    child = prefix.children.get(letter)
    if child is None:
        likely = 0.0 if prefix.follows is None else config.weight * float(prefix.follows[letter])
        child = prefix.children[letter] = Prefix(prefix, letter, prefix.said + likely + config.bonus)
    return child


def last(prefix: Prefix, config: SearchConfig) -> float:
    """What the language model gives to the text's end."""
    return 0.0 if prefix.follows is None else config.weight * float(prefix.follows[-1])


def ask(known: Continuations | None, beam: list[Prefix]) -> None:
    """Have the language model read the texts that it has not read."""
    new = [prefix for prefix in beam if prefix.follows is None]
    if known is None or not new:
        return
    parents = [-1 if prefix.parent is None else prefix.parent.text for prefix in new]
    texts, follows = known.extend(parents, [prefix.letter for prefix in new])
    for prefix, text, row in zip(new, texts, follows, strict=True):
        prefix.text, prefix.follows = text, row


def add(a: float, b: float) -> float:
    """log(e^a + e^b)."""
    if a < b:
        a, b = b, a
    return a if b == NEVER else a + math.log1p(math.exp(b - a))
