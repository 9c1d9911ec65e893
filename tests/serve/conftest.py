"""A server on loopback, in a thread of the tests' own process, with models that take as long as a test wants."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import soundfile
import torch

from tadicodec import Codec, Prompt, Speaker

SAMPLES = Path(__file__).parents[2] / "samples"


@dataclass
class GatedSpeaker:
    """Says a tenth of a second for each word, one at a time, each when the gate lets it pass."""

    codec: Codec
    gate: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    made: int = 0
    closed: bool = False

    def stream(self, text: str, prompt: Prompt, options: Any, generator: torch.Generator) -> Iterator[torch.Tensor]:
        try:
            for _ in text.split():
                self.gate.acquire(timeout=20)
                self.made += 1
                yield torch.full((2400,), 0.25)
        finally:
            self.closed = True


@dataclass
class Running:
    """A server: its address, an `openai` client, its service, its gated speaker."""

    url: str
    client: Any
    app: Any
    gated: GatedSpeaker

    @property
    def service(self) -> Any:
        return self.app.service


@pytest.fixture(scope="session")
def speaker() -> Speaker:
    return Speaker.from_pretrained()


@pytest.fixture(scope="session")
def anna(speaker: Speaker) -> Prompt:
    wave, rate = soundfile.read(SAMPLES / "austen_2.flac")
    return speaker.prompt(wave, rate, "He was not an ill-disposed young man,")


@pytest.fixture
def serve(speaker: Speaker, anna: Prompt) -> Iterator[Callable[..., Running]]:
    """serve(requests=2, ...) -> Running, with the limits given."""
    pytest.importorskip("fastapi")
    openai, uvicorn = pytest.importorskip("openai"), pytest.importorskip("uvicorn")
    from tadicodec.serve.app import create_app
    from tadicodec.serve.settings import ServeConfig

    servers: list[tuple[Any, threading.Thread, GatedSpeaker]] = []

    def start(**limits: Any) -> Running:
        gated = GatedSpeaker(speaker.codec)
        app = create_app(speaker.codec, {"tadicodec": speaker, "gated": gated}, {"anna": anna}, ServeConfig(**limits))
        listening = socket.create_server(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=5))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        servers.append((server, thread, gated))
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        client = openai.OpenAI(base_url=f"{url}/v1", api_key=limits.get("token", "none"), max_retries=0, timeout=30)
        return Running(url, client, app, gated)

    yield start
    for server, thread, gated in servers:
        gated.gate.release(1000)
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive()
