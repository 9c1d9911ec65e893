"""POST /v1/audio/speech: a text in one of the voices, sent sentence by sentence."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

import torch
from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.responses import StreamingResponse
from torch import Tensor

from tadicodec.errors import shown
from tadicodec.serve.refusals import Refusal
from tadicodec.serve.service import Service
from tadicodec.speech import Prompt
from tadicodec.tts.synthesize import Options, Speaker

Form = Literal["mp3", "wav", "flac", "opus", "pcm"]


class SpeechRequest(BaseModel):
    """OpenAI's fields, and `seed`, `steps` and `guidance` of the codec. What is not here is refused, not ignored."""

    model_config = ConfigDict(extra="forbid")

    input: str
    voice: str
    model: str = "tadicodec"
    response_format: Form = "mp3"
    speed: Annotated[float, Field(ge=0.25, le=4.0)] = 1.0
    stream_format: Literal["audio"] = "audio"
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    steps: Annotated[int, Field(ge=1, le=64)] | None = None
    guidance: Annotated[float, Field(ge=0, le=100)] | None = None


def add_speaking(router: APIRouter, service: Service) -> None:
    """Add the route."""

    @router.post("/v1/audio/speech")
    async def speech(request: Request) -> StreamingResponse:
        """The text as audio: 24 kHz, one channel."""
        with service.slot() as slot:
            wanted = parsed(await service.read(request.body()))
            most = service.config.characters
            if len(wanted.input) > most:
                raise Refusal(413, f"the text is longer than the {most} characters that this server speaks at once")
            prompt = voice_of(service, wanted.voice)
            speaker = speaker_of(service, wanted.model)
            job = service.worker.stream(spoken(speaker, prompt, wanted))
            return await service.stream(request, slot, job, wanted.response_format)


def parsed(body: bytes) -> SpeechRequest:
    """The request in a body. Raises Refusal: 400, which says which field is wrong."""
    try:
        return SpeechRequest.model_validate_json(body)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the body"
        raise Refusal(400, shown(f"{place}: {first['msg']}")) from None


def voice_of(service: Service, name: str) -> Prompt:
    """The voice of this name. Raises Refusal: 404."""
    if name not in service.voices:
        known = ", ".join(sorted(service.voices)) or "none: start it with --voices"
        raise Refusal(404, f"there is no voice {name!r} here; this server has {known}")
    return service.voices[name]


def speaker_of(service: Service, name: str) -> Speaker:
    """The speech language model of this name. Raises Refusal: 404."""
    if name not in service.speakers:
        raise Refusal(404, f"there is no model {name!r} here; this server has {', '.join(service.speakers)}")
    return service.speakers[name]


def spoken(speaker: Speaker, prompt: Prompt, wanted: SpeechRequest) -> Iterator[Tensor]:
    """Waves [n], a sentence each; nothing is computed before the first is asked for."""
    options = Options(None, wanted.steps, wanted.guidance)
    if wanted.speed != 1.0:
        usual = sum(script.tokens for _, script in speaker.plan(wanted.input, prompt, options))
        options = Options(usual / speaker.codec.token_rate / wanted.speed, wanted.steps, wanted.guidance)
    yield from speaker.stream(wanted.input, prompt, options, torch.Generator().manual_seed(wanted.seed))
