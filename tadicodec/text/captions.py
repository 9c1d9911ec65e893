"""Words with their times as files that other programs read: JSON, SubRip subtitles (.srt), Praat's .TextGrid."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

LINE = 42  # characters of a subtitle, as is usual
PAUSE = 0.8  # seconds of silence that end a subtitle
ENDS = (".", "!", "?", "…", "。", "！", "？")


@dataclass(frozen=True)
class Word:
    """A word as it is written, and when it is said, in seconds from the beginning."""

    word: str
    start: float
    end: float


def to_json(words: Sequence[Word], seconds: float) -> str:
    """`{"seconds": ..., "words": [{"word": ..., "start": ..., "end": ...}, ...]}`"""
    document = {"seconds": round(seconds, 3), "words": [asdict(word) for word in words]}
    return json.dumps(document, ensure_ascii=False, indent=1) + "\n"


def to_srt(words: Sequence[Word], seconds: float) -> str:
    """Words and the length of the recording -> subtitles of up to 42 characters; the end of a sentence or a pause ends
    one."""
    parts = []
    for number, line in enumerate(lines_of(words), start=1):
        text = " ".join(word.word for word in line)
        parts.append(f"{number}\n{clock(line[0].start)} --> {clock(line[-1].end)}\n{text}\n")
    return "\n".join(parts)


def lines_of(words: Sequence[Word]) -> list[list[Word]]:
    """Words -> lists of words that are shown together."""
    lines: list[list[Word]] = []
    for word in words:
        if lines and fits(lines[-1], word):
            lines[-1].append(word)
        else:
            lines.append([word])
    return lines


def fits(line: list[Word], word: Word) -> bool:
    """Whether a word can be shown together with those of a line."""
    letters = sum(len(one.word) + 1 for one in line) + len(word.word)
    return letters <= LINE and word.start - line[-1].end < PAUSE and not line[-1].word.endswith(ENDS)


def clock(seconds: float) -> str:
    """A time in seconds, written as in `00:01:02,345`."""
    milliseconds = round(1000 * seconds)
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{rest // 1000:02d},{rest % 1000:03d}"


def to_textgrid(words: Sequence[Word], seconds: float) -> str:
    """Words and the length of the recording -> one tier of intervals without gaps; what is not a word is an empty
    one."""
    marks = intervals(words, seconds)
    parts = [
        'File type = "ooTextFile"\nObject class = "TextGrid"\n',
        f"xmin = 0\nxmax = {seconds:.3f}\ntiers? <exists>\nsize = 1\nitem []:",
        '    item [1]:\n        class = "IntervalTier"\n        name = "words"',
        f"        xmin = 0\n        xmax = {seconds:.3f}\n        intervals: size = {len(marks)}",
    ]
    for number, mark in enumerate(marks, start=1):
        text = mark.word.replace('"', '""')
        times = f"            xmin = {mark.start:.3f}\n            xmax = {mark.end:.3f}"
        parts.append(f'        intervals [{number}]:\n{times}\n            text = "{text}"')
    return "\n".join(parts) + "\n"


def intervals(words: Sequence[Word], seconds: float) -> list[Word]:
    """The words and the silences between them, from 0 to the end. Words that last no time are left out."""
    found, place = [], 0.0
    for word in [*words, Word("", seconds, seconds)]:
        start = min(max(word.start, place), seconds)
        if start - place >= 0.001:
            found.append(Word("", place, start))
            place = start
        end = min(word.end, seconds)
        if end - place >= 0.001:
            found.append(Word(word.word, place, end))
            place = end
    return found


FORMATS: dict[str, Callable[[Sequence[Word], float], str]] = {
    "json": to_json,
    "srt": to_srt,
    "TextGrid": to_textgrid,
}
