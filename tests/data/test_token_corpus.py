"""Token corpora: what `tokenize` writes is what the codec says, once each, whatever happens in between."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet as parquet
import pytest
import soundfile
import torch

from tadicodec.codec import Codec
from tadicodec.data.corpora.opening import open_corpus
from tadicodec.data.shards import COLUMNS, TokenCorpus
from tadicodec.data.token_corpus import Done, Share, tokenize_corpus
from tadicodec.errors import InputError
from tests.conftest import tiny_codec
from tests.data.test_manifest import write_corpus

ROOT = Path(__file__).parents[2]
MANY = {"shard_seconds": 1.0}  # a shard for each utterance or two


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus"))


def rows_of(folder: Path) -> list[dict]:
    return [row for path in sorted(folder.glob("*.parquet")) for row in parquet.read_table(path).to_pylist()]


def test_rows_are_the_codecs_codes_in_the_manifests_order(manifest: Path, tmp_path: Path, codec: Codec) -> None:
    done = tokenize_corpus(open_corpus(manifest), tmp_path, codec, **MANY)
    assert done == Done(6, 0, len(list(tmp_path.glob("*.parquet"))))
    rows = rows_of(tmp_path)
    assert [row["id"] for row in rows] == [f"clip-{i}" for i in range(6)] and tuple(rows[0]) == COLUMNS
    for i, row in enumerate(rows):
        wave, rate = soundfile.read(manifest.parent / f"{i}.flac", dtype="float32")
        assert row["codes"] == codec.encode(wave, rate).codes[0].tolist()
        assert row["seconds"] == pytest.approx(len(wave) / rate, abs=1e-3) and row["codec"] == codec.weights
        starts = np.array(row["starts"])
        assert len(starts) == len(codec.tokenizer.encode(row["text"]))
        assert (np.diff(starts) >= 0).all() and starts[0] >= 0 and starts[-1] <= len(row["codes"])
    assert [row["split"] for row in rows].count("valid") == 2


def test_pieces_are_the_whole(manifest: Path, tmp_path: Path, codec: Codec) -> None:
    """Three processes, one of them twice, one shard lost: every utterance is there once."""
    shares = [Share(rank, 3) for rank in range(3)]
    for share in (shares[0], shares[2], shares[0], shares[1]):
        tokenize_corpus(open_corpus(manifest), tmp_path / "parts", codec, share=share, **MANY)
    tokenize_corpus(open_corpus(manifest), tmp_path / "whole", codec, **MANY)
    assert rows_of(tmp_path / "parts") == rows_of(tmp_path / "whole")
    first = tmp_path / "parts" / "00000.parquet"
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "parts").iterdir() if path != first}
    first.unlink()
    done = tokenize_corpus(open_corpus(manifest), tmp_path / "parts", codec, **MANY)
    assert done.kept < done.utterances == 6
    assert rows_of(tmp_path / "parts") == rows_of(tmp_path / "whole")
    assert all(path.stat().st_mtime_ns == before for path, before in times.items())


def test_killed_is_uninterrupted(manifest: Path, tmp_path: Path) -> None:
    """kill -9 in the middle, then again to the end: nothing lost, nothing doubled, nothing half-written."""
    tiny_codec().save_pretrained(tmp_path / "model")
    manifest = write_corpus(tmp_path / "corpus", count=40)
    command = f"""
import tadicodec.data.token_corpus as t
from tadicodec.codec import Codec
from tadicodec.data.corpora.opening import open_corpus
codec = Codec.from_pretrained({str(tmp_path / "model")!r})
t.tokenize_corpus(open_corpus({str(manifest)!r}), {str(tmp_path / "out")!r}, codec, shard_seconds=1.0)
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    run = subprocess.Popen([sys.executable, "-c", command], env=environment, stderr=subprocess.DEVNULL)
    while not list((tmp_path / "out").glob("0*.parquet")) and run.poll() is None:
        time.sleep(0.01)
    run.kill()
    run.wait()
    done = tokenize_corpus(open_corpus(manifest), tmp_path / "out", Codec.from_pretrained(tmp_path / "model"), **MANY)
    assert done.utterances == 40
    assert Counter(row["id"] for row in rows_of(tmp_path / "out")) == Counter(f"clip-{i}" for i in range(40))


