"""POST /v1/audio/transcriptions: what the codec's own transcriber hears in a recording, and when each word is said."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException
from starlette.responses import JSONResponse, PlainTextResponse, Response

from tadicodec.serve.refusals import Refusal
from tadicodec.serve.service import Service
from tadicodec.serve.uploads import recording_of
from tadicodec.speech import Speech
from tadicodec.text.captions import Word, to_srt

FORMS = ("json", "text", "srt", "verbose_json")
FIELDS = {"file", "model", "language", "response_format", "temperature", "timestamp_granularities[]", "stream"}
FIELD_PARTS = 20
LANGUAGE = "en"  # the transcriber writes English letters


def add_transcribing(router: APIRouter, service: Service) -> None:
    """Add the route."""

    @router.post("/v1/audio/transcriptions")
    async def transcriptions(request: Request) -> Response:
        """The words of a recording, lower case and without punctuation."""
        with service.slot():
            form = await service.read(fields_of(request))
            try:
                shape, timed = check(form)
                if not service.codec.transcribes:
                    raise Refusal(501, f"the model {service.codec.name} has no transcriber")
                file = form["file"]
                assert isinstance(file, UploadFile)
                wave, notes = await recording_of(service, await file.read())
            finally:
                await form.close()
            speech: Speech = await service.result(request, service.worker.encode(wave, None))
            words: list[Word] = []
            if shape in ("srt", "verbose_json"):
                words = await service.result(request, service.worker.call(lambda: service.codec.words(speech)))
            return answer(speech, words, shape, timed, notes)


async def fields_of(request: Request) -> FormData:
    try:
        return await request.form(max_files=1, max_fields=FIELD_PARTS)
    except MultiPartException as error:
        raise Refusal(400, f"the form cannot be read: {error.message}") from None


def check(form: FormData) -> tuple[str, bool]:
    """The form of the answer, and whether words are to be timed. Raises Refusal."""
    unknown = sorted(set(form) - FIELDS)
    if unknown:
        raise Refusal(400, f"the field {unknown[0]!r} is not supported here")
    if not isinstance(form.get("file"), UploadFile):
        raise Refusal(400, "the form needs a recording in the field 'file'")
    shape, language = str(form.get("response_format", "json")), str(form.get("language", LANGUAGE))
    if shape not in FORMS:
        raise Refusal(400, f"response_format {shape!r}: choose one of {', '.join(FORMS)}")
    if language != LANGUAGE:
        raise Refusal(400, f"language {language!r}: this transcriber knows English ({LANGUAGE}) only")
    if str(form.get("stream", "false")).lower() not in ("false", "0"):
        raise Refusal(400, "transcriptions are not streamed here")
    return shape, "word" in form.getlist("timestamp_granularities[]")


def answer(speech: Speech, words: list[Word], shape: str, timed: bool, notes: list[str]) -> Response:
    """The words in the form that was asked for, with their times where they are wanted."""
    text, seconds = speech.text[0] or "", float(speech.seconds[0])
    if shape == "text":
        return PlainTextResponse(text + "\n")
    if shape == "srt":
        return PlainTextResponse(to_srt(words, seconds), media_type="application/x-subrip")
    document: dict[str, Any] = {"text": text}
    if shape == "verbose_json":
        document |= {"task": "transcribe", "language": "english", "duration": seconds, "segments": None}
        if timed:
            document["words"] = [{"word": word.word, "start": word.start, "end": word.end} for word in words]
    return JSONResponse(document | ({"warnings": notes} if notes else {}))
