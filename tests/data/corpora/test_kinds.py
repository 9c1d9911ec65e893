"""Corpora of every kind hold the same real speech, and become the same codes; one bad recording never ends a run."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pyarrow.parquet as parquet
import pytest
import soundfile

from tadicodec import Codec
from tadicodec.data.corpora.datasets_table import TableOptions
from tadicodec.data.corpora.entry import BytesSound, Corpus, Recording
from tadicodec.data.corpora.opening import open_corpus
from tadicodec.data.shards import TokenCorpus, read_notes
from tadicodec.data.token_corpus import Done, Share, tokenize_corpus
from tadicodec.errors import InputError

ROOT = Path(__file__).parents[3]
NAMES = [f"austen_{number}" for number in range(1, 6)]
TEXTS = {name: (ROOT / "samples" / f"{name}.txt").read_text().strip() for name in NAMES}


@pytest.fixture(scope="module")
def codec() -> Codec:
    return Codec.from_pretrained()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five recordings of one speaker, with their texts."""
    place = tmp_path_factory.mktemp("recordings") / "austen"
    place.mkdir()
    for name in NAMES:
        for ending in (".flac", ".txt"):
            shutil.copy(ROOT / "samples" / f"{name}{ending}", place)
    return place


@pytest.fixture(scope="module")
def expected(folder: Path, codec: Codec) -> dict[str, list[int]]:
    waves = {name: soundfile.read(folder / f"{name}.flac", dtype="float32") for name in NAMES}
    return {TEXTS[name]: codec.encode(wave, rate).codes[0].tolist() for name, (wave, rate) in waves.items()}


def rows_of(out: Path) -> list[dict[str, Any]]:
    return [row for path in sorted(out.glob("*.parquet")) for row in parquet.read_table(path).to_pylist()]


def check(corpus: Corpus, out: Path, codec: Codec, expected: dict[str, list[int]]) -> list[dict[str, Any]]:
    """All texts and codes are there, once and in order; a second run keeps them."""
    done = tokenize_corpus(corpus, out, codec, shard_seconds=10.0)
    assert done.utterances == len(NAMES) and done.kept == 0 and not done.bad
    rows = rows_of(out)
    assert [row["text"] for row in rows] == [TEXTS[name] for name in NAMES]
    assert {row["text"]: row["codes"] for row in rows} == expected
    return rows


def test_a_folder(folder: Path, tmp_path: Path, codec: Codec, expected) -> None:
    rows = check(open_corpus(folder), tmp_path, codec, expected)
    assert [row["id"] for row in rows] == NAMES and {row["speaker"] for row in rows} == {"austen"}
    assert [row["split"] for row in rows] == ["train"] * 4 + ["valid"]
    assert [item.split for item in open_corpus(folder, valid_every=2).recordings].count("valid") == 2
    assert [item.split for item in open_corpus(folder, valid_every=0).recordings].count("valid") == 0


def test_a_folder_without_texts_is_heard(folder: Path, tmp_path: Path, codec: Codec) -> None:
    (tmp_path / "a").mkdir()
    shutil.copy(folder / "austen_5.flac", tmp_path / "a")
    tokenize_corpus(open_corpus(tmp_path / "a"), tmp_path / "out", codec)
    wave, rate = soundfile.read(folder / "austen_5.flac")
    assert rows_of(tmp_path / "out")[0]["text"] == codec.transcribe(wave, rate) != ""


def test_tar_shards(folder: Path, tmp_path: Path, codec: Codec, expected) -> None:
    """As WebDataset writes them: text in a .txt or in a .json, with its speaker."""
    for shard, names in enumerate((NAMES[:3], NAMES[3:])):
        with tarfile.open(tmp_path / f"part-{shard:03d}.tar", "w") as tar:
            for name in names:
                tar.add(folder / f"{name}.flac", f"{name}.flac")
                if shard:
                    note = json.dumps({"text": TEXTS[name], "speaker": "jane", "split": "dev"}).encode()
                    info = tarfile.TarInfo(f"{name}.json")
                    info.size = len(note)
                    tar.addfile(info, io.BytesIO(note))
                else:
                    tar.add(folder / f"{name}.txt", f"{name}.txt")
    rows = check(open_corpus(tmp_path), tmp_path / "out", codec, expected)
    assert rows[4]["speaker"] == "jane" and [row["split"] for row in rows] == ["train"] * 3 + ["valid"] * 2
    for pattern in ("part-{000..001}.tar", "part-*.tar"):
        assert len(list(open_corpus(tmp_path / pattern).recordings)) == 5
    with pytest.raises(InputError, match="part-002.tar: no such shard"):
        open_corpus(tmp_path / "part-{000..002}.tar")
    (tmp_path / "bad.tar").write_bytes(b"no tar")
    with pytest.raises(InputError, match="no uncompressed tar file"):
        open_corpus(tmp_path / "bad.tar")