def test_another_corpus_or_codec_is_refused(manifest: Path, tmp_path: Path, codec: Codec) -> None:
    tokenize_corpus(open_corpus(manifest), tmp_path / "out", codec, **MANY)
    with pytest.raises(InputError, match="another corpus or codec"):
        tokenize_corpus(open_corpus(manifest), tmp_path / "out", tiny_codec(seed=1), **MANY)
    short = manifest.with_name("short.jsonl")
    short.write_text("".join(line + "\n" for line in manifest.read_text().splitlines()[:2]))
    with pytest.raises(InputError, match="another corpus or codec"):
        tokenize_corpus(open_corpus(short), tmp_path / "out", codec, **MANY)
    tokenize_corpus(open_corpus(short), tmp_path / "out", codec, overwrite=True, **MANY)
    assert [row["id"] for row in rows_of(tmp_path / "out")] == ["clip-0", "clip-1"]


def test_other_peoples_parquet_files_are_left_alone(manifest: Path, tmp_path: Path, codec: Codec) -> None:
    parquet.write_table(pyarrow.table({"a": [1]}), tmp_path / "mine.parquet")
    with pytest.raises(InputError, match="no shard of tokens"):
        tokenize_corpus(open_corpus(manifest), tmp_path, codec, overwrite=True, **MANY)
    assert (tmp_path / "mine.parquet").exists()


@pytest.mark.parametrize("names", [("RANK", "WORLD_SIZE"), ("PMI_RANK", "PMI_SIZE")])
def test_a_share_is_what_the_launcher_says(names: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(names[0], "2")
    monkeypatch.setenv(names[1], "4")
    assert Share.from_environment() == Share(2, 4, 0)


def test_a_codec_without_an_aligner_knows_no_starts(manifest: Path, tmp_path: Path) -> None:
    plain = tiny_codec(prior_layers=0, transcriber_layers=0)
    tokenize_corpus(open_corpus(manifest), tmp_path, plain)
    assert all(row["starts"] is None for row in rows_of(tmp_path))
    assert TokenCorpus(tmp_path, "train")[0].starts is None


def test_corpus_of_a_split(manifest: Path, tmp_path: Path, codec: Codec) -> None:
    tokenize_corpus(open_corpus(manifest), tmp_path, codec, **MANY)
    corpus = TokenCorpus(tmp_path, "train")
    assert [corpus[i].id for i in range(len(corpus))] == ["clip-0", "clip-1", "clip-3", "clip-4"]
    assert corpus.tokens == [len(corpus[i].codes) for i in range(4)] and corpus.speakers == ["s0", "s1", "s1", "s0"]
    assert corpus.codec == codec.weights and 0 <= corpus.top_code() < 2**14
    assert len(TokenCorpus(tmp_path, "train", max_tokens=corpus.tokens[0])) == 1


def test_bad_shards_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="tadicodec tokenize"):
        TokenCorpus(tmp_path, "train")
    (tmp_path / "00000.parquet").write_bytes(b"not parquet")
    with pytest.raises(InputError, match="not a readable token shard"):
        TokenCorpus(tmp_path, "train")
    parquet.write_table(pyarrow.table({"id": ["a"]}), tmp_path / "00000.parquet")
    with pytest.raises(InputError, match="lacks a column"):
        TokenCorpus(tmp_path, "train")


def test_bad_audio_names_the_file(tmp_path: Path, codec: Codec) -> None:
    row = {"id": "a", "audio": "none.wav", "text": "hi", "speaker": "s", "seconds": 1.0, "sample_rate": 24000}
    (tmp_path / "manifest.jsonl").write_text(json.dumps(row))
    with pytest.raises(InputError, match="none.wav"):
        tokenize_corpus(open_corpus(tmp_path / "manifest.jsonl"), tmp_path / "out", codec)


def test_datasets_reads_the_shards(manifest: Path, tmp_path: Path, codec: Codec) -> None:
    datasets = pytest.importorskip("datasets")
    tokenize_corpus(open_corpus(manifest), tmp_path / "out", codec, **MANY)
    read = datasets.load_dataset(
        "parquet", data_files=str(tmp_path / "out" / "*.parquet"), cache_dir=str(tmp_path / "cache"), split="train"
    )
    assert read.num_rows == 6 and torch.tensor(read[0]["codes"]).dtype == torch.int64
