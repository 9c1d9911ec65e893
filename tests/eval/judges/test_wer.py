"""Word errors, counted by hand; hypotheses of other utterances are errors."""

from __future__ import annotations

import pytest

from tadicodec.errors import InputError
from tadicodec.eval.judges.wer import Edits, corpus_wer, failed, macro_wer, seed_tts, seed_tts_chinese, whisper_english

pytest.importorskip("jiwer")


@pytest.mark.parametrize(
    ("reference", "hypothesis", "expected"),
    [
        ("The cat sat.", "the cat sat", Edits(0, 0, 0, 3)),
        ("The cat sat down.", "the cat sat", Edits(0, 1, 0, 4)),
        ("The cat sat.", "The cat sat right down!", Edits(2, 0, 0, 3)),
        ("The cat sat.", "A cat sat", Edits(0, 0, 1, 3)),
        ("one two three four", "two three for five", Edits(1, 1, 1, 4)),
        ("a well-known fact", "a well known fact", Edits(1, 0, 1, 3)),  # punctuation is deleted, not spaced
        ("It's here", "its here", Edits(0, 0, 1, 2)),  # the apostrophe stays
        ("don\u2019t go", "don't go", Edits(0, 0, 1, 2)),  # the typographic one is among the deleted
        ("yes \u2014 no, \u201cmaybe\u201d", "yes no maybe", Edits(0, 0, 0, 3)),
        ("forty two colours", "42 colors", Edits(0, 1, 2, 3)),  # no normalisation of numbers or spelling
        ("", "noise", Edits(1, 0, 0, 0)),
        ("...", "", Edits(0, 0, 0, 0)),
        ("nothing heard", "", Edits(0, 2, 0, 2)),
    ],
)
def test_seed_tts_by_hand(reference: str, hypothesis: str, expected: Edits) -> None:
    assert seed_tts(reference, hypothesis) == expected


@pytest.mark.parametrize(
    ("reference", "hypothesis", "expected"),
    [
        ("Forty-two colours, Mr. Smith!", "42 colors mister smith", Edits(0, 0, 0, 4)),
        ("I can't, uh, go", "I can not go", Edits(0, 0, 0, 4)),
        ("a well-known fact", "a well known fact", Edits(0, 0, 0, 4)),
        ("the cause of death", "the cause of debt", Edits(0, 0, 1, 4)),
        ("the cat sat down", "cat sat sat up now", Edits(2, 1, 1, 4)),
        ("um", "noise", Edits(1, 0, 0, 0)),
        ("nothing heard", "", Edits(0, 2, 0, 2)),
    ],
)
def test_whisper_english_by_hand(reference: str, hypothesis: str, expected: Edits) -> None:
    pytest.importorskip("whisper_normalizer")
    found = whisper_english(reference, hypothesis)
    assert (found.total, found.words) == (expected.total, expected.words)
    assert found.insertions - found.deletions == expected.insertions - expected.deletions


def test_chinese_counts_characters() -> None:
    assert seed_tts_chinese("\u4f60\u597d\uff0c\u4e16\u754c\u3002", "\u4f60\u597d\u4e16\u4ecb") == Edits(0, 0, 1, 4)


def test_macro_and_corpus() -> None:
    edits = [seed_tts("a b c d", "a b c d"), seed_tts("a", "b"), seed_tts("a b", "")]
    assert macro_wer(edits) == pytest.approx((0 + 1 + 1) / 3)
    assert corpus_wer(edits) == pytest.approx(3 / 7)
    assert sum(edits, Edits()) == Edits(0, 2, 1, 7)
    with pytest.raises(InputError):
        macro_wer([])


@pytest.mark.parametrize(("reference", "expected"), [("two words", Edits(0, 2, 0, 2)), ("...", Edits(0, 1, 0, 1))])
def test_a_failure_is_wholly_wrong(reference: str, expected: Edits) -> None:
    assert failed(seed_tts, reference) == expected
    assert expected.rate == 1


def test_words_in_silence_are_errors() -> None:
    assert seed_tts("", "two words").rate == 2  # as jiwer counts it
    assert seed_tts("", "").rate == 0


def test_shuffled_hypotheses_are_mostly_wrong() -> None:
    texts = [
        "Author of the danger trail, Philip Steels.",
        "Not at this particular case, Tom, apologized Whittemore.",
        "For the twentieth time that evening the two men shook hands.",
        "Lord, but I'm glad to see you again, Phil.",
    ]
    assert macro_wer([seed_tts(text, text) for text in texts]) == 0
    assert macro_wer([seed_tts(text, other) for text, other in zip(texts, texts[1:] + texts[:1])]) > 0.8
