"""The corpus tool's pure parts: who says what in which split, resuming, levels. No models."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import corpus_check
import corpus_manifest
import corpus_plan
import corpus_studio
import corpus_verses
import make_corpus
import numpy as np
import pytest
import soundfile

HOURS = {"hibari": 0.2, "kokoro": 0.3, "mix": 0.1}


@pytest.fixture(scope="module")
def lines() -> list[str]:
    """A book of 900 sentences: two too short, one too long, one of the tests' said earlier too."""
    book = [f"Sentence number {i} of this small book says {i * i} words." for i in range(900)]
    book[3], book[4] = "Too short.", "word " * 60
    book[5] = book[-1].upper()
    return book


@pytest.fixture(scope="module")
def sentences(lines: list[str]) -> corpus_plan.Sentences:
    return corpus_plan.split_sentences(lines)


@pytest.fixture(scope="module")
def planned(sentences: corpus_plan.Sentences) -> list[corpus_plan.Utterance]:
    mixes = list(corpus_plan.mix_candidates())[:5]
    return corpus_plan.plan(sentences, HOURS, mixes)


def test_no_text_is_in_two_splits(planned: list[corpus_plan.Utterance], lines: list[str]) -> None:
    texts: dict[str, set[str]] = {"train": set(), "valid": set(), "test": set()}
    for item in planned:
        texts[item.split.split("_")[0]].add(corpus_plan.words_of(item.text))
    assert all(texts.values())
    assert not texts["train"] & (texts["valid"] | texts["test"]) and not texts["valid"] & texts["test"]
    assert texts["test"] <= {corpus_plan.words_of(line) for line in lines[-300:]}
    assert not texts["train"] & {corpus_plan.words_of(line) for line in lines[-300:]}


def test_unfit_sentences_are_left_out(sentences: corpus_plan.Sentences) -> None:
    places = {place for part in (sentences.train, sentences.valid, sentences.test) for place, _ in part}
    assert not places & {4, 5, 6}  # numbered from 1: too short, too long, and a test's text


def test_voices_keep_to_their_splits(planned: list[corpus_plan.Utterance]) -> None:
    for item in planned:
        tested = set(item.voice.packs) & set(corpus_plan.TEST_VOICES)
        assert bool(tested) == (item.split == "test_unseen")
    unseen = [item.voice.speaker for item in planned if item.split == "test_unseen"]
    assert [unseen.count(f"kokoro-{name}") for name in corpus_plan.TEST_VOICES] == [15] * 4
    seen = [item.voice.source for item in planned if item.split == "test_seen"]
    assert seen.count("hibari") == seen.count("kokoro") == 60


def test_ids_are_unique_and_plan_repeats(planned: list, sentences: corpus_plan.Sentences) -> None:
    assert len({item.id for item in planned}) == len(planned)
    assert planned == corpus_plan.plan(sentences, HOURS, list(corpus_plan.mix_candidates())[:5])


def package_of(books: dict[str, list[str]], archive: Path) -> Path:
    """An npm archive as the Bible's, with these verses."""
    folder = archive.parent / "package" / "json"
    folder.mkdir(parents=True)
    with tarfile.open(archive, "w:gz") as package:
        for name, verses in books.items():
            pieces = [{"type": "paragraph start"}, *({"type": "paragraph text", "value": verse} for verse in verses)]
            (folder / f"{name}.json").write_text(json.dumps(pieces))
            package.add(folder / f"{name}.json", f"package/json/{name}.json")
    return archive


def test_verses_are_whole_sentences_and_many_ask(tmp_path: Path) -> None:
    ruth = ["In the days when the judges judged, there was a famine. ", "She said, “Don’t call me", " Naomi.”  Go on. "]
    acts = ["Who are you, that you ask me?  ", *(f"They counted {i} men in the city. " for i in range(40))]
    archive = package_of({"ruth": ruth, "acts": [*acts, *acts]}, tmp_path / f"{corpus_verses.PACKAGE}.tgz")
    every = list(corpus_verses.sentences(archive))
    famine = "In the days when the judges judged, there was a famine."
    assert every[-3:] == [famine, "She said, Don't call me Naomi.", "Go on."]
    numbered = corpus_verses.chosen(iter(every))
    assert [place for place, _ in numbered] == list(range(20001, 20001 + len(numbered)))
    texts = [text for _, text in numbered]
    assert texts[0] == "Who are you, that you ask me?" and "Go on." not in texts
    assert len(texts) == 3 == len(set(texts))  # two others for each question


