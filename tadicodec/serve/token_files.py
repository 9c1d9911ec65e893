"""POST /encode: a recording to a token file. POST /decode: a token file to audio. Bodies are the bytes as they are."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated

import torch
from fastapi import APIRouter, Query, Request
from starlette.responses import Response, StreamingResponse
from torch import Tensor

from tadicodec.errors import InputError
from tadicodec.serve.refusals import Refusal
from tadicodec.serve.service import Service
from tadicodec.serve.speaking import Form, voice_of
from tadicodec.serve.uploads import recording_of, too_long
from tadicodec.speech import Prompt, Speech
from tadicodec.tdc.container import TokenFile, announced, from_bytes, to_bytes

MEDIA = "application/octet-stream"
Text = Annotated[str | None, Query(description="what is said; without it, what the model hears; empty: nothing")]
Squeeze = Annotated[bool, Query(description="fewer bits, by the bundled language models")]
Voice = Annotated[str | None, Query(description="a voice of this server")]


def add_tokens(router: APIRouter, service: Service) -> None:
    """Add the routes."""

    @router.post("/encode")
    async def encode(request: Request, text: Text = None, voice: Voice = None, squeeze: Squeeze = False) -> Response:
        """A .tdc file of the recording. The header X-Tadicodec says how long it is, and what it lacks."""
        with service.slot():
            if text is not None and len(text) > service.config.characters:
                raise Refusal(413, f"the text is longer than {service.config.characters} characters")
            prompt = None if voice is None else voice_of(service, voice)
            wave, notes = await recording_of(service, await service.read(request.body()))
            speech: Speech = await service.result(request, service.worker.encode(wave, text))
            seconds, tokens = round(float(speech.seconds[0]), 3), int(speech.lengths[0])
            about = {"seconds": seconds, "tokens": tokens, "warnings": notes}
            kept, listener = None if prompt is None else prompt.hash, service.codec if squeeze else False
            data = await service.result(request, service.worker.call(lambda: to_bytes(speech, kept, listener)))
            return Response(data, media_type=MEDIA, headers={"X-Tadicodec": json.dumps(about)})

    @router.post("/decode")
    async def decode(
        request: Request,
        *,
        form: Annotated[Form, Query(alias="format")] = "wav",
        voice: Voice = None,
        text: Text = None,
        seed: Annotated[int, Query(ge=0, lt=2**63)] = 0,
        steps: Annotated[int | None, Query(ge=1, le=64)] = None,
        guidance: Annotated[float | None, Query(ge=0, le=100)] = None,
    ) -> StreamingResponse:
        """The sound of a .tdc file, long ones in windows, each sent when it is made."""
        with service.slot() as slot:
            body = await service.read(request.body())
            if announced(body) > service.config.seconds * Speech.sample_rate:
                raise too_long(service.config.seconds)
            file = await service.result(request, service.worker.call(lambda: from_bytes(body)))
            prompt = prompt_of(service, file, voice)
            speech = file.speech if text is None else replace(file.speech, text=(text,))
            generator = torch.Generator().manual_seed(seed)
            job = service.worker.stream(decoded(service, speech, prompt, steps, guidance, generator))
            return await service.stream(request, slot, job, form)


def prompt_of(service: Service, file: TokenFile, voice: str | None) -> Prompt | None:
    """The voice asked for, or the one in the file, or the one whose hash it names. Raises InputError, Refusal."""
    if file.header.weights != service.codec.weights:
        raise InputError(f"the file was made by model {file.header.model!r}, this server has {service.codec.name!r}")
    if voice is not None:
        return voice_of(service, voice)
    if file.header.prompt["source"] != "hash":
        return file.prompt
    wanted = file.header.prompt["hash"]
    for prompt in service.voices.values():
        if prompt.hash == wanted:
            return prompt
    raise InputError(f"the file needs the speaker prompt {wanted!r}, which is no voice of this server")


def decoded(
    service: Service,
    speech: Speech,
    prompt: Prompt | None,
    steps: int | None,
    guidance: float | None,
    generator: torch.Generator,
) -> Iterator[Tensor]:
    """Waves [n], together those of `Codec.decode`."""
    seconds = service.codec.config.inference.piece_seconds
    yield from service.codec.stream(speech, prompt, steps, guidance, generator, seconds=seconds)
