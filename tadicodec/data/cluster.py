"""`tadicodec tokenize --ray`: the shards of a corpus on a Ray cluster.

Ray Data hands shards, each a list of recordings without their samples, to actors that hold the codec. An actor reads
the audio itself and writes its shard to the folder, which all machines see; what travels through the object store is
what is known of the recordings and, back, how many were bad. A shard is made by the code of a single machine, so its
rows are the same to the bit; when a worker dies, Ray gives its shard to another, which writes it whole.
"""

from __future__ import annotations

import json
import logging
import os
import socket
from dataclasses import asdict, dataclass
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


class ShardMaker:
    """An actor: a codec in a process of its own, and shards one after the other."""

    def __init__(self, model: str | None, device: str, dtype: str, strict: bool) -> None:
        import torch

        from tadicodec.codec import Codec

        self.codec = Codec.from_pretrained(model, device, getattr(torch, dtype))
        self.strict = strict

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[Any]]:
        """A batch of one shard -> its number, this process, the recordings left out as JSON, and an error or ""."""
        import ray

        task: Task = ray.cloudpickle.loads(batch["task"][0])
        bad, error = [], ""
        try:
            bad = make_shard(task.path, task.recordings, self.codec, task.mark, strict=self.strict)
        except InputError as found:  # tried again, it would fail again
            error = str(found)
        told = json.dumps([asdict(item) for item in bad])
        return {"number": [int(batch["number"][0])], "process": [os.getpid()], "bad": [told], "error": [error]}


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
        for answer in answers(todo, place, strict):
            if answer["error"]:
                raise InputError(answer["error"])
            task = todo[int(answer["number"])]
            progress.advance(len(task.recordings))
            progress.finished(task, [Bad(**item) for item in json.loads(answer["bad"])])
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


def answers(todo: list[Task], place: Place, strict: bool) -> Any:
    """What the workers say of each shard, as they come."""
    import ray.data

    workers, cpus, gpus = share_out(ray.cluster_resources(), place.workers, len(todo))
    ray.data.DataContext.get_current().enable_progress_bars = False  # there is one of our own
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    rows = [{"number": number, "task": ray.cloudpickle.dumps(task)} for number, task in enumerate(todo)]
    shards = ray.data.from_items(rows, override_num_blocks=len(rows))
    made = shards.map_batches(
        ShardMaker,
        batch_size=1,
        fn_constructor_args=(place.model, "cuda" if gpus else "cpu", place.dtype, strict),
        compute=ray.data.ActorPoolStrategy(size=workers),
        num_cpus=cpus,
        num_gpus=gpus,
        runtime_env={"env_vars": {THREADS: os.environ.get(THREADS, "1")}},
    )
    return made.iter_rows()


def share_out(resources: dict[str, float], wanted: int | None, shards: int) -> tuple[int, float, int]:
    """Workers, and the CPUs and GPUs of each: a GPU each where there are any, else a CPU each.

    One CPU is always left over: the tasks that read and hand out the shards need it, and a cluster whose actors hold
    every CPU waits for ever.
    """
    gpus, cpus = int(resources.get("GPU", 0)), resources.get("CPU", 1.0)
    room = gpus or max(int(cpus) - 1, 1)
    workers = max(min(wanted or room, shards), 1)
    if wanted is not None and wanted > room:
        kind = "GPUs" if gpus else "CPUs besides the one that reads"
        raise InputError(f"--workers {wanted}: this cluster has {room} {kind}")
    return workers, min(1.0, max(cpus - 1, 0.5) / workers), 1 if gpus else 0