def test_verses_are_for_training_only_and_disturb_nothing(lines: list[str], planned: list) -> None:
    verses = ((20001, "Who are you, that you ask me?"), (20002, lines[-1]))  # the second is a test's
    sentences = corpus_plan.split_sentences(lines, verses=verses)
    assert sentences.verses == verses[:1]
    more = corpus_plan.plan(sentences, {**HOURS, "verses": 0.01}, list(corpus_plan.mix_candidates())[:5])
    new = [item for item in more if item not in planned]
    assert {item.text for item in new} == {verses[0][1]} and {item.split for item in new} == {"train"}
    assert [item for item in more if item not in new] == planned


def test_more_hours_only_append(sentences: corpus_plan.Sentences) -> None:
    voices = corpus_plan.kokoro_voices()
    few, many = (corpus_plan.train_lists(voices, hours, sentences) for hours in (0.3, 0.9))
    assert all(b[: len(a)] == a and len(b) > len(a) for a, b in zip(few, many, strict=True))


def test_stopping_early_is_balanced(planned: list[corpus_plan.Utterance]) -> None:
    kokoro = [item for item in planned if item.voice.source == "kokoro" and item.split == "train"]
    half = [item.voice.speaker for item in kokoro[: len(kokoro) // 2]]
    counts = [half.count(voice.speaker) for voice in corpus_plan.kokoro_voices()]
    assert max(counts) - min(counts) <= 1


def test_resampled_voices_say_where_their_content_ends() -> None:
    rates = {voice.factor: voice.sample_rate for voice in corpus_plan.hibari_voices()}
    assert rates[0.8] == 19200 and rates[1.0] == rates[1.08] == 24000


def test_real_split_moves_some_training_texts() -> None:
    entries = [{"split": "train", "speaker": "s", "text": f"Text {i}."} for i in range(2000)]
    moved = [corpus_plan.real_split(entry) for entry in entries].count("valid")
    assert 20 <= moved <= 70
    assert corpus_plan.real_split({"split": "test_unseen", "speaker": "s", "text": "Text 1."}) == "test_unseen"


def test_one_numbered_speaker_in_twenty_is_held_out() -> None:
    entries = [{"split": "train", "speaker": f"kmix{i:03d}", "text": f"Text {i}."} for i in range(400)]
    held = [entry["speaker"] for entry in entries if corpus_plan.real_split(entry) == "valid_unseen"]
    assert len(held) == 20 and held[:2] == ["kmix000", "kmix020"]
    tested = {"split": "test_unseen", "speaker": "kmix000", "text": "Text."}
    assert corpus_plan.real_split(tested) == "test_unseen"


def test_training_says_nothing_that_is_held_out(lines: list[str], tmp_path: Path) -> None:
    """Neither synthesised what held-out recordings say, nor recorded what validation and tests say."""
    folder = speech_folder(tmp_path / "in", lines)
    entry = json.loads((folder / "manifest.jsonl").read_text())
    valid = corpus_plan.split_sentences(lines).valid[2][1]
    test, other = lines[-1], lines[100]
    more = [("kmix001", valid), ("kmix002", test), ("kmix003", lines[101]), ("kmix020", other)]
    rows = [entry, *({**entry, "id": name, "speaker": name, "text": text, "split": "train"} for name, text in more)]
    (folder / "manifest.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    builder = make_corpus.Builder(tmp_path / "out", folder, {"hibari": 0.1}, 0, tmp_path)
    assert [item.id for item in builder.real] == ["reader-one", "kmix003", "kmix020"]
    assert other not in {text for _, text in builder.sentences.train}


def test_texts_that_leave_out_most_are_left_out() -> None:
    assert not corpus_plan.said_whole({"text": "XVI.", "seconds": 16.1})
    assert not corpus_plan.said_whole({"text": "Chapter 34.", "seconds": 5.3})
    assert corpus_plan.said_whole({"text": "Yes, sir.", "seconds": 1.4})


def test_level_and_trim() -> None:
    quiet = np.zeros(24000, np.float32)
    tone = 0.01 * np.sin(np.arange(24000) * 0.1).astype(np.float32)
    trimmed = corpus_studio.trim(np.concatenate([quiet, tone, quiet]))
    assert len(trimmed) / 24000 == pytest.approx(1.3, abs=0.05)
    assert np.sqrt(np.mean(corpus_studio.level(tone) ** 2)) == pytest.approx(corpus_studio.LEVEL, rel=1e-3)
    click = np.zeros(24000, np.float32)
    click[100] = 0.5
    assert np.abs(corpus_studio.level(click)).max() == pytest.approx(corpus_studio.PEAK)
    with pytest.raises(ValueError, match="silent"):
        corpus_studio.level(quiet)


def speech_folder(folder: Path, lines: list[str]) -> Path:
    """A source folder with one 16 kHz recording."""
    wave = 0.1 * np.sin(np.arange(16000) * 0.2).astype(np.float32)
    (folder / "reader").mkdir(parents=True)
    soundfile.write(folder / "reader" / "one.flac", wave, 16000)
    entry = {"id": "reader-one", "audio": "reader/one.flac", "text": "One recording.", "speaker": "reader"}
    entry |= {"seconds": 1.0, "sample_rate": 16000, "split": "test_unseen", "licence": "CC0-1.0"}
    (folder / "manifest.jsonl").write_text(json.dumps(entry) + "\n")
    (folder / "sentences.txt").write_text("\n".join(lines))
    return folder


def test_resume_skips_existing_and_manifest_follows(tmp_path: Path, lines: list[str], monkeypatch) -> None:
    builder = make_corpus.Builder(tmp_path / "out", speech_folder(tmp_path / "in", lines), {"hibari": 0.1}, 0, tmp_path)
    builder.out.mkdir()
    said: list[str] = []

    def say(self: corpus_studio.Studio, item: corpus_plan.Utterance) -> np.ndarray:
        said.append(item.id)
        return 0.1 * np.sin(np.arange(24000) * 0.1).astype(np.float32)

    monkeypatch.setattr(corpus_studio.Studio, "say", say)
    make_corpus.start_worker(tmp_path)
    items = builder.items()[:6]
    assert make_corpus.make((builder.out, items)) == (pytest.approx(6, abs=0.1), [])
    assert make_corpus.make((builder.out, items)) == (0.0, []) and len(said) == 5
    heard = {"id": items[1].id, "hypothesis": "", "wer": 1.0}
    (builder.out / "asr.jsonl").write_text(json.dumps(heard) + "\n")
    manifest = builder.manifest()
    assert [line["id"] for line in manifest] == [items[0].id, *(item.id for item in items[2:])]
    assert manifest[0]["sample_rate"] == 16000  # of the original; the file itself is 24 kHz
    assert soundfile.info(builder.out / manifest[0]["audio"]).samplerate == 24000
    assert "hibari" in corpus_manifest.summary(manifest)
    assert not list(builder.out.rglob("*.tmp"))


def test_word_errors() -> None:
    pytest.importorskip("jiwer")
    assert corpus_check.word_errors("It's a well-known fact.", "it\u2019s a wellknown act") == (1, 4)
    assert corpus_check.word_errors("...", "noise") == (1, 0)


def test_hours_are_checked() -> None:
    assert make_corpus.hours_of("hibari=5.5,kokoro=6") == {"hibari": 5.5, "kokoro": 6.0}
    with pytest.raises(ValueError, match="unknown source"):
        make_corpus.hours_of("festival=1")


def test_a_voice_to_adapt_to(sentences: corpus_plan.Sentences, planned: list[corpus_plan.Utterance]) -> None:
    """One that nothing else is trained on, saying what it does not say in tests."""
    more = [item for item in corpus_plan.plan(sentences, {"adapt": 0.05}) if item.split == "adapt"]
    assert len(more) > 10 and {item.voice.packs for item in more} == {corpus_plan.TEST_VOICES[:1]}
    said = {corpus_plan.words_of(item.text) for item in planned if item.split != "train"}
    assert not said & {corpus_plan.words_of(item.text) for item in more}
