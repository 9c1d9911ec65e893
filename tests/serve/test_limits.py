"""What a server refuses, how, and that nothing of it stays behind."""

from __future__ import annotations

import io
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
import soundfile

from tests.conftest import voice
from tests.serve.conftest import SAMPLES, Running

httpx, openai = pytest.importorskip("httpx"), pytest.importorskip("openai")
Serve = Callable[..., Running]
RECORDING = (SAMPLES / "austen_4.flac").read_bytes()


def until(condition: Callable[[], bool]) -> None:
    """Waits for what another thread does."""
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def ask(running: Running, text: str = "one two") -> threading.Thread:
    """A gated request in a thread of its own."""

    def run() -> None:
        with suppress(openai.OpenAIError):
            running.client.audio.speech.create(model="gated", voice="anna", input=text, response_format="pcm").read()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def wav(seconds: float) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, voice(seconds), 24000, format="WAV")
    return file.getvalue()


def test_more_requests_than_places_are_told_to_come_back(serve: Serve) -> None:
    running = serve(requests=2)
    threads = [ask(running), ask(running)]
    until(lambda: running.service.taken == 2)
    with pytest.raises(openai.RateLimitError) as caught:
        running.client.audio.speech.create(model="gated", voice="anna", input="one")
    assert caught.value.response.headers["Retry-After"] == "2"
    assert httpx.get(f"{running.url}/health").json()["requests"] == 2  # which is answered all the same
    running.gated.gate.release(10)
    for thread in threads:
        thread.join()
    until(lambda: running.service.taken == 0)
    assert httpx.post(f"{running.url}/encode", content=RECORDING).status_code == 200


def test_waiting_recordings_are_encoded_together(serve: Serve) -> None:
    running = serve(batch=4)
    sizes: list[int] = []
    running.service.worker.on_batch = sizes.append
    first = ask(running, "one")
    until(lambda: running.service.taken == 1)
    waves = [wav(0.5 + 0.2 * index) for index in range(6)]
    found: dict[int, bytes] = {}

    def encode(index: int) -> None:
        found[index] = httpx.post(f"{running.url}/encode", content=waves[index], timeout=60).content

    threads = [threading.Thread(target=encode, args=(index,)) for index in range(6)]
    for thread in threads:
        thread.start()
    until(lambda: len(running.service.worker.jobs) == 6)
    running.gated.gate.release(10)
    for thread in [first, *threads]:
        thread.join()
    assert sizes == [4, 2]
    for index, wave in enumerate(waves):
        assert httpx.post(f"{running.url}/encode", content=wave).content == found[index]


def test_one_bad_recording_does_not_spoil_a_batch(serve: Serve) -> None:
    running = serve()
    first = ask(running, "one")
    until(lambda: running.service.taken == 1)
    loud = io.BytesIO()
    soundfile.write(loud, 1e6 * voice(0.5), 24000, format="WAV", subtype="FLOAT")
    answers: dict[str, Any] = {}

    def encode(name: str, data: bytes) -> None:
        answers[name] = httpx.post(f"{running.url}/encode", content=data, timeout=60)

    jobs = [("good", wav(0.5)), ("bad", loud.getvalue())]
    threads = [threading.Thread(target=encode, args=job) for job in jobs]
    for thread in threads:
        thread.start()
    until(lambda: len(running.service.worker.jobs) == 2)
    running.gated.gate.release(10)
    for thread in [first, *threads]:
        thread.join()
    assert answers["good"].status_code == 200 and answers["bad"].status_code == 400


def test_too_much_at_once(serve: Serve) -> None:
    running = serve(megabytes=0.5, seconds=2.0, characters=20)
    big = bytes(600_000)

    def parts() -> Iterator[bytes]:
        yield from (big[start : start + 50_000] for start in range(0, len(big), 50_000))

    for content in (big, parts()):
        answer = httpx.post(f"{running.url}/encode", content=content)
        assert answer.status_code == 413 and "0.5 MB" in answer.json()["error"]["message"]
    assert "2 s" in httpx.post(f"{running.url}/encode", content=wav(3.0)).json()["error"]["message"]
    small = httpx.post(f"{serve().url}/encode", content=wav(3.0)).content
    assert httpx.post(f"{running.url}/decode", content=small).status_code == 413
    assert httpx.post(f"{running.url}/encode", content=wav(0.5), params={"text": "a" * 21}).status_code == 413
    with pytest.raises(openai.APIStatusError) as caught:
        running.client.audio.speech.create(model="tadicodec", voice="anna", input="a" * 21)
    assert caught.value.status_code == 413
    with pytest.raises(openai.APIStatusError) as caught:
        running.client.audio.transcriptions.create(model="x", file=("a.wav", wav(3.0)))
    assert caught.value.status_code == 413


