"""What the official `openai` client and plain HTTP get is what the library gives."""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Callable

import numpy as np
import pytest
import soundfile
import torch

from tadicodec import Prompt, Speaker
from tadicodec.audio.files import read_audio
from tadicodec.audio.resample import resample
from tadicodec.tdc.container import from_bytes, to_bytes
from tests.serve.conftest import SAMPLES, Running

httpx = pytest.importorskip("httpx")
Serve = Callable[..., Running]
TEXT = "Good morning. He was not at home on that day, and nobody knew when he would come back to the house."
RECORDING = (SAMPLES / "austen_4.flac").read_bytes()


def wave_24k(data: bytes) -> np.ndarray:
    return resample(*read_audio(io.BytesIO(data)), 24000)


def test_speech_is_the_speakers(serve: Serve, speaker: Speaker, anna: Prompt) -> None:
    client = serve().client
    spoken = speaker.speak(TEXT, anna, generator=torch.Generator().manual_seed(5)).numpy()
    for form in ("wav", "flac", "opus", "mp3", "pcm"):
        answer = client.audio.speech.create(
            model="tadicodec", voice="anna", input=TEXT, response_format=form, extra_body={"seed": 5}
        )
        data = answer.read()
        if form == "pcm":
            wave = np.frombuffer(data, "<i2") / 32768
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                wave = read_audio(io.BytesIO(data))[0]
        assert abs(len(wave) - len(spoken)) <= 2000 * (form == "mp3")
        if form in ("wav", "flac", "pcm"):
            np.testing.assert_allclose(wave, np.clip(spoken, -1, 1), atol=1e-4)


def test_speed(serve: Serve) -> None:
    client = serve().client
    wanted = {"model": "tadicodec", "voice": "anna", "input": TEXT, "response_format": "pcm"}
    sizes = [len(client.audio.speech.create(**wanted, speed=speed).read()) for speed in (0.5, 1.0, 2.0)]
    assert sizes[0] > 1.7 * sizes[1] > 2.9 * sizes[2]


def test_a_sentence_is_sent_before_the_next_is_made(serve: Serve) -> None:
    running = serve()
    gated = running.gated
    gated.gate.release()
    with running.client.audio.speech.with_streaming_response.create(
        model="gated", voice="anna", input="one two three", response_format="pcm"
    ) as answer:
        parts = answer.iter_bytes(4800)
        assert len(next(parts)) == 4800 and gated.made == 1
        gated.gate.release(2)
        assert len(b"".join(parts)) == 9600


def test_transcriptions(serve: Serve, speaker: Speaker) -> None:
    running, codec = serve(), speaker.codec
    heard = codec.transcribe(wave_24k(RECORDING), 24000)
    ask = running.client.audio.transcriptions.create
    file = ("a.flac", RECORDING)
    assert ask(model="whisper-1", file=file).text == heard
    assert ask(model="whisper-1", file=file, response_format="text").strip() == heard
    verbose = ask(model="x", file=file, response_format="verbose_json", timestamp_granularities=["word"])
    assert [word.word for word in verbose.words] == heard.split() and verbose.duration > 3
    assert verbose.words[0].end > verbose.words[0].start
    assert ask(model="x", file=file, response_format="srt").startswith("1\n00:00:0")


def test_encode_and_decode(serve: Serve, speaker: Speaker, anna: Prompt) -> None:
    running, codec = serve(), speaker.codec
    answer = httpx.post(f"{running.url}/encode", content=RECORDING, params={"text": "Had he."})
    expected = codec.encode(wave_24k(RECORDING), 24000, "Had he.")
    assert answer.status_code == 200 and answer.content == to_bytes(expected)
    about = json.loads(answer.headers["X-Tadicodec"])
    assert about == {"seconds": round(float(expected.seconds[0]), 3), "tokens": expected.codes.shape[1], "warnings": []}
    wave = codec.decode(expected, generator=torch.Generator().manual_seed(3))[0].numpy()
    sound = httpx.post(f"{running.url}/decode", content=answer.content, params={"seed": 3, "format": "flac"})
    np.testing.assert_allclose(read_audio(io.BytesIO(sound.content))[0], np.clip(wave, -1, 1), atol=1e-4)
    named = httpx.post(f"{running.url}/encode", content=RECORDING, params={"text": "Had he.", "voice": "anna"}).content
    assert from_bytes(named).header.prompt == {"source": "hash", "hash": anna.hash}
    voiced = httpx.post(f"{running.url}/decode", content=named)
    assert voiced.status_code == 200 and voiced.content != sound.content


def test_what_a_recording_lacks_is_said(serve: Serve) -> None:
    file = io.BytesIO()
    soundfile.write(file, wave_24k(RECORDING), 24000, format="WAV")
    half = file.getvalue()[: len(file.getvalue()) // 2]
    url = serve().url
    assert "it ends early" in httpx.post(f"{url}/encode", content=half).headers["X-Tadicodec"]
    answer = httpx.post(f"{url}/v1/audio/transcriptions", files={"file": half}, data={"model": "x"}).json()
    assert "it ends early" in answer["warnings"][0]


def test_about(serve: Serve) -> None:
    running = serve()
    assert [model.id for model in running.client.models.list()] == ["tadicodec", "gated"]
    assert httpx.get(f"{running.url}/v1/audio/voices").json() == {"voices": ["anna"]}
    assert httpx.get(f"{running.url}/health").json() == {"status": "ok", "requests": 0}
    httpx.post(f"{running.url}/encode", content=b"nothing")
    text = httpx.get(f"{running.url}/metrics").text
    assert 'tadicodec_requests_total{route="/encode",status="400"} 1.0' in text
    assert httpx.get(f"{running.url}/docs").status_code == 404  # its page would load scripts from elsewhere
