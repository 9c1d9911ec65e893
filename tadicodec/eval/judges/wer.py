"""Word errors, counted by the two protocols that papers use. Always say which one a figure follows."""

from __future__ import annotations

import json
import string
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from tadicodec.errors import InputError

# What Seed-TTS-eval deletes: ASCII punctuation but the apostrophe, and Chinese punctuation as the package zhon 2.1
# lists it (stops and non-stops; the typographic apostrophe is among them, so "don\u2019t" becomes "dont").
CHINESE_PUNCTUATION = (
    "\uff02\uff03\uff04\uff05\uff06\uff07\uff08\uff09\uff0a\uff0b\uff0c\uff0d\uff0e\uff0f\uff1a\uff1b\uff1c\uff1d"
    "\uff1e\uff20\uff3b\uff3c\uff3d\uff3e\uff3f\uff40\uff5b\uff5c\uff5d\uff5e\uff5f\uff60\uff61\uff62\uff63\uff64"
    "\u3000\u3001\u3002\u3003\u3008\u3009\u300a\u300b\u300c\u300d\u300e\u300f\u3010\u3011\u3014\u3015\u3016\u3017"
    "\u3018\u3019\u301a\u301b\u301c\u301d\u301e\u301f\u3030\u303e\u303f\u2013\u2014\u2018\u2019\u201b\u201c\u201d"
    "\u201e\u201f\u2026\u2027\ufe4f\ufe51\ufe54\u00b7\uff01\uff1f"
)
DELETED = str.maketrans("", "", string.punctuation.replace("'", "") + CHINESE_PUNCTUATION)


@dataclass(frozen=True)
class Edits:
    """The fewest edits that turn a reference of `words` words (characters in Chinese) into what was heard."""

    insertions: int = 0
    deletions: int = 0
    substitutions: int = 0
    words: int = 0

    @property
    def total(self) -> int:
        """All edits together."""
        return self.insertions + self.deletions + self.substitutions

    @property
    def rate(self) -> float:
        """Edits over words. A reference without words counts as one word, so what is heard in it is an error."""
        return self.total / max(self.words, 1)

    def __add__(self, other: Edits) -> Edits:
        return Edits(
            self.insertions + other.insertions,
            self.deletions + other.deletions,
            self.substitutions + other.substitutions,
            self.words + other.words,
        )


Protocol = Callable[[str, str], Edits]  # reference, hypothesis


def seed_tts(reference: str, hypothesis: str) -> Edits:
    """Seed-TTS-eval's English: punctuation deleted ("well-known" is one word), lower case, nothing else changed."""
    return align(spoken(reference).lower(), spoken(hypothesis).lower())


def seed_tts_chinese(reference: str, hypothesis: str) -> Edits:
    """Seed-TTS-eval's Chinese: punctuation deleted, then character by character; both in simplified characters."""
    return align(" ".join(spoken(reference)), " ".join(spoken(hypothesis)))


def whisper_english(reference: str, hypothesis: str) -> Edits:
    """Whisper's English normaliser: numbers, contractions, spelling and fillers no longer count as errors."""
    normalise = english_normaliser()
    return align(normalise(reference), normalise(hypothesis))


def failed(protocol: Protocol, reference: str) -> Edits:
    """What an utterance that could not be made or heard counts as: 100 % error, also where nothing was to be read."""
    every_word = protocol(reference, "")
    return every_word if every_word.words else Edits(deletions=1, words=1)


def macro_wer(edits: Iterable[Edits]) -> float:
    """Unweighted mean of the utterances' rates, as a fraction: Seed-TTS-eval's figure."""
    rates = [one.rate for one in edits]
    if not rates:
        raise InputError("no utterances to take a word error rate of")
    return sum(rates) / len(rates)


def corpus_wer(edits: Iterable[Edits]) -> float:
    """Edits of all utterances over words of all utterances, as a fraction: what ASR papers report."""
    return sum(edits, start=Edits()).rate


def spoken(text: str) -> str:
    """A text without its punctuation, as Seed-TTS-eval deletes it."""
    return text.translate(DELETED).replace("  ", " ")


def align(reference: str, hypothesis: str) -> Edits:
    """Count the edits between two normalised texts, words separated by white space."""
    said, heard = reference.split(), hypothesis.split()
    if not said or not heard:  # jiwer 3 refuses empty references
        return Edits(insertions=len(heard), deletions=len(said), words=len(said))
    try:
        from jiwer import process_words
    except (ImportError, OSError) as error:
        raise InputError('word errors need jiwer: pip install "tadicodec[eval]"') from error
    found = process_words(" ".join(said), " ".join(heard))
    return Edits(found.insertions, found.deletions, found.substitutions, len(said))


@cache
def english_normaliser() -> Callable[[str], str]:
    """Whisper's, from transformers, with Whisper's table of British spellings, which transformers does not carry."""
    from transformers.models.whisper.english_normalizer import EnglishTextNormalizer

    try:  # only its table: the package's own normaliser rewrites words that Whisper's leaves alone
        table = files("whisper_normalizer") / "normalizers/english.json"
        return EnglishTextNormalizer(json.loads(table.read_text(encoding="utf-8")))
    except (ImportError, OSError) as error:
        raise InputError('Whisper\'s spellings need whisper-normalizer: pip install "tadicodec[eval]"') from error