def test_what_takes_too_long(serve: Serve) -> None:
    running = serve(timeout=0.4)
    with pytest.raises(openai.APIStatusError) as caught:
        running.client.audio.speech.create(model="gated", voice="anna", input="one")
    assert caught.value.status_code == 504
    running.gated.gate.release()  # the first word, and then nothing more: not a whole answer
    until(lambda: running.service.taken == 0)
    running.gated.gate.release()
    with (
        pytest.raises(httpx.HTTPError),
        httpx.stream(
            "POST",
            f"{running.url}/v1/audio/speech",
            json={"model": "gated", "voice": "anna", "input": "one two", "response_format": "pcm"},
        ) as answer,
    ):
        assert answer.status_code == 200
        answer.read()
    running.gated.gate.release(10)


def test_a_body_that_does_not_come(serve: Serve) -> None:
    running = serve(timeout=0.3)
    host, port = running.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as line:
        line.sendall(b"POST /encode HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nabc")
        assert b" 408 " in line.recv(1000)
    until(lambda: running.service.taken == 0)


def test_when_the_client_hangs_up_the_work_stops(serve: Serve) -> None:
    running = serve()
    gated = running.gated
    gated.gate.release()
    body = {"model": "gated", "voice": "anna", "input": "word " * 500, "response_format": "pcm"}
    with httpx.stream("POST", f"{running.url}/v1/audio/speech", json=body) as answer:
        next(answer.iter_bytes(4800))
    until(lambda: running.service.taken == 0)
    gated.gate.release(1000)
    until(lambda: gated.closed)
    assert gated.made < 10


def test_what_waits_for_a_client_that_is_gone_is_never_begun(serve: Serve) -> None:
    running = serve()
    sizes: list[int] = []
    running.service.worker.on_batch = sizes.append
    first = ask(running, "one")
    until(lambda: running.service.taken == 1)
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{running.url}/encode", content=RECORDING, timeout=httpx.Timeout(30, read=0.5))
    until(lambda: running.service.taken == 1)
    running.gated.gate.release(10)
    first.join()
    until(lambda: not running.service.worker.jobs)
    assert sizes == []


