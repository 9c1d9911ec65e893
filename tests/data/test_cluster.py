"""`tadicodec tokenize --ray`: several processes, one of them killed, and the rows of a single machine to the bit."""

from __future__ import annotations

import os
import signal
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
    """Three CPUs as far as Ray is concerned: two for actors, one for what hands out the shards."""
    ray = pytest.importorskip("ray")
    pytest.importorskip("ray.data")
    before = dict(os.environ)
    os.environ["PYTHONPATH"] = str(ROOT)
    ray.init(num_cpus=3, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
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

    def killing(*given: Any) -> Iterator[dict[str, Any]]:
        for number, answer in enumerate(original(*given)):
            workers.append(int(answer["process"]))
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
    with pytest.raises(InputError, match="2.flac"):
        tokenize_on_ray(open_corpus(manifest), tmp_path / "strict", codec, place, strict=True, **MANY)
    with pytest.raises(InputError, match="streamed dataset"):
        tokenize_on_ray(Corpus("x", iter(()), listed=False), tmp_path / "out", codec, place)


def test_no_cluster_is_one_line() -> None:
    pytest.importorskip("ray")
    with pytest.raises(InputError, match="no Ray cluster at 127.0.0.1:1 .*ray start --head"):
        cluster.connect("127.0.0.1:1")


def test_one_cpu_is_left_for_reading() -> None:
    """With every CPU given to actors, the tasks that hand out the shards would wait for ever."""
    assert share_out({"CPU": 2.0}, None, 100) == (1, 1.0, 0)
    assert share_out({"CPU": 64.0}, None, 1000) == (63, 1.0, 0)
    assert share_out({"CPU": 64.0}, None, 10) == (10, 1.0, 0)
    assert share_out({"CPU": 1.0}, None, 10) == (1, 0.5, 0)
    assert share_out({"CPU": 16.0, "GPU": 8.0}, None, 1000) == (8, 1.0, 1)
    assert share_out({"CPU": 8.0, "GPU": 8.0}, None, 1000) == (8, 0.875, 1)
    with pytest.raises(InputError, match="--workers 2: this cluster has 1"):
        share_out({"CPU": 2.0}, 2, 100)
