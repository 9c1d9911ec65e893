"""What the corpus is made of: which voice says which sentence, in which split and in which order.

Everything here is a pure function of the sentences, the hours asked for and a seed, so that a killed run
resumes with the same plan, and asking for more hours only appends utterances to each speaker.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

TEST_LINES = 300  # the last lines of sentences.txt: never spoken in training
VALID_SENTENCES = 150
CHARACTERS_PER_SECOND = 16.0  # of the voices here; only turns hours into a number of sentences
LONGEST_SENTENCE = 220  # characters, about 16 s
SHORTEST_SENTENCE = 3  # words
TEST_VOICES = ("af_river", "am_onyx", "bf_lily", "bm_lewis")  # never trained on, alone or mixed
TRAIN_VOICES = (
    "af_alloy", "am_adam", "bf_alice", "bm_daniel", "af_aoede", "am_echo", "bf_emma", "bm_fable",
    "af_bella", "am_eric", "bf_isabella", "bm_george", "af_heart", "am_fenrir", "af_jessica", "am_liam",
    "af_kore", "am_michael", "af_nova", "am_puck", "af_sarah", "am_santa", "af_sky", "af_nicole",
)  # fmt: skip
HIBARI_FACTORS = (1.0, 0.8, 0.87, 0.93, 1.08)  # measured to keep naturalness and to change the speaker
WHISPERED = "af_nicole"  # not mixed: the result is no speaker one would meet
FEWEST_CHARACTERS = 4  # a second of a recording; slow readers have 8
NUMBERED, HELD_EVERY = "kmix", 20  # of the speakers with this name and a number, one in twenty is for validation only
HOURS = {"hibari": 12.0, "verses": 3.0, "kokoro": 6.0, "mix": 4.0, "adapt": 0.2}
VERSES_FROM = 20001  # numbers of the verses, behind those of sentences.txt
MIXES = 60


@dataclass(frozen=True)
class Voice:
    """One synthetic speaker: a voice pack (or two), played at `factor` times its pitch."""

    source: str  # hibari | kokoro | kokoro-mix
    speaker: str
    packs: tuple[str, ...] = ()
    weight: float = 1.0  # of the first pack
    factor: float = 1.0

    @property
    def british(self) -> bool:
        """Whether the heavier of its packs speaks British English."""
        heavier = self.packs[0 if self.weight >= 0.5 else 1] if self.packs else ""
        return heavier.startswith("b")

    @property
    def sample_rate(self) -> int:
        """Rate in Hz whose half is where this voice's content ends."""
        return round(24000 * min(1.0, self.factor))


@dataclass(frozen=True)
class Utterance:
    """One sentence by one voice."""

    id: str
    voice: Voice
    text: str
    split: str
    seed: int
    speed: float  # of the speech, apart from the voice's factor

    @property
    def audio(self) -> str:
        """Path relative to the manifest."""
        return f"audio/{self.voice.source}/{self.voice.speaker}/{self.id}.flac"


@dataclass(frozen=True)
class Sentences:
    """Numbered sentences for each use; no text is in two of them."""

    train: tuple[tuple[int, str], ...]
    valid: tuple[tuple[int, str], ...]
    test: tuple[tuple[int, str], ...]
    verses: tuple[tuple[int, str], ...] = ()  # of another source, for training


def number(*parts: object) -> int:
    """A 32-bit number that depends on nothing but `parts` (unlike `hash`)."""
    return int.from_bytes(hashlib.sha256("|".join(map(str, parts)).encode()).digest()[:4], "big")


def shuffled(items: Iterable, *key: object) -> list:
    """`items` in an order that depends on nothing but `key`."""
    items = list(items)
    random.Random(number(*key)).shuffle(items)
    return items


def words_of(text: str) -> str:
    """Lower-case letters, digits and single spaces: equal for two texts that sound the same."""
    return " ".join("".join(c if c.isalnum() else " " for c in text.lower()).split())


def split_sentences(
    lines: Sequence[str], seed: int = 0, verses: Sequence[tuple[int, str]] = (), recorded: Collection[str] = ()
) -> Sentences:
    """Deal sentences.txt out: its last 300 lines to tests, 150 others to validation, the rest to training, as all
    of the numbered verses; training says nothing of `recorded`, the texts of recordings held out."""
    spoken = [(i, " ".join(line.split())) for i, line in enumerate(lines, start=1)]
    first_test = len(lines) - TEST_LINES
    fit = [(i, t) for i, t in spoken if len(t) <= LONGEST_SENTENCE and len(t.split()) >= SHORTEST_SENTENCE]
    test = tuple((i, t) for i, t in fit if i > first_test)
    held = {words_of(t) for _, t in test}
    rest = [(i, t) for i, t in fit if i <= first_test and words_of(t) not in held]
    valid = tuple(shuffled(rest, seed, "valid")[:VALID_SENTENCES])
    held |= {words_of(t) for _, t in valid} | {words_of(t) for t in recorded}
    train, more = (tuple((i, t) for i, t in some if words_of(t) not in held) for some in (rest, verses))
    return Sentences(train, valid, test, more)


def hibari_voices() -> list[Voice]:
    """Hibari's voice and its four resampled pseudo-speakers."""
    return [Voice("hibari", pitched("hibari", r), factor=r) for r in HIBARI_FACTORS]


def kokoro_voices(names: Sequence[str] = TRAIN_VOICES) -> list[Voice]:
    """Kokoro's voice packs as they are."""
    return [Voice("kokoro", f"kokoro-{name}", (name,)) for name in names]


