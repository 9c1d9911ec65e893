import json
import shutil

import pytest

from tadicodec.data.manifest import Utterance
from tadicodec.errors import InputError
from tadicodec.eval.utterances.cases import read_cases
from tadicodec.eval.utterances.choice import prompts_for, vocabulary, wrong_words
from tests.conftest import voice


def write_manifest(folder, lines):
    folder.mkdir(exist_ok=True)
    path = folder / "manifest.jsonl"
    base = {"seconds": 3.0, "sample_rate": 24000, "speaker": "s", "split": "test"}
    path.write_text("".join(json.dumps(base | {"audio": f"{line['id']}.wav"} | line) + "\n" for line in lines))
    return path


def test_manifest_splits_groups_and_limit(tmp_path):
    lines = [
        {"id": f"{split}-{source}-{i}", "text": f"sentence {i}", "split": split, "source": source}
        for split in ("test_seen", "test_unseen", "train")
        for source in ("a", "b")
        for i in range(5)
    ]
    path = write_manifest(tmp_path, lines)
    whole = read_cases(path)
    few = read_cases(path, ("test_seen", "test_unseen"), 2)
    more = read_cases(path, ("test_seen", "test_unseen"), 3)
    assert len(whole.cases) == 30 and len(few.cases) == 8 and len(more.cases) == 12
    assert [case.group for case in few.cases[::2]] == [f"{s} {x}" for s in ("test_seen", "test_unseen") for x in "ab"]
    assert {case.id for case in few.cases} < {case.id for case in more.cases}
    assert few.fingerprint == whole.fingerprint and few.texts == whole.texts


def test_the_fingerprint_is_of_the_content(tmp_path):
    one = read_cases(write_manifest(tmp_path / "one", [{"id": "a", "text": "yes"}, {"id": "b", "text": "no"}]))
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    assert read_cases(tmp_path / "two" / "manifest.jsonl").fingerprint == one.fingerprint
    other = read_cases(write_manifest(tmp_path / "three", [{"id": "a", "text": "yes"}, {"id": "b", "text": "not"}]))
    assert other.fingerprint != one.fingerprint


def utterance(name, seconds, speaker="s", text=None, split="test"):
    return Utterance(name, None, text or f"sentence {name}", speaker, seconds, 24000, split)


def test_prompts_are_other_utterances_of_the_speaker():
    lines = [
        utterance("a", 3.0),
        utterance("b", 9.0),
        utterance("c", 4.0, text="Sentence, A!"),  # says what a says
        utterance("d", 4.0, split="train"),
        utterance("e", 4.0, speaker="t"),
        utterance("f", 3.0, speaker=""),
    ]
    prompts = {name: prompt.id for name, prompt in prompts_for(lines).items()}
    assert prompts == {"a": "d", "b": prompts["b"], "c": "d", "d": prompts["d"]}
    assert prompts["b"] in ("a", "c") and prompts["d"] in ("a", "c")  # of its own split where there is one
    assert prompts_for(lines) == prompts_for(lines[::-1])
    assert prompts_for([utterance("a", 3.0), utterance("b", 9.0)])["a"].id == "b"  # the nearest length there is


def test_seed_tts_meta_files(tmp_path):
    path = tmp_path / "meta.lst"
    path.write_text("x|Prompt words.|prompts/x.wav|Say this.|wavs/x.wav\n\ny|Other words.|prompts/y.wav|Say that.\n")
    first, second = sorted(read_cases(path).cases, key=lambda case: case.id)
    assert first.audio == tmp_path / "wavs/x.wav" and first.prompt_audio == tmp_path / "prompts/x.wav"
    assert (first.text, first.prompt_text) == ("Say this.", "Prompt words.")
    assert second.audio is None and second.prompt_text == "Other words."


def test_folders_with_text_beside_the_audio(tmp_path):
    import soundfile

    (tmp_path / "in").mkdir()
    soundfile.write(tmp_path / "in" / "a.wav", voice(0.5), 24000)
    with pytest.raises(InputError, match="no a.txt beside it"):
        read_cases(tmp_path)
    (tmp_path / "in" / "a.txt").write_text("What is\nsaid.")
    (case,) = read_cases(tmp_path).cases
    assert (case.id, case.text, case.prompt_audio) == ("in/a", "What is said.", None)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "holds no utterance"),
        (b"just words\n", "1 fields"),
        (b"a|b|c\n", "3 fields"),
        (b"a|p|p.wav|text\na|p|p.wav|other\n", "appears twice"),
        (b"|p|p.wav|text\n", "is empty"),
        (b"a|p|p.wav|...\n", "no words"),
        (b"\xff\xfe\x00", "not UTF-8"),
        (b'{"id": 1}\n', "line 1"),
    ],
)
def test_what_is_no_input_is_one_line(tmp_path, content, reason):
    path = tmp_path / "meta.lst"
    path.write_bytes(content)
    with pytest.raises(InputError, match=reason) as caught:
        read_cases(path)
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="does not exist"):
        read_cases(tmp_path / "none")


def test_wrong_words_are_as_many_as_asked():
    texts = [" ".join(f"word{(7 * i + 3 * j) % 50}" for j in range(5 + i % 9)) for i in range(200)]
    words = vocabulary(texts)
    wrong = {0.1: 0, 0.2: 0}
    total = sum(len(text.split()) for text in texts)
    for share in wrong:
        for place, text in enumerate(texts):
            changed = wrong_words(text, share, words, str(place))
            assert changed == wrong_words(text, share, words, str(place))
            assert len(changed.split()) == len(text.split())
            wrong[share] += sum(a != b for a, b in zip(changed.split(), text.split()))
    assert wrong[0.1] / total == pytest.approx(0.1, abs=0.015) and wrong[0.2] / total == pytest.approx(0.2, abs=0.02)
    for place, text in enumerate(texts):  # more of the same, so that rows compare
        few, many = (wrong_words(text, share, words, str(place)).split() for share in (0.1, 0.2))
        assert all(b == a for a, b, said in zip(few, many, text.split()) if a != said)


def test_wrong_words_of_one_word_and_of_none():
    assert wrong_words("yes", 1.0, ("yes",), "k") not in ("yes", "")
    assert wrong_words("yes", 0.0, ("yes",), "k") == "yes"