def saved_dataset(folder: Path, place: Path) -> Any:
    datasets = pytest.importorskip("datasets")
    columns = {
        "audio": [str(folder / f"{name}.flac") for name in NAMES],
        "sentence": [TEXTS[name] for name in NAMES],
        "client_id": ["jane"] * 5,
    }
    table = datasets.Dataset.from_dict(columns).cast_column("audio", datasets.Audio())
    datasets.DatasetDict({"train": table.select(range(3)), "validation": table.select(range(3, 5))}).save_to_disk(place)
    return table


def test_a_saved_dataset(folder: Path, tmp_path: Path, codec: Codec, expected) -> None:
    saved_dataset(folder, tmp_path / "saved")
    rows = check(open_corpus(tmp_path / "saved"), tmp_path / "out", codec, expected)
    assert [row["split"] for row in rows] == ["train"] * 3 + ["valid"] * 2 and rows[0]["speaker"] == "jane"
    some = open_corpus(tmp_path / "saved", TableOptions(split="validation", columns={"speaker": "sentence"}))
    assert [item.speaker for item in some.recordings] == [TEXTS[name] for name in NAMES[3:]]
    with pytest.raises(InputError, match="no column 'who' for speaker"):
        open_corpus(tmp_path / "saved", TableOptions(columns={"speaker": "who"}))


def test_parquet_files_read_or_streamed(folder: Path, tmp_path: Path, codec: Codec, expected, monkeypatch) -> None:
    """With the bytes of the recordings in them, as the hub keeps datasets."""
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    table = saved_dataset(folder, tmp_path / "saved")
    (tmp_path / "hub").mkdir()
    embedded = [{"bytes": (folder / f"{name}.flac").read_bytes(), "path": f"{name}.flac"} for name in NAMES]
    table = table.remove_columns("audio").add_column("audio", embedded).cast_column("audio", datasets.Audio())
    table.to_parquet(str(tmp_path / "hub" / "train-00000.parquet"))
    whole = check(open_corpus(tmp_path / "hub"), tmp_path / "whole", codec, expected)
    corpus = open_corpus(tmp_path / "hub", TableOptions(stream=True), valid_every=5)
    assert not corpus.listed
    assert check(corpus, tmp_path / "streamed", codec, expected) == whole
    again = open_corpus(tmp_path / "hub", TableOptions(stream=True), valid_every=5)
    assert tokenize_corpus(again, tmp_path / "streamed", codec, shard_seconds=10.0).kept == 5


def test_cuts_of_lhotse(folder: Path, tmp_path: Path, codec: Codec, expected) -> None:
    lhotse = pytest.importorskip("lhotse")
    recordings = [lhotse.Recording.from_file(folder / f"{name}.flac") for name in NAMES]
    said = [
        lhotse.SupervisionSegment(name, name, 0, item.duration, text=TEXTS[name], speaker="jane")
        for name, item in zip(NAMES, recordings)
    ]
    cuts = lhotse.CutSet.from_manifests(
        recordings=lhotse.RecordingSet.from_recordings(recordings),
        supervisions=lhotse.SupervisionSet.from_segments(said),
    )
    for name in ("cuts.jsonl", "cuts.jsonl.gz"):
        cuts.to_file(tmp_path / name)
        rows = check(open_corpus(tmp_path / name), tmp_path / f"{name}-out", codec, expected)
        assert {row["speaker"] for row in rows} == {"jane"}
    part = cuts[0].truncate(offset=1.0, duration=2.0)
    lhotse.CutSet.from_cuts([part]).to_file(tmp_path / "part.jsonl")
    tokenize_corpus(open_corpus(tmp_path / "part.jsonl"), tmp_path / "part-out", codec)
    assert rows_of(tmp_path / "part-out")[0]["seconds"] == pytest.approx(2.0)


