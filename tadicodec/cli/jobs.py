"""Running the jobs of a call: alone for a file, in batches of similar length for a folder."""

from __future__ import annotations

from typing import Any, Protocol

from tadicodec.cli.closing import Receipt, Tally, on_terminal, report
from tadicodec.cli.paths import Job, Work
from tadicodec.errors import InputError

FAULTS = (InputError, OSError)  # of one file: a broken link, a vanished disk


class Worker(Protocol):
    """What a command does with its jobs; each method raises InputError for a bad file."""

    def measure(self, job: Job) -> float:
        """The length of a job in any unit, found without much work."""

    def process(self, jobs: list[Job]) -> list[Any]:
        """Compute one result a job; writes nothing."""

    def write(self, job: Job, result: Any) -> Receipt:
        """Write one result."""


def run_work(work: Work, worker: Worker, batch_size: int, tally: Tally, strict: bool = False) -> None:
    """Do all jobs. In a folder, bad files are reported and counted, unless `strict`, which raises the first of them, as
    a single file's mistake is raised."""
    if strict and work.folder:
        jobs = sorted(work.jobs, key=worker.measure)
        for start in range(0, len(jobs), batch_size):
            batch = jobs[start : start + batch_size]
            for job, result in zip(batch, worker.process(batch), strict=True):
                tally.receipts.append(worker.write(job, result))
        return
    if not work.folder:
        for job in work.jobs:
            tally.receipts.append(worker.write(job, worker.process([job])[0]))
        return
    from tqdm import tqdm

    with tqdm(total=len(work.jobs), unit="file", disable=not on_terminal(), leave=False) as bar:
        good = measure_all(work.jobs, worker, tally)
        bar.update(tally.failed)
        for start in range(0, len(good), batch_size):
            batch = good[start : start + batch_size]
            for job, result in process_batch(batch, worker, tally):
                finish(job, result, worker, tally)
            bar.update(len(batch))


def measure_all(jobs: list[Job], worker: Worker, tally: Tally) -> list[Job]:
    """Jobs by length, so that a batch pads little, without those whose input is bad."""
    lengths = {}
    for job in jobs:
        try:
            lengths[job] = worker.measure(job)
        except FAULTS as error:
            fail(job, error, tally)
    return sorted(lengths, key=lengths.__getitem__)


def process_batch(jobs: list[Job], worker: Worker, tally: Tally) -> list[tuple[Job, Any]]:
    """Results of a batch; when one of its files is bad, the others are done one by one."""
    try:
        return list(zip(jobs, worker.process(jobs), strict=True))
    except FAULTS as error:
        if len(jobs) == 1:
            fail(jobs[0], error, tally)
            return []
    return [pair for job in jobs for pair in process_batch([job], worker, tally)]


def finish(job: Job, result: Any, worker: Worker, tally: Tally) -> None:
    """Write the result of a job and count it; what fails is reported by name."""
    try:
        tally.receipts.append(worker.write(job, result))
    except FAULTS as error:
        fail(job, error, tally)


def fail(job: Job, error: Exception, tally: Tally) -> None:
    """Report a bad file by name and count it."""
    message = str(error)
    report(message if job.name in message else f"{job.name}: {message}")
    tally.failed += 1
