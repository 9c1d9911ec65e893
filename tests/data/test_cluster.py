"""`tadicodec tokenize --ray`: several processes, one of them killed, and the rows of a single machine to the bit."""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as parquet
import pytest

from tadicodec.codec import Codec
from tadicodec.data import cluster
from tadicodec.data.cluster import Place, share_out, tokenize_on_ray
from tadicodec.data.corpora.entry import Corpus
from tadicodec.data.corpora.opening import open_corpus
from tadicodec.data.token_corpus import Progress, tokenize_corpus
from tadicodec.errors import InputError
from tests.data.test_manifest import write_corpus

ROOT = Path(__file__).parents[2]
MANY = {"shard_seconds": 1.0}


def rows_of(folder: Path) -> list[dict[str, Any]]:
    return [row for path in sorted(folder.glob("*.parquet")) for row in parquet.read_table(path).to_pylist()]


@pytest.fixture(scope="module")
def ray_cluster() -> Iterator[None]:
    """Two CPUs as far as Ray is concerned, whatever the machine has."""
    ray = pytest.importorskip("ray")
    before = dict(os.environ)
    os.environ["PYTHONPATH"] = str(ROOT)
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield
    ray.shutdown()
    os.environ.clear()
    os.environ.update(before)


def test_two_workers_one_of_them_killed(ray_cluster, tmp_path: Path, tiny_model: Path, monkeypatch) -> None:
    """Nothing is lost and nothing doubled, bad recordings are listed, and the rows are those of one process."""
    manifest = write_corpus(tmp_path / "corpus", count=30)
    (tmp_path / "corpus" / "7.flac").write_bytes(b"")
    corpus, codec = open_corpus(manifest), Codec.from_pretrained(tiny_model)
    workers: list[int] = []
    original = cluster.answers

    def killing(*given: Any) -> Iterator[cluster.Answer]:
        for number, answer in enumerate(original(*given)):
            workers.append(answer.process)
            if number == 3:
                os.kill(workers[0], signal.SIGKILL)
            yield answer

    monkeypatch.setattr(cluster, "answers", killing)
    place = Place(model=str(tiny_model), workers=2)
    passed: list[int] = []
    done = tokenize_on_ray(corpus, tmp_path / "ray", codec, place, progress=Progress(advance=passed.append), **MANY)
    assert done.utterances == 30 == sum(passed) and done.kept == 0 and [bad.id for bad in done.bad] == ["clip-7"]
    assert len(set(workers)) >= 3  # two, and the one that took the killed one's place
    assert workers[-1] != workers[0]
    alone = tokenize_corpus(corpus, tmp_path / "alone", codec, **MANY)
    assert alone == done
    assert rows_of(tmp_path / "ray") == rows_of(tmp_path / "alone")
    assert Counter(row["id"] for row in rows_of(tmp_path / "ray")) == Counter(f"clip-{i}" for i in range(30) if i != 7)
    assert not [path for path in (tmp_path / "ray").iterdir() if path.suffix != ".parquet"]


def test_it_resumes_by_shard(ray_cluster, tmp_path: Path, tiny_model: Path) -> None:
    corpus, codec = open_corpus(write_corpus(tmp_path / "corpus")), Codec.from_pretrained(tiny_model)
    place = Place(model=str(tiny_model), workers=1)
    whole = tokenize_on_ray(corpus, tmp_path / "out", codec, place, **MANY)
    rows, first = rows_of(tmp_path / "out"), tmp_path / "out" / "00001.parquet"
    first.unlink()
    again = tokenize_on_ray(corpus, tmp_path / "out", codec, place, **MANY)
    assert 0 < again.kept < again.utterances == whole.utterances and rows_of(tmp_path / "out") == rows
    kept = tokenize_on_ray(corpus, tmp_path / "out", codec, place, **MANY)
    assert kept.kept == 6
    assert tokenize_corpus(corpus, tmp_path / "out", codec, **MANY) == kept  # and so does a single machine


def test_mistakes_on_a_cluster_are_one_line(ray_cluster, tmp_path: Path, tiny_model: Path) -> None:
    manifest, codec = write_corpus(tmp_path / "corpus"), Codec.from_pretrained(tiny_model)
    place = Place(model=str(tiny_model))
    (tmp_path / "corpus" / "2.flac").write_text("hello")
    threads = threading.enumerate()
    with pytest.raises(InputError, match="2.flac"):
        tokenize_on_ray(open_corpus(manifest), tmp_path / "strict", codec, place, strict=True, **MANY)
    # A thread of Ray's that is left behind can end the process without a word when Ray is shut down.
    assert not [thread.name for thread in threading.enumerate() if thread not in threads]
    with pytest.raises(InputError, match="streamed dataset"):
        tokenize_on_ray(Corpus("x", iter(()), listed=False), tmp_path / "out", codec, place)


def test_no_cluster_is_one_line() -> None:
    pytest.importorskip("ray")
    with pytest.raises(InputError, match="no Ray cluster at 127.0.0.1:1 .*ray start --head"):
        cluster.connect("127.0.0.1:1")


def test_a_worker_that_cannot_start_is_one_line(ray_cluster, tmp_path: Path, tiny_model: Path) -> None:
    manifest, codec = write_corpus(tmp_path / "corpus"), Codec.from_pretrained(tiny_model)
    place = Place(model=str(tmp_path / "elsewhere"), workers=1)
    with pytest.raises(InputError, match="a worker of the cluster failed: .*elsewhere"):
        tokenize_on_ray(open_corpus(manifest), tmp_path / "out", codec, place, **MANY)


def test_workers_by_what_a_cluster_has() -> None:
    assert share_out({"CPU": 2.0}, None, 100) == (2, 1.0, 0)
    assert share_out({"CPU": 64.0}, None, 1000) == (64, 1.0, 0)
    assert share_out({"CPU": 64.0}, None, 10) == (10, 1.0, 0)
    assert share_out({"CPU": 1.0}, None, 10) == (1, 1.0, 0)
    assert share_out({"CPU": 16.0, "GPU": 8.0}, None, 1000) == (8, 1.0, 1)
    assert share_out({"CPU": 4.0, "GPU": 8.0}, None, 1000) == (8, 0.5, 1)
    with pytest.raises(InputError, match="--workers 3: this cluster has 2 CPUs"):
        share_out({"CPU": 2.0}, 3, 100)
