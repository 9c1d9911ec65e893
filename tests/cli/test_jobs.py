from pathlib import Path

import pytest

from tadicodec.cli.closing import Receipt, Tally
from tadicodec.cli.jobs import run_work
from tadicodec.cli.paths import Job, Work
from tadicodec.errors import InputError


class Counter:
    """Files are named SOMETHING-LENGTH; a name that starts with a stage's name fails in that stage."""

    def __init__(self):
        self.batches, self.written = [], []

    def measure(self, job):
        self.stumble("measure", job)
        return float(job.source.name.split("-")[-1])

    def process(self, jobs):
        for job in jobs:
            self.stumble("process", job)
        self.batches.append([job.source.name for job in jobs])
        return [job.source.name for job in jobs]

    def write(self, job, result):
        self.stumble("write", job)
        self.written.append(result)
        return Receipt(1.0, 7, 20)

    def stumble(self, stage, job):
        if job.source.name.startswith(stage):
            raise InputError(f"{stage} went wrong")


def work(*names, folder=True):
    return Work([Job(Path(name), Path("out") / name) for name in names], folder)


def test_batches_are_sorted_by_length():
    worker, tally = Counter(), Tally("done")
    run_work(work("a-3", "b-9", "a-1", "a-2", "b-4"), worker, 2, tally)
    assert worker.batches == [["a-1", "a-2"], ["a-3", "b-4"], ["b-9"]]
    assert len(tally.receipts) == 5 and tally.failed == 0


@pytest.mark.parametrize("stage", ["measure", "process", "write"])
def test_a_bad_file_does_not_stop_the_others(stage, capsys):
    worker, tally = Counter(), Tally("done")
    run_work(work("a-3", f"{stage}-a-1", "a-2"), worker, 8, tally)
    assert sorted(worker.written) == ["a-2", "a-3"] and tally.failed == 1
    assert capsys.readouterr().err == f"tadicodec: error: {stage}-a-1: {stage} went wrong\n"
    assert tally.close(as_json=False, piped=False) == 2
    assert capsys.readouterr().out.startswith("done 2 files, 1 FAILED: 2.00 s of audio, 14 tokens")


def test_a_single_bad_file_is_raised():
    with pytest.raises(InputError):
        run_work(work("process-a-1", folder=False), Counter(), 8, Tally("done"))


@pytest.mark.parametrize("stage", ["measure", "process", "write"])
def test_strict_stops_at_the_first_bad_file(stage):
    worker, tally = Counter(), Tally("done")
    with pytest.raises(InputError, match=f"{stage} went wrong"):
        run_work(work("a-9", f"{stage}-a-1", "a-8"), worker, 1, tally, strict=True)
    assert worker.written == []


def test_a_sidecar_that_cannot_be_read_ends_nothing(cli, make_wave, tiny_model, tmp_path):
    """Not UTF-8, and a link whose target no system can follow: each its own file's fault."""
    for name in ("a", "b", "c"):
        make_wave(f"in/{name}.wav")
    (tmp_path / "in" / "a.txt").write_bytes(b"\xff\xfe\x80")
    (tmp_path / "in" / "b.txt").symlink_to("x" * 300)
    done = cli("encode", tmp_path / "in", tmp_path / "out", "--model", tiny_model)
    assert done.code == 2 and "1 file, 2 FAILED" in done.text and done.err.count("\n") == 2, done.err
    assert "a.txt is not UTF-8" in done.err and "cannot read" in done.err and "b.txt" in done.err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["c.tdc"]
    strict = cli("encode", tmp_path / "in", tmp_path / "strict", "--model", tiny_model, "--strict")
    assert strict.code == 2 and strict.err.count("\n") == 1 and not (tmp_path / "strict").exists()
    listed = cli("tokenize", tmp_path / "in", tmp_path / "tokens", "--model", tiny_model)
    assert listed.code == 0 and "tokenized 3 recordings, 2 LEFT OUT in 1 shard" in listed.text
    assert listed.err.count("\n") == 2 and "a: " in listed.err
    strict = cli("tokenize", tmp_path / "in", tmp_path / "strict", "--model", tiny_model, "--strict")
    assert strict.code == 2 and strict.err.count("\n") == 1