def test_a_client_that_does_not_listen_stops_only_its_own_work(serve: Serve) -> None:
    running = serve(timeout=20)
    running.gated.gate.release(100_000)
    host, port = running.url.removeprefix("http://").split(":")
    body = json.dumps({"model": "gated", "voice": "anna", "input": "word " * 800, "response_format": "wav"}).encode()
    with socket.create_connection((host, int(port))) as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        line.sendall(b"POST /v1/audio/speech HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        until(lambda: running.gated.made > 2)
        assert httpx.post(f"{running.url}/encode", content=RECORDING, timeout=20).status_code == 200
    until(lambda: running.service.taken == 0)


TOKEN = "a-secret-of-some-length"


def test_who_may_ask(serve: Serve) -> None:
    running = serve(token=TOKEN)
    assert running.client.models.list().data
    for headers in (
        {},
        {"Authorization": "Bearer " + TOKEN[:-1]},
        {"Authorization": TOKEN},
        {"Authorization": "Bearer é"},
    ):
        answer = httpx.get(f"{running.url}/v1/models", headers={k: v.encode() for k, v in headers.items()})
        assert answer.status_code == 401 and answer.headers["WWW-Authenticate"] == "Bearer"
    assert httpx.get(f"{running.url}/metrics").status_code == 401
    assert httpx.get(f"{running.url}/health").status_code == 200


def test_tokens_are_compared_in_constant_time(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    import hmac

    running, seen = serve(token=TOKEN), []
    monkeypatch.setattr(hmac, "compare_digest", lambda a, b: seen.append((a, b)) or a == b)
    httpx.get(f"{running.url}/v1/models", headers={"Authorization": "Bearer wrong"})
    assert seen == [(b"Bearer wrong", b"Bearer " + TOKEN.encode())]


SPEECH = {"model": "tadicodec", "voice": "anna", "input": "Hello."}
BAD: list[tuple[str, str, dict[str, Any], int]] = [
    ("POST", "/v1/audio/speech", {"content": b""}, 400),
    ("POST", "/v1/audio/speech", {"content": b"{"}, 400),
    ("POST", "/v1/audio/speech", {"content": b"\xff\xfe\0"}, 400),
    ("POST", "/v1/audio/speech", {"json": []}, 400),
    ("POST", "/v1/audio/speech", {"json": {}}, 400),
    *(
        ("POST", "/v1/audio/speech", {"json": SPEECH | change}, status)
        for change, status in [
            ({"voice": "nobody"}, 404),
            ({"model": "nothing"}, 404),
            ({"voice": "../../etc/passwd"}, 404),
            ({"input": ""}, 400),
            ({"input": " ... "}, 400),
            ({"input": 5}, 400),
            ({"speed": 100}, 400),
            ({"speed": "nan"}, 400),
            ({"response_format": "aac"}, 400),
            ({"instructions": "cheerfully"}, 400),
            ({"stream_format": "sse"}, 400),
            ({"steps": 1000}, 400),
            ({"seed": -1}, 400),
        ]
    ),
    ("POST", "/v1/audio/transcriptions", {"content": b"x"}, 400),
    ("POST", "/v1/audio/transcriptions", {"data": {"model": "x"}}, 400),
    ("POST", "/v1/audio/transcriptions", {"files": {"file": b""}}, 400),
    ("POST", "/v1/audio/transcriptions", {"files": {"file": b"text"}}, 400),
    ("POST", "/v1/audio/transcriptions", {"files": {"file": RECORDING}, "data": {"language": "fr"}}, 400),
    ("POST", "/v1/audio/transcriptions", {"files": {"file": RECORDING}, "data": {"response_format": "vtt"}}, 400),
    ("POST", "/v1/audio/transcriptions", {"files": {"file": RECORDING}, "data": {"prompt": "x"}}, 400),
    ("POST", "/encode", {"content": b""}, 400),
    ("POST", "/encode", {"content": b"text" * 100}, 400),
    ("POST", "/encode", {"content": RECORDING[:60]}, 400),
    ("POST", "/encode", {"content": RECORDING, "params": {"voice": "nobody"}}, 404),
    ("POST", "/encode", {"content": b"#EXTM3U\n#EXTINF:1,\n/etc/hosts\n"}, 400),
    ("POST", "/decode", {"content": b""}, 400),
    ("POST", "/decode", {"content": RECORDING}, 400),
    ("POST", "/decode", {"content": RECORDING, "params": {"format": "exe"}}, 400),
    ("POST", "/decode", {"content": RECORDING, "params": {"steps": "many"}}, 400),
    ("GET", "/encode", {}, 405),
    ("GET", "/nothing", {}, 404),
]


def test_bad_requests(serve: Serve) -> None:
    """Each gets a status, a line of text, and no server is the worse for it."""
    running = serve()
    for method, path, options, status in BAD:
        answer = httpx.request(method, f"{running.url}{path}", timeout=30, **options)
        assert answer.status_code == status, (path, options, answer.text)
        if answer.headers.get("content-type") == "application/json":
            message = answer.json()["error"]["message"]
            assert message and "\n" not in message and "Traceback" not in message
    assert running.service.taken == 0 and not running.service.worker.jobs
    assert httpx.post(f"{running.url}/encode", content=RECORDING).status_code == 200


def test_a_fault_of_ours_is_logged_and_tells_nothing(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    running = serve()

    def broken(*_: Any) -> None:
        raise RuntimeError("/home/someone/secret")

    monkeypatch.setattr(running.service.codec, "encode", broken)
    answer = httpx.post(f"{running.url}/encode", content=RECORDING)
    assert answer.status_code == 500 and "secret" not in answer.text
    monkeypatch.undo()
    assert httpx.post(f"{running.url}/encode", content=RECORDING).status_code == 200
    assert np.isfinite(running.service.taken)
