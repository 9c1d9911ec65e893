"""`tadicodec tokenize`: a corpus to parquet shards of codes, once, on as many processes as there are.

A shard holds about an hour of consecutive recordings. It is written beside its place and renamed, so it is there whole
or not at all: a killed run started again makes exactly the shards that are missing. Process r of n makes every n-th.
Every shard says how many there are, so that training knows whether all have come.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tadicodec.data.corpora.entry import Corpus, Recording
from tadicodec.data.shard_writer import Bad, Mark, fingerprint, make_shard
from tadicodec.data.shards import ShardNotes, read_notes
from tadicodec.errors import InputError
from tadicodec.outputs import only_writer

if TYPE_CHECKING:
    from tadicodec.codec import Codec

ENVIRONMENT: tuple[tuple[tuple[str, ...], int], ...] = (  # as torchrun, accelerate and MPI set it
    (("RANK", "PMI_RANK", "OMPI_COMM_WORLD_RANK"), 0),
    (("WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE"), 1),
    (("LOCAL_RANK", "MPI_LOCALRANKID", "OMPI_COMM_WORLD_LOCAL_RANK"), 0),
)


@dataclass(frozen=True)
class Share:
    """Which of all processes this one is, as launchers say in the environment."""

    rank: int = 0
    world: int = 1
    local: int = 0  # its number on its machine

    @classmethod
    def from_environment(cls) -> Share:
        """This process and the number of all, as torchrun, accelerate or MPI have set them; the only one without
        these."""

        def number(names: tuple[str, ...], usual: int) -> int:
            return next((int(os.environ[name]) for name in names if name in os.environ), usual)

        return cls(*(number(*entry) for entry in ENVIRONMENT))


@dataclass(frozen=True)
class Done:
    """What a call found and made: recordings of this process's shards, how many of them were there already, the number
    of shards, and the recordings that could not be read."""

    utterances: int
    kept: int
    shards: int
    bad: tuple[Bad, ...] = ()


@dataclass(frozen=True)
class Task:
    """A shard that is wanted. `made`: the notes of the one that is there already, None where it is still to make."""

    path: Path
    recordings: list[Recording]
    mark: Mark
    made: ShardNotes | None


@dataclass
class Progress:
    """Counts what is done; `report` gets each bad recording, `advance` the number of recordings that have passed."""

    report: Callable[[Bad], None] = lambda bad: None
    advance: Callable[[int], object] = lambda count: None
    utterances: int = 0
    kept: int = 0
    shards: int = 0
    bad: list[Bad] = field(default_factory=list)

    def finished(self, task: Task, bad: Iterable[Bad]) -> None:
        """Note that a shard is there, made now or in an earlier run."""
        self.utterances += len(task.recordings)
        self.kept += len(task.recordings) if task.made is not None else 0
        self.shards += 1
        for item in bad:
            self.bad.append(item)
            self.report(item)

    def done(self) -> Done:
        """What was found and made so far."""
        return Done(self.utterances, self.kept, self.shards, tuple(self.bad))


def tokenize_corpus(
    corpus: Corpus,
    out: Path | str,
    codec: Codec,
    *,
    share: Share = Share(),
    shard_seconds: float = 3600.0,
    overwrite: bool = False,
    strict: bool = False,
    progress: Progress | None = None,
) -> Done:
    """Write the codes of every recording of a corpus. One that cannot be read is left out and listed, in the result
    and in its shard; with strict it ends the run.

    Raises:
        InputError: shards in `out` that are of another corpus or codec (without overwrite), nothing that can be read,
            a folder that cannot be written; with strict, the first recording that cannot be read.
    """
    progress = progress or Progress()
    # the processes of one run share the work and the folder; each keeps out its double of another run
    with only_writer(out, f"run-{share.rank}"):
        for task in plan(corpus, Path(out), codec, shard_seconds, share, overwrite):
            if task.made is not None:
                progress.advance(len(task.recordings))
                progress.finished(task, left_out(task.made))
                continue
            made = make_shard(task.path, task.recordings, codec, task.mark, strict=strict, advance=progress.advance)
            progress.finished(task, made)
    return checked(progress.done(), corpus)


def checked(done: Done, corpus: Corpus) -> Done:
    """The result as it is. Raises InputError where not one recording could be read."""
    if done.bad and len(done.bad) == done.utterances:
        raise InputError(f"{corpus.name}: none of {done.utterances} recordings can be read; {done.bad[0].reason}")
    return done


def left_out(notes: ShardNotes) -> list[Bad]:
    """The recordings that a shard lists as unreadable."""
    return [Bad(**item) for item in notes.left_out]


def plan(
    corpus: Corpus, out: Path, codec: Codec, shard_seconds: float, share: Share, overwrite: bool
) -> Iterator[Task]:
    """The shards of this process.

    Where a corpus is listed, everything in `out` is checked before the first is made. Where it is streamed, each shard
    is checked when it comes, and the last one is the one that knows how many there are.

    Raises:
        InputError: as `tokenize_corpus`.
    """
    shards: Iterable[tuple[int, list[Recording], int]]
    shards = counted(split_shards(corpus.recordings, shard_seconds), corpus.listed)
    tasks: Iterable[Task] = (examine(out, *shard, codec, overwrite) for shard in shards)
    if corpus.listed:
        tasks = known = list(tasks)
        remove_strays(out, len(known), share, overwrite)
    number = -1
    for number, task in enumerate(tasks):
        if not corpus.listed and task.mark.shards:  # the last one: now it is known what there should be
            remove_strays(out, task.mark.shards, share, overwrite)
        if number % share.world == share.rank:
            yield task
    if number < 0:
        raise InputError(f"{corpus.name}: no recordings")


def split_shards(recordings: Iterable[Recording], seconds: float) -> Iterator[list[Recording]]:
    """Consecutive recordings, about so many seconds a shard."""
    shard: list[Recording] = []
    filled = 0.0
    for item in recordings:
        if filled >= seconds and shard:
            yield shard
            shard, filled = [], 0.0
        shard.append(item)
        filled += item.seconds
    if shard:
        yield shard


def counted(shards: Iterator[list[Recording]], listed: bool) -> Iterator[tuple[int, list[Recording], int]]:
    """Shards with their number and with how many there are; 0 where that is not known yet."""
    if listed:
        known = list(shards)
        yield from ((number, shard, len(known)) for number, shard in enumerate(known))
        return
    held = next(shards, None)
    number = 0
    while held is not None:
        following = next(shards, None)
        yield number, held, 0 if following is not None else number + 1
        number, held = number + 1, following


def examine(out: Path, number: int, recordings: list[Recording], total: int, codec: Codec, overwrite: bool) -> Task:
    """A shard and what is at its place. Raises InputError for a shard of another corpus or codec (without overwrite),
    and for a file that is no shard at all."""
    path = out / f"{number:05d}.parquet"
    mark = Mark(fingerprint(recordings, codec.weights), total, codec.name)
    notes = read_notes(path)
    if notes is None and path.exists():
        raise InputError(f"{path} is no shard of tokens; choose another folder")
    if notes is not None and notes.fingerprint != mark.fingerprint and not overwrite:
        raise InputError(f"{path} is of another corpus or codec; choose another folder, or pass --overwrite")
    current = notes is not None and (notes.fingerprint, notes.shards) == (mark.fingerprint, mark.shards)
    return Task(path, recordings, mark, notes if current else None)


def remove_strays(out: Path, shards: int, share: Share, overwrite: bool) -> None:
    """Remove shards beyond the last one, which are of a longer corpus. Raises InputError for them without overwrite,
    and for parquet files that are no shards."""
    names = {f"{number:05d}.parquet" for number in range(shards)}
    for path in sorted(out.glob("*.parquet")):
        if path.name in names:
            continue
        if read_notes(path) is None:
            if path.exists():  # another process may just have removed it
                raise InputError(f"{path} is no shard of tokens; choose another folder")
        elif not overwrite:
            raise InputError(f"{path} is of another corpus or codec; choose another folder, or pass --overwrite")
        elif share.rank == 0:
            path.unlink(missing_ok=True)
