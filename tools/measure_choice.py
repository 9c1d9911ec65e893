"""What tools/measure.py measures, with which prompts and wrong texts; the same for every model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from corpus_plan import number, shuffled, words_of

CONDITIONS = ("recording", "vocoder", "text and prompt", "text", "no text", "wrong text")
PROMPT_SECONDS = (2.0, 5.0)


@dataclass(frozen=True)
class Settings:
    """What a result depends on; a folder holds the results of one of these."""

    model: str
    weights: str
    manifest: str
    splits: tuple[str, ...]
    limit: int  # utterances of each source
    seed: int
    steps: int | None
    guidance: float | None
    prompt: str  # none | other
    conditions: tuple[str, ...]


@dataclass(frozen=True)
class Case:
    """One utterance to measure, with what some conditions need: a prompt utterance and another text."""

    line: dict
    prompt: dict | None
    wrong_text: str


def choose(lines: Sequence[dict], settings: Settings) -> list[Case]:
    """The utterances to measure: the same for every model with the same seed, a larger limit only adds."""
    mine = [line for line in lines if line["split"] in settings.splits]
    count: dict[str, int] = {}
    cases = []
    for line in shuffled(sorted(mine, key=lambda line: line["id"]), settings.seed, "measure"):
        count[line["source"]] = count.get(line["source"], 0) + 1
        if count[line["source"]] <= settings.limit:
            cases.append(
                Case(line, other_utterance(line, lines, settings.seed), other_text(line, mine, settings.seed))
            )
    return sorted(cases, key=lambda case: case.line["source"])


def other_utterance(line: dict, lines: Sequence[dict], seed: int) -> dict | None:
    """A whole other utterance of the speaker, of another text, 2 to 5 s, of the same split if there is one.

    Whole, because a trimmed one would be shorter than its text says.
    """
    said = words_of(line["text"])
    others = [o for o in lines if o["speaker"] == line["speaker"] and words_of(o["text"]) != said]
    if not others:
        return None
    low, high = PROMPT_SECONDS

    def preference(other: dict) -> tuple[float, bool, int]:
        distance = max(low - other["seconds"], other["seconds"] - high, 0.0)
        return distance, other["split"] != line["split"], number(seed, "prompt", line["id"], other["id"])

    return min(others, key=preference)


def other_text(line: dict, lines: Sequence[dict], seed: int) -> str:
    """Another sentence of the same splits, the closest in length of twenty."""
    said = words_of(line["text"])
    texts = [o["text"] for o in shuffled(lines, seed, "wrong", line["id"]) if words_of(o["text"]) != said][
        :20
    ]
    return min(texts, key=lambda text: abs(len(text) - len(line["text"])), default="")
