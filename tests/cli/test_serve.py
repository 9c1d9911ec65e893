"""`tadicodec serve` as a process: where it listens, and how it ends."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tadicodec.cli.main import build_parser, main

httpx = pytest.importorskip("httpx")
for name in ("fastapi", "uvicorn", "prometheus_client", "python_multipart"):
    pytest.importorskip(name)
SAMPLES = Path(__file__).parents[2] / "samples"


def test_only_this_machine_unless_told_otherwise() -> None:
    assert build_parser().parse_args(["serve"]).host == "127.0.0.1"


def test_mistakes(cli, tmp_path, monkeypatch) -> None:
    for arguments, reason in (
        (("--voices", tmp_path / "none"), "is not a folder"),
        (("--voices", tmp_path), "no saved prompt"),
        (("--port", "70000"), "65535"),
        (("--timeout", "0"), "above 0"),
    ):
        result = cli("serve", *arguments)
        assert result.code == 2 and reason in result.err and result.err.count("\n") == 1
    monkeypatch.setenv("TADICODEC_API_KEY", "short")
    assert "at least 16" in cli("serve").err


def test_a_voice_of_another_codec(cli, make_wave, tiny_model, tmp_path) -> None:
    assert cli("prompt", make_wave(), tmp_path / "v" / "a.safetensors", "--model", tiny_model, "--text", "a").code == 0
    result = cli("serve", "--voices", tmp_path / "v")
    assert result.code == 2 and "voice 'a'" in result.err


def test_sigterm_lets_it_finish_what_it_has(cli, tmp_path) -> None:
    """A stream that was begun is sent to its end, then the process ends with 0."""
    assert cli("prompt", SAMPLES / "austen_2.flac", tmp_path / "anna.safetensors").code == 0
    command = [sys.executable, "-m", "tadicodec", "serve", "--port", "0", "--voices", str(tmp_path)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    try:
        lines = iter(process.stderr.readline, "")
        url = next(found[1] for line in lines if (found := re.search(r"running on (\S+)", line)))
        rest = threading.Thread(target=process.stderr.read, daemon=True)
        rest.start()
        body = {
            "voice": "anna",
            "input": "The house was large and very quiet in the morning. " * 6,
            "response_format": "pcm",
        }
        sound = []
        with httpx.stream("POST", f"{url}/v1/audio/speech", json=body, timeout=60) as answer:
            for part in answer.iter_bytes(4800):
                if not sound:
                    process.send_signal(signal.SIGTERM)
                sound.append(part)
        assert process.wait(30) == 0
        assert sum(map(len, sound)) / 48000 > 8
    finally:
        process.kill()
        process.wait()


def test_where_it_cannot_listen(capsys: pytest.CaptureFixture[str]) -> None:
    """Said in one line, before a model is loaded."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        for host, port in (("127.0.0.1", taken.getsockname()[1]), ("no host\n", 8000), ("x" * 300, 8000)):
            assert main(["serve", "--host", host, "--port", str(port)]) == 2
            lines = capsys.readouterr().err.splitlines()
            assert len(lines) == 1 and "cannot listen at" in lines[0]
