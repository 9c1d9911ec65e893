"""`tadicodec tokenize --ray`: the shards of a corpus on a Ray cluster.

Shards, each a list of recordings without their samples, go to actors that hold the codec. An actor reads the audio
itself and writes its shard to the folder, which all machines see; what travels is what is known of the recordings and,
back, how many were bad. A shard is made by the code of a single machine, so its rows are the same to the bit; when an
actor dies, Ray starts another in its place, which makes its shard anew.

Actors, not Ray Data: the threads that this leaves behind a run that ends early end the whole process, with exit code 1
and no word, where one of them wakes while Ray is shut down.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tadicodec.data.corpora.entry import Corpus
from tadicodec.data.shard_writer import Bad, make_shard
from tadicodec.data.token_corpus import Done, Progress, Share, Task, checked, left_out, plan
from tadicodec.errors import InputError
from tadicodec.guards.extras import need
from tadicodec.outputs import only_writer

if TYPE_CHECKING:
    from tadicodec.codec import Codec

LOCAL = "local"  # as an address: a cluster of this machine alone, for as long as the run takes
PATIENCE = 10.0  # seconds for a cluster to answer
THREADS = "OMP_NUM_THREADS"


@dataclass(frozen=True)
class Place:
    """Where the work is done.

    address: of a Ray cluster, "auto" for the one that this machine belongs to, or "local". model: what
    `Codec.from_pretrained` takes, known on every machine. workers: None is as many as fit.
    """

    address: str = LOCAL
    model: str | None = None
    dtype: str = "float32"
    workers: int | None = None


@dataclass(frozen=True)
class Answer:
    """What a worker says of a shard: its number, the worker's process, the recordings left out, or what was wrong."""

    number: int
    process: int
    bad: tuple[Bad, ...] = ()
    error: str = ""


class ShardMaker:
    """An actor: a codec in a process of its own, and shards one after the other."""

    def __init__(self, model: str | None, device: str, dtype: str, strict: bool) -> None:
        import torch

        from tadicodec.codec import Codec

        self.codec = Codec.from_pretrained(model, device, getattr(torch, dtype))
        self.strict = strict

    def make(self, number: int, task: Task) -> Answer:
        """Make one shard. Bad input is told, not raised: tried again, it would fail again."""
        try:
            bad = make_shard(task.path, task.recordings, self.codec, task.mark, strict=self.strict)
        except InputError as error:
            return Answer(number, os.getpid(), error=str(error))
        return Answer(number, os.getpid(), tuple(bad))


def tokenize_on_ray(
    corpus: Corpus,
    out: Path | str,
    codec: Codec,
    place: Place,
    *,
    shard_seconds: float = 3600.0,
    overwrite: bool = False,
    strict: bool = False,
    progress: Progress | None = None,
) -> Done:
    """As `tokenize_corpus`, on the machines of a Ray cluster. `codec` is the one that the workers load by name; here it
    only says which shards are there already.

    Raises:
        InputError: as `tokenize_corpus`; a streamed corpus, whose recordings no worker could find; Ray is missing, or
            there is no cluster at this address.
    """
    need("ray", "--ray")
    if not corpus.listed:
        raise InputError("--ray cannot share out a streamed dataset; leave --stream out, so that workers can find rows")
    progress = progress or Progress()
    out = Path(out).absolute()
    with only_writer(out, "run-0"):
        todo: list[Task] = []
        for task in plan(corpus, out, codec, shard_seconds, Share(), overwrite):
            if task.made is None:
                todo.append(task)
            else:
                progress.advance(len(task.recordings))
                progress.finished(task, left_out(task.made))
        if todo:
            run(todo, place, strict, progress)
    return checked(progress.done(), corpus)


def run(todo: list[Task], place: Place, strict: bool, progress: Progress) -> None:
    """Make these shards on the cluster. Raises InputError."""
    import ray

    started = not ray.is_initialized()
    if started:
        connect(place.address)
    try:
        with closing(answers(todo, place, strict)) as told:  # over before Ray is
            for answer in told:
                if answer.error:
                    raise InputError(answer.error)
                task = todo[answer.number]
                progress.advance(len(task.recordings))
                progress.finished(task, list(answer.bad))
    except ray.exceptions.RayActorError as error:  # not killed, which Ray mends, but unable to start
        raise InputError(f"a worker of the cluster failed: {last_line(error)}") from error
    finally:
        if started:
            ray.shutdown()


def connect(address: str) -> None:
    """Join the cluster at this address. Raises InputError where none answers."""
    import ray

    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        if host and port.isdigit():  # asked first, because Ray itself would go on asking for minutes
            socket.create_connection((host, int(port)), timeout=PATIENCE).close()
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, ValueError, RuntimeError, OSError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(f"no Ray cluster at {address} ({reason}); start one with `ray start --head`") from error


def last_line(error: Exception) -> str:
    """The end of what Ray tells of a worker, which is the worker's own error."""
    return next((line.strip() for line in reversed(str(error).splitlines()) if line.strip()), type(error).__name__)


def answers(todo: list[Task], place: Place, strict: bool) -> Generator[Answer, None, None]:
    """What the workers say of each shard, as they come. They end with this, however it ends."""
    import ray
    from ray.util import ActorPool

    workers, cpus, gpus = share_out(ray.cluster_resources(), place.workers, len(todo))
    maker = ray.remote(
        num_cpus=cpus,
        num_gpus=gpus,
        max_restarts=-1,
        max_task_retries=-1,
        runtime_env={"env_vars": {THREADS: os.environ.get(THREADS, "1")}},  # an actor has a core, not all of them
    )(ShardMaker)
    device = "cuda" if gpus else "cpu"
    actors: list[Any] = [maker.remote(place.model, device, place.dtype, strict) for _ in range(workers)]
    given: list[Any] = list(enumerate(todo))
    try:
        yield from ActorPool(actors).map_unordered(lambda actor, one: actor.make.remote(*one), given)
    finally:
        for actor in actors:
            ray.kill(actor)


def share_out(resources: dict[str, float], wanted: int | None, shards: int) -> tuple[int, float, int]:
    """Workers, and the CPUs and GPUs of each: a GPU each where there are any, else a CPU each."""
    gpus, cpus = int(resources.get("GPU", 0)), resources.get("CPU", 1.0)
    room = gpus or max(int(cpus), 1)
    workers = max(min(wanted or room, shards), 1)
    if wanted is not None and wanted > room:
        raise InputError(f"--workers {wanted}: this cluster has {room} {'GPUs' if gpus else 'CPUs'}")
    return workers, min(1.0, cpus / workers), 1 if gpus else 0