@pytest.mark.parametrize("name", ["none", "none.jsonl", "none.tar", "empty"])
def test_no_corpus_is_one_line(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError) as caught:
        open_corpus(tmp_path / name)
    assert name in str(caught.value) and "\n" not in str(caught.value)


def spoiled(folder: Path, place: Path) -> Path:
    """The recordings and four that cannot be read, each in another way."""
    shutil.copytree(folder, place)
    (place / "a_text.wav").write_text("hello\n" * 100)
    (place / "b_empty.wav").write_bytes(b"")
    (place / "c_cut.flac").write_bytes((folder / "austen_1.flac").read_bytes()[:100])
    shutil.copy(folder / "austen_5.flac", place / "d_words.flac")
    (place / "d_words.txt").write_bytes(b"\xff\xfe\x80")
    return place


def test_bad_recordings_are_listed_and_counted(folder: Path, tmp_path: Path, codec: Codec) -> None:
    place = spoiled(folder, tmp_path / "spoiled")
    seen: list[str] = []
    from tadicodec.data.token_corpus import Progress

    done = tokenize_corpus(
        open_corpus(place), tmp_path / "out", codec, progress=Progress(lambda bad: seen.append(bad.id))
    )
    assert done.utterances == 9 and seen == ["a_text", "b_empty", "c_cut", "d_words"] == [bad.id for bad in done.bad]
    reasons = {bad.id: bad.reason for bad in done.bad}
    assert "not audio" in reasons["a_text"] and "0 bytes" in reasons["b_empty"] and "UTF-8" in reasons["d_words"]
    assert [row["id"] for row in rows_of(tmp_path / "out")] == NAMES
    kept = tokenize_corpus(open_corpus(place), tmp_path / "out", codec)
    assert kept.kept == 9 and kept.bad == done.bad  # a shard remembers what it left out
    assert [item["id"] for item in read_notes(tmp_path / "out" / "00000.parquet").left_out] == seen
    with pytest.raises(InputError, match="not audio"):
        tokenize_corpus(open_corpus(place), tmp_path / "strict", codec, strict=True)
    assert not list((tmp_path / "strict").glob("*.parquet"))


def test_where_nothing_can_be_read_the_run_says_so(tmp_path: Path, codec: Codec) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.wav").write_text("hello\n" * 100)
    with pytest.raises(InputError, match="none of 1 recordings can be read; .*not audio"):
        tokenize_corpus(open_corpus(tmp_path / "in"), tmp_path / "out", codec)


def test_half_made_corpora_are_refused(folder: Path, tmp_path: Path, codec: Codec) -> None:
    corpus, three = open_corpus(folder), {"shard_seconds": 8.0}
    tokenize_corpus(corpus, tmp_path, codec, share=Share(0, 2), **three)
    with pytest.raises(InputError, match="1 of 3 shards are missing, 00001.parquet first; run `tadicodec tokenize`"):
        TokenCorpus(tmp_path, "train")
    tokenize_corpus(corpus, tmp_path, codec, share=Share(1, 2), **three)
    assert len(TokenCorpus(tmp_path, "train")) == 4
    shutil.copy(tmp_path / "00000.parquet", tmp_path / "00003.parquet")
    with pytest.raises(InputError, match="4 shards, the corpus has 3"):
        TokenCorpus(tmp_path, "train")


def test_a_streamed_corpus_knows_its_end_from_its_last_shard(folder: Path, tmp_path: Path, codec: Codec) -> None:
    items = [
        Recording(name, BytesSound(name, (folder / f"{name}.flac").read_bytes()), TEXTS[name], "", 5.0, "train")
        for name in NAMES
    ]
    broken = Corpus("streamed", iter(items[:4]), listed=False)

    def stop_early():
        yield from items[:4]
        raise ConnectionError("the line went dead")

    with pytest.raises(ConnectionError):
        tokenize_corpus(Corpus("streamed", stop_early(), listed=False), tmp_path, codec, shard_seconds=5.0)
    with pytest.raises(InputError, match="not finished"):
        TokenCorpus(tmp_path, "train")
    done = tokenize_corpus(Corpus("streamed", iter(items), listed=False), tmp_path, codec, shard_seconds=5.0)
    assert done == Done(5, 2, 5) and len(TokenCorpus(tmp_path, "train")) == 5
    with pytest.raises(InputError, match="another corpus"):
        tokenize_corpus(broken, tmp_path, codec, shard_seconds=5.0)
