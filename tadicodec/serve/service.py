"""What all routes share: the models, the voices, the worker, and how a request waits for its result."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from tadicodec.audio.outgoing import MEDIA, outgoing
from tadicodec.codec import Codec
from tadicodec.serve.metrics import Metrics
from tadicodec.serve.refusals import ClientGone, Refusal, busy, late
from tadicodec.serve.settings import ServeConfig
from tadicodec.serve.work import END, Job, Worker
from tadicodec.speech import Prompt
from tadicodec.tts.synthesize import Speaker

T = TypeVar("T")
READERS = 2  # threads that decode uploads


class Service:
    """What all routes share. speakers: speech language models by name; voices: speaker prompts by name."""

    def __init__(
        self, codec: Codec, speakers: dict[str, Speaker], voices: dict[str, Prompt], config: ServeConfig
    ) -> None:
        self.codec, self.speakers, self.voices, self.config = codec, speakers, voices, config
        self.metrics = Metrics()
        self.worker = Worker(codec, config.batch, self.metrics.batches.observe)
        self.readers = ThreadPoolExecutor(READERS, "tadicodec-reader")
        self.taken = 0
        self.metrics.waiting.set_function(lambda: self.taken)

    @contextmanager
    def slot(self) -> Iterator[Slot]:
        """A place among the requests that are worked on, given back at the end unless a response took it over.

        Raises:
            Refusal: 429, all places are taken.
        """
        slot = Slot(self)
        try:
            yield slot
        finally:
            if not slot.kept:
                slot.release()

    async def read(self, reading: Coroutine[Any, Any, T]) -> T:
        """The body of a request, if it comes in time. Raises Refusal: 408."""
        try:
            async with asyncio.timeout(self.config.timeout):
                return await reading
        except TimeoutError:
            raise Refusal(408, f"the request did not arrive within {self.config.timeout:g} s") from None

    async def result(self, request: Request, job: Job) -> Any:
        """The next result of a job, END behind the last one.

        Raises:
            Refusal: 504. ClientGone: the client hung up. In both cases the job ends.
        """
        tasks = [asyncio.ensure_future(job.take()), asyncio.ensure_future(hung_up(request))]
        try:
            await asyncio.wait(tasks, timeout=self.config.timeout, return_when=asyncio.FIRST_COMPLETED)
            if tasks[0].done():
                return tasks[0].result()
            raise ClientGone if tasks[1].done() else late(self.config.timeout)
        finally:
            if not tasks[0].done() or tasks[0].exception() is not None:
                self.worker.cancel(job)
            for task in tasks:
                task.cancel()

    async def stream(self, request: Request, slot: Slot, job: Job, form: str) -> StreamingResponse:
        """The job's waves [n] as audio, each piece sent when it is made. What goes wrong before the first is an answer
        with a status; later the connection is cut, so that half an answer is not taken for a whole one."""
        first = await self.result(request, job)
        slot.kept = True
        return HeldResponse(slot, job, self.sound(job, first, form), MEDIA[form])

    async def sound(self, job: Job, first: Any, form: str) -> AsyncIterator[bytes]:
        encoder, wave = outgoing(form, self.codec.sample_rate), first
        async with asyncio.timeout(self.config.timeout):
            while wave is not END:
                self.metrics.seconds.labels("out").inc(len(wave) / self.codec.sample_rate)
                if data := encoder.add(wave.numpy()):
                    yield data
                wave = await job.take()
        if data := encoder.finish():
            yield data

    def close(self) -> None:
        """Finish what was begun."""
        self.worker.stop()
        self.readers.shutdown()


class Slot:
    """One of the `requests` places. `kept`: a response gives it back, when it has been sent."""

    def __init__(self, service: Service) -> None:
        if service.taken >= service.config.requests:
            raise busy()
        service.taken += 1
        self.service, self.kept, self.held = service, False, True

    def release(self) -> None:
        """Give the place back; a second time does nothing."""
        self.service.taken -= self.held
        self.held = False


class HeldResponse(StreamingResponse):
    """Keeps its place until the last byte is sent or the client has hung up, and ends the work then."""

    def __init__(self, slot: Slot, job: Job, content: AsyncIterator[bytes], media: str) -> None:
        super().__init__(content, media_type=media)
        self.slot, self.job = slot, job

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self.slot.service.worker.cancel(self.job)
            self.slot.release()


async def hung_up(request: Request) -> None:
    """Returns when the client has closed the connection."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
