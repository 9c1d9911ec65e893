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
