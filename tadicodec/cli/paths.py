"""Pairing inputs with outputs, and refusing what could not be written, before any work is done."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tadicodec.cli.pipes import binary_input, binary_output
from tadicodec.errors import InputError
from tadicodec.outputs import check_output

PIPE = "-"


@dataclass(frozen=True)
class Job:
    """One file to make from another; None stands for standard input and standard output."""

    source: Path | None
    target: Path | None

    @property
    def name(self) -> str:
        """The input's name, for messages."""
        return "standard input" if self.source is None else str(self.source)


@dataclass(frozen=True)
class Work:
    """All jobs of a call; in a folder one bad file does not stop the others."""

    jobs: list[Job]
    folder: bool

    @property
    def piped(self) -> bool:
        """Whether standard output carries the result."""
        return any(job.target is None for job in self.jobs)


def pair(source: str, target: str, reads: Sequence[str], writes: Sequence[str], overwrite: bool) -> Work:
    """What IN and OUT mean: file to file, file into an existing folder, folder to folder, and - for pipes.

    Args:
        reads: extensions looked for in a folder.
        writes: extensions an output may have; the first one is given to the files of a folder.

    Raises:
        InputError: IN is missing or holds no such files, or an output exists, is the input, or cannot be written.
    """
    if source != PIPE and Path(source).is_dir():
        work = Work(pair_folder(Path(source), target, reads, writes), folder=True)
    else:
        work = Work([pair_file(source, target, writes)], folder=False)
    for job in work.jobs:
        check_job(job, overwrite)
    return work


def pair_file(source: str, target: str, writes: Sequence[str]) -> Job:
    """The job of a single file. Raises InputError."""
    start = None if source == PIPE else Path(source)
    if start is not None and not start.exists():
        raise InputError(f"{source} does not exist; check the path")
    if target == PIPE:
        return Job(start, None)
    end = Path(target)
    if end.is_dir() and start is not None:
        end = end / start.with_suffix(writes[0]).name
    if end.suffix.lower() not in writes and not end.is_dir():
        raise InputError(f"{target}: the output's name must end in {' or '.join(writes)}")
    return Job(start, end)


def pair_folder(source: Path, target: str, reads: Sequence[str], writes: Sequence[str]) -> list[Job]:
    """The same tree under the output folder, with another extension."""
    end = Path(target)
    if target == PIPE or (not end.is_dir() and (end.exists() or end.suffix.lower() in writes)):
        raise InputError(f"{source} is a folder, so the output must be a folder too, not {target}")
    jobs: dict[Path, Job] = {}
    for path in list_files(source, reads, skip=end):
        place = (end / path.relative_to(source)).with_suffix(writes[0])
        job = Job(path, place)
        other = jobs.setdefault(place, job)
        if other is not job:
            raise InputError(f"{other.source} and {path} would both become {place}; rename one")
    if not jobs:
        raise InputError(f"{source} holds no file that ends in {', '.join(reads)}")
    return list(jobs.values())


def list_files(folder: Path, extensions: Sequence[str], skip: Path) -> Iterator[Path]:
    """Files with these extensions, sorted, without hidden ones and without those under `skip` if that lies within."""
    inner = skip.resolve() if skip.resolve() != folder.resolve() else None
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if (Path(root) / name).resolve() != inner)
        for name in sorted(names):
            if Path(name).suffix.lower() in extensions and not name.startswith("."):
                yield Path(root) / name


def check_job(job: Job, overwrite: bool) -> None:
    """Raise InputError unless the job's output can be written without harm, and its pipes are no terminals."""
    if job.source is None:
        binary_input()
    if job.target is None:
        binary_output()
        return
    if job.source is not None and job.target.exists() and os.path.samefile(job.source, job.target):
        raise InputError(f"{job.target} is the input itself; give the output another name")
    check_output(job.target, overwrite)