def mix_candidates(seed: int = 0) -> Iterator[Voice]:
    """Pairs of training voices in a fixed order; the builder keeps 60 that differ from their parents."""
    names = [name for name in TRAIN_VOICES if name != WHISPERED]
    pairs = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
    for a, b in shuffled(pairs, seed, "pairs"):
        percent = 35 + number(seed, "weight", a, b) % 31
        yield Voice("kokoro-mix", f"mix-{a}-{b}-{percent}", (a, b), percent / 100)


def pitched(speaker: str, factor: float) -> str:
    """Name of a speaker resampled by `factor`."""
    return speaker if factor == 1.0 else f"{speaker}-r{round(factor * 100):03d}"


def speak(voice: Voice, line: tuple[int, str], split: str, seed: int = 0) -> Utterance:
    """Give a sentence to a voice; training speech varies by 8 % in speed."""
    place, text = line
    name = f"{voice.speaker}-{place:05d}"
    drawn = number(seed, name)
    speed = round(0.92 + 0.16 * (drawn % 1000) / 999, 3) if split == "train" else 1.0
    return Utterance(name, voice, text, split, drawn, speed)


def train_lists(voices: Sequence[Voice], hours: float, sentences: Sentences, seed: int = 0) -> list[list[Utterance]]:
    """For each voice, its sentences up to an equal share of `hours`."""
    lists = []
    for voice in voices:
        left, mine = 3600.0 * hours / len(voices) * CHARACTERS_PER_SECOND, []
        for line in shuffled(sentences.train, seed, voice.speaker):
            if left <= 0:
                break
            mine.append(speak(voice, line, "train", seed))
            left -= len(line[1])
        lists.append(mine)
    return lists


def test_utterances(sentences: Sentences, seed: int = 0) -> list[Utterance]:
    """60 by hibari, 60 by Kokoro's training voices (test_seen), 60 by the test voices (test_unseen)."""
    lines = shuffled(sentences.test, seed, "test")
    hibari, kokoro = hibari_voices()[0], kokoro_voices()
    unseen = kokoro_voices(TEST_VOICES)
    said = [speak(hibari, line, "test_seen", seed) for line in lines[:60]]
    said += [speak(kokoro[i % len(kokoro)], line, "test_seen", seed) for i, line in enumerate(lines[60:120])]
    return said + [speak(unseen[i % 4], line, "test_unseen", seed) for i, line in enumerate(lines[120:180])]


def valid_utterances(sentences: Sentences, seed: int = 0) -> list[Utterance]:
    """One utterance of each validation sentence, every third by hibari and its pseudo-speakers."""
    hibari, kokoro = hibari_voices(), kokoro_voices()
    return [
        speak(hibari[i // 3 % 5] if i % 3 == 0 else kokoro[i % len(kokoro)], line, "valid", seed)
        for i, line in enumerate(sentences.valid)
    ]


def adapt_utterances(sentences: Sentences, hours: float, seed: int = 0) -> list[Utterance]:
    """Training sentences by the first of the test voices, in a split of their own: a voice that no model has heard,
    for experiments that adapt to one."""
    (said,) = train_lists(kokoro_voices(TEST_VOICES[:1]), hours, sentences, seed)
    return [replace(item, split="adapt") for item in said]


def round_robin(lists: Sequence[Sequence[Utterance]]) -> Iterator[Utterance]:
    """One of each list in turn, so that a run stopped at any time leaves the speakers balanced."""
    for place in range(max(map(len, lists), default=0)):
        yield from (items[place] for items in lists if place < len(items))


def proportional(lists: Sequence[Sequence[Utterance]]) -> list[Utterance]:
    """Merge lists so that each has been used up to the same fraction at any time."""
    keyed = [((i + 0.5) / len(items), n, item) for n, items in enumerate(lists) for i, item in enumerate(items)]
    return [item for _, _, item in sorted(keyed, key=lambda entry: entry[:2])]


def plan(sentences: Sentences, hours: dict[str, float], mixes: Sequence[Voice] = (), seed: int = 0) -> list[Utterance]:
    """Every utterance, in the order to make them.

    hibari's own voice and all test and validation speech first (minutes), then hibari's pseudo-speakers and its
    verses, then (hours) Kokoro's voices and mixes in step.
    """
    hibari = train_lists(hibari_voices(), hours.get("hibari", 0), sentences, seed)
    read = replace(sentences, train=sentences.verses)
    verses = train_lists(hibari_voices(), hours.get("verses", 0), read, seed)
    kokoro = list(round_robin(train_lists(kokoro_voices(), hours.get("kokoro", 0), sentences, seed)))
    mixed = list(round_robin(train_lists(mixes, hours.get("mix", 0), sentences, seed))) if mixes else []
    held = test_utterances(sentences, seed) + valid_utterances(sentences, seed)
    held += adapt_utterances(sentences, hours.get("adapt", 0), seed)
    first = [*hibari[0], *held, *round_robin(hibari[1:]), *round_robin(verses)]
    return [*first, *proportional([kokoro, mixed])]


def real_split(entry: dict, seed: int = 0) -> str:
    """Split of a recorded utterance: its own, but of the training speech about 2 % of the texts become `valid`, and all
    that one numbered speaker in twenty says `valid_unseen`.

    The draw is by text, because a speaker may read one text several times.
    """
    if entry["split"] != "train":
        return entry["split"]
    name, _, place = entry["speaker"].partition(NUMBERED)
    if not name and place.isdigit() and int(place) % HELD_EVERY == 0:
        return "valid_unseen"
    return "valid" if number(seed, "real", words_of(entry["text"])) % 50 == 0 else "train"


def said_whole(entry: dict) -> bool:
    """Whether a recording's text may be all that it says: at least so many characters a second. Of some long recordings
    a transcript has the title alone."""
    return len(entry["text"]) >= FEWEST_CHARACTERS * entry["seconds"]
