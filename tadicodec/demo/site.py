"""The page as an application: what it may load (nothing from elsewhere), and the sound it plays while it is made."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable

from fastapi import FastAPI, HTTPException, Request
from starlette.responses import Response, StreamingResponse

from tadicodec.audio.outgoing import MEDIA
from tadicodec.codec import Codec
from tadicodec.demo.broadcast import FORM, Station
from tadicodec.tts.synthesize import Speaker

POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "media-src 'self' data: blob:",
        "font-src 'self' data:",
        "connect-src 'self' data: blob:",
        "worker-src 'self' blob:",
    )
)
MOST_BYTES = "50mb"


def create_demo(codec: Codec, speakers: dict[str, Speaker]) -> FastAPI:
    """speakers: engines by name; none for a codec that has none."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # before it is imported: it would ask for its latest version
    import gradio as gr

    from tadicodec.demo.page import STYLE, build_page, theme

    station = Station()
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

    @app.get("/live/{name}")
    def live(name: str) -> Response:
        """Sound while it is made."""
        sound = station.find(name)
        if sound is None:
            raise HTTPException(404)
        return StreamingResponse(sound.listen(), media_type=MEDIA[FORM], headers={"Cache-Control": "no-store"})

    @app.middleware("http")
    async def only_from_here(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        response = await call_next(request)
        response.headers["Content-Security-Policy"] = POLICY
        return response

    page = build_page(codec, speakers, station)
    shape = {"theme": theme(), "css": STYLE, "footer_links": [], "ssr_mode": False, "pwa": False}
    return gr.mount_gradio_app(app, page, "/", max_file_size=MOST_BYTES, **shape)
