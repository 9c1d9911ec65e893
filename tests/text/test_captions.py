"""JSON, SRT and TextGrid say the same words at the same times."""

from __future__ import annotations

import json
import re

from tadicodec.text.captions import Word, clock, intervals, to_json, to_srt, to_textgrid

WORDS = [
    Word("He", 0.2, 0.36),
    Word("said", 0.36, 0.6),
    Word('"no".', 0.68, 1.0),
    Word("Then", 1.04, 1.2),
    Word("left", 2.4, 2.8),
]


def test_json() -> None:
    document = json.loads(to_json(WORDS, 3.0))
    assert document["seconds"] == 3.0 and document["words"][1] == {"word": "said", "start": 0.36, "end": 0.6}
    assert json.loads(to_json([], 1.0)) == {"seconds": 1.0, "words": []}
    assert "é" in to_json([Word("é", 0, 1)], 1.0)


def test_subtitles_end_at_sentences_pauses_and_42_characters() -> None:
    assert to_srt(WORDS, 3.0) == (
        '1\n00:00:00,200 --> 00:00:01,000\nHe said "no".\n\n'
        "2\n00:00:01,040 --> 00:00:01,200\nThen\n\n"
        "3\n00:00:02,400 --> 00:00:02,800\nleft\n"
    )
    many = [Word("word", 0.3 * i, 0.3 * i + 0.2) for i in range(40)]
    lines = to_srt(many, 12.0).split("\n")[2::4]
    assert len(lines) == 5 and max(map(len, lines)) <= 42 and " ".join(lines).split() == ["word"] * 40
    assert to_srt([], 1.0) == ""


def test_clock() -> None:
    assert clock(0) == "00:00:00,000" and clock(3661.0004) == "01:01:01,000" and clock(59.9999) == "00:01:00,000"


def test_intervals_of_a_textgrid_leave_no_gap() -> None:
    for words in (WORDS, [], [Word("a", 0.0, 1.0)], [Word("a", 0.5, 0.5), Word("b", 0.4, 1.5)]):
        marks = intervals(words, 1.0)
        assert marks[0].start == 0 and marks[-1].end == 1.0
        assert all(a.end == b.start and a.end > a.start for a, b in zip(marks, marks[1:]))
    text = to_textgrid(WORDS, 3.0)
    assert 'text = """no""."' in text and 'name = "words"' in text
    sizes = re.findall(r"intervals: size = (\d+)", text)
    assert int(sizes[0]) == len(re.findall(r"intervals \[\d+\]:", text)) == len(intervals(WORDS, 3.0))
