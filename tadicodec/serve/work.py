"""The one thread that computes.

Requests put work into its queue. Recordings that wait are encoded together, and long answers take turns, a sentence or
a window each. A model's arithmetic already uses all cores, so a second thread would only make both slower.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any

import numpy as np

from tadicodec.codec import Codec
from tadicodec.errors import InputError
from tadicodec.speech import Speech

AHEAD = 4  # pieces made before a client has taken them
BATCH_SECONDS = 120.0  # of audio in a batch; longer recordings are encoded alone
END = object()


class Job:
    """Work that gives results one by one. `pieces` is run in the worker's thread; between two pieces others may run."""

    def __init__(self, worker: Worker, pieces: Iterator[Any]) -> None:
        self.worker, self.pieces = worker, pieces
        self.loop = asyncio.get_running_loop()
        self.made: asyncio.Queue[Any] = asyncio.Queue()
        self.ahead = 0  # results that nobody took yet
        self.cancelled = False

    async def take(self) -> Any:
        """The next result, END behind the last one. Raises what the work raised."""
        result = await self.made.get()
        self.worker.taken(self)
        if isinstance(result, BaseException):
            raise result
        return result

    async def results(self) -> AsyncIterator[Any]:
        while (result := await self.take()) is not END:
            yield result

    def give(self, result: Any) -> None:
        """Hand a result over to whoever waits for it. Called in the worker's thread."""
        with self.worker.changed:
            self.ahead += 1
        try:
            self.loop.call_soon_threadsafe(self.made.put_nowait, result)
        except RuntimeError:  # the loop is closed: nobody waits any more
            self.cancelled = True

    def step(self) -> bool:
        """Make one piece; returns whether there may be more."""
        try:
            self.give(next(self.pieces))
        except StopIteration:
            self.give(END)
            return False
        except Exception as error:  # whatever it is, it is the request's that asked for it, not the server's
            self.give(error)
            return False
        return True


class Encoding(Job):
    """A recording to be encoded, maybe together with others: wave [N] at the codec's rate, its text or None."""

    def __init__(self, worker: Worker, wave: np.ndarray, text: str | None) -> None:
        super().__init__(worker, iter(()))
        self.wave, self.text = wave, text


class Worker:
    """The thread that does the jobs. Start it once; `stop` lets it finish what it has."""

    def __init__(self, codec: Codec, batch: int, on_batch: Callable[[int], None] = lambda size: None) -> None:
        self.codec, self.batch, self.on_batch = codec, batch, on_batch
        self.jobs: deque[Job] = deque()
        self.changed = threading.Condition()
        self.stopping = False
        self.thread = threading.Thread(target=self.run, name="tadicodec-worker", daemon=True)
        self.thread.start()

    def stream(self, pieces: Iterator[Any]) -> Job:
        """A job that gives results one after the other."""
        return self.add(Job(self, pieces))

    def encode(self, wave: np.ndarray, text: str | None) -> Job:
        """A job with one result: the Speech of a wave [N]."""
        return self.add(Encoding(self, wave, text))

    def call(self, function: Callable[[], Any]) -> Job:
        """A job with one result: what the function returns."""
        return self.stream(function() for _ in range(1))

    def add(self, job: Job) -> Any:
        """Put a job into the queue; returns it."""
        with self.changed:
            self.jobs.append(job)
            self.changed.notify()
        return job

    def taken(self, job: Job) -> None:
        """Note that a result of a job was taken, so that the next may be made."""
        with self.changed:
            job.ahead -= 1
            self.changed.notify()

    def cancel(self, job: Job) -> None:
        """Note that nobody waits for a job any more: it is not begun, or ends after the piece that is being made."""
        with self.changed:
            job.cancelled = True
            self.changed.notify()

    def stop(self) -> None:
        """Wait until everything is done."""
        with self.changed:
            self.stopping = True
            self.changed.notify()
        self.thread.join()

    def run(self) -> None:
        """Do jobs until `stop` is called and nothing is left. Runs in the worker's thread."""
        while (turn := self.next_turn()) is not None:
            if isinstance(turn[0], Encoding):
                self.encode_together([job for job in turn if isinstance(job, Encoding)])
            elif turn[0].step():
                with self.changed:
                    self.jobs.append(turn[0])

    def next_turn(self) -> Sequence[Job] | None:
        """Jobs to do now, taken from the queue; None when there is nothing left and nothing will come."""
        with self.changed:
            while True:
                self.drop_cancelled()
                ready = next((job for job in self.jobs if job.ahead < AHEAD), None)
                if ready is not None:
                    turn: Sequence[Job] = self.companions(ready) if isinstance(ready, Encoding) else [ready]
                    for job in turn:
                        self.jobs.remove(job)
                    return turn
                if self.stopping and not self.jobs:
                    return None
                self.changed.wait()

    def drop_cancelled(self) -> None:
        """Remove cancelled jobs from the queue and end them."""
        for job in [job for job in self.jobs if job.cancelled]:
            self.jobs.remove(job)
            close = getattr(job.pieces, "close", None)
            if close is not None:
                close()

    def companions(self, first: Encoding) -> list[Job]:
        """Recordings that are encoded with this one."""
        chosen: list[Job] = []
        samples = 0
        for job in self.jobs:
            if isinstance(job, Encoding) and len(chosen) < self.batch:
                samples += len(job.wave)
                if job is not first and samples > BATCH_SECONDS * self.codec.sample_rate:
                    break
                chosen.append(job)
        return chosen if first in chosen else [first]

    def encode_together(self, jobs: list[Encoding]) -> None:
        """Encode recordings as a batch, which gives what single ones give. Where one of them cannot be encoded, the
        others are."""
        self.on_batch(len(jobs))
        try:
            rate = self.codec.sample_rate
            speech = self.codec.encode([job.wave for job in jobs], rate, [job.text for job in jobs])
        except InputError as error:
            if len(jobs) == 1:
                jobs[0].give(error)
                return
            for job in jobs:
                self.encode_together([job])
        except Exception as error:  # as in `step`
            for job in jobs:
                job.give(error)
        else:
            for index, job in enumerate(jobs):
                one: Speech = speech[index]
                job.give(one)
