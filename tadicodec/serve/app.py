"""The application: its routes, and how mistakes are answered."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from tadicodec import __version__
from tadicodec.codec import Codec
from tadicodec.errors import InputError, shown
from tadicodec.serve.guard import Guard
from tadicodec.serve.refusals import Refusal, document
from tadicodec.serve.service import Service
from tadicodec.serve.settings import ServeConfig
from tadicodec.serve.speaking import add_speaking
from tadicodec.serve.token_files import add_tokens
from tadicodec.serve.transcribing import add_transcribing
from tadicodec.speech import Prompt
from tadicodec.tts.synthesize import Speaker

LOG = logging.getLogger("uvicorn.error")


def create_app(
    codec: Codec,
    speakers: Mapping[str, Speaker],
    voices: Mapping[str, Prompt] | None = None,
    config: ServeConfig = ServeConfig(),
) -> Guard:
    """An ASGI application that owns a worker's thread until its lifespan ends.

    speakers: speech language models by name; voices: speaker prompts by name.

    Raises:
        InputError: a voice of another codec.
    """
    for name, prompt in (voices or {}).items():
        try:
            codec.limits.check_prompt(prompt)
        except InputError as error:
            raise InputError(f"voice {name!r}: {error}") from None
    service = Service(codec, dict(speakers), dict(voices or {}), config)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        service.close()

    # no pages: FastAPI's load their scripts from elsewhere
    app = FastAPI(title="tadicodec", version=__version__, lifespan=lifespan, docs_url=None, redoc_url=None)
    router = APIRouter()
    add_about(router, service)
    add_speaking(router, service)
    add_transcribing(router, service)
    add_tokens(router, service)
    app.include_router(router)
    add_answers(app)
    paths = frozenset(path for route in router.routes if (path := getattr(route, "path", None)))
    return Guard(app, service, paths)


def add_about(router: APIRouter, service: Service) -> None:
    """Routes that tell about the server: health, models, voices and figures."""

    @router.get("/health")
    async def health() -> JSONResponse:
        """Whether work is being done: 200, or 503 when the worker's thread has died."""
        alive = service.worker.thread.is_alive()
        return JSONResponse({"status": "ok" if alive else "down", "requests": service.taken}, 200 if alive else 503)

    @router.get("/metrics")
    async def metrics() -> Response:
        """Figures for Prometheus."""
        return Response(service.metrics.text(), media_type=CONTENT_TYPE_LATEST)

    @router.get("/v1/models")
    async def models() -> JSONResponse:
        """The models that speak."""
        listed = [{"id": name, "object": "model", "created": 0, "owned_by": "tadicodec"} for name in service.speakers]
        return JSONResponse({"object": "list", "data": listed})

    @router.get("/v1/audio/voices")
    async def voices() -> JSONResponse:
        """The voices they speak in."""
        return JSONResponse({"voices": sorted(service.voices)})


def add_answers(app: FastAPI) -> None:
    """Each mistake is one line with a status; what is not the client's is logged, and tells nothing of the machine."""

    @app.exception_handler(Refusal)
    async def refused(request: Request, error: Refusal) -> JSONResponse:
        return error.response()

    @app.exception_handler(InputError)
    async def mistaken(request: Request, error: InputError) -> JSONResponse:
        return JSONResponse(document(400, str(error)), 400)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"][1:]) or "the body"
        return JSONResponse(document(400, shown(f"{place}: {first['msg']}")), 400)

    @app.exception_handler(HTTPException)
    async def plain(request: Request, error: HTTPException) -> JSONResponse:
        return JSONResponse(document(error.status_code, str(error.detail)), error.status_code, error.headers)

    @app.exception_handler(Exception)
    async def broken(request: Request, error: Exception) -> JSONResponse:
        LOG.error("%s %s", request.method, request.url.path, exc_info=error)
        return JSONResponse(document(500, "something went wrong here; the server's log says what"), 500)
