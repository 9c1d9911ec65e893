"""Devices and pipes that never end are refused before memory does, wherever something is read whole."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tadicodec.audio import recording
from tadicodec.audio.files import read_audio
from tadicodec.cli.main import main
from tadicodec.errors import InputError
from tadicodec.guards import streams
from tadicodec.guards.documents import read_config_file, read_yaml
from tadicodec.tdc import container, token_stream
from tadicodec.tdc.container import MAGIC, read_token_file
from tadicodec.tdc.token_stream import TokenStream

ENDLESS = Path("/dev/zero")


class Endless(io.RawIOBase):
    """Bytes without end, of which most of the time fewer come than are asked for."""

    def __init__(self, start: bytes) -> None:
        self.start = start

    def read(self, size: int = -1) -> bytes:
        assert size >= 0, "asked for everything"
        data, self.start = self.start[:size], self.start[size:]
        return data or bytes(min(size, 1000))


@pytest.fixture(autouse=True)
def low(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (recording, container, token_stream):
        monkeypatch.setattr(module, "LARGEST", 100_000)
    monkeypatch.setattr(streams, "MOST_TEXT", 100_000)


def test_up_to_the_bound() -> None:
    assert streams.read_bounded(io.BytesIO(b"x" * 10), "it", 10) == b"x" * 10
    with pytest.raises(InputError, match="it goes on after 9 bytes"):
        streams.read_bounded(io.BytesIO(b"x" * 10), "it", 9)


@pytest.mark.parametrize("read", [read_audio, read_token_file])
def test_streams(read: Callable[[Any], Any]) -> None:
    with pytest.raises(InputError, match="standard input goes on after"):
        read(Endless(MAGIC))


def test_what_is_no_token_file_is_not_read_on() -> None:
    with pytest.raises(InputError, match="not a .tdc token file"):
        read_token_file(Endless(b"RIFF"))
    with pytest.raises(InputError):
        TokenStream(Endless(b"RIFF"))


@pytest.mark.skipif(not ENDLESS.is_char_device(), reason="no such device here")
@pytest.mark.parametrize("read", [read_audio, read_config_file, read_yaml, streams.read_text_file])
def test_devices(read: Callable[[Any], Any]) -> None:
    with pytest.raises(InputError, match="/dev/zero goes on after"):
        read(ENDLESS)


@pytest.mark.skipif(not ENDLESS.is_char_device(), reason="no such device here")
@pytest.mark.parametrize("command", ["encode", "reconstruct", "info", "prompt"])
def test_commands(command: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    out = {"encode": ["out.tdc"], "reconstruct": ["out.wav"], "info": [], "prompt": ["out.prompt"]}[command]
    assert main([command, str(ENDLESS), *(str(tmp_path / name) for name in out)]) == 2
    assert len(capfd.readouterr().err.splitlines()) == 1 and not list(tmp_path.iterdir())


def test_line_ends_of_texts(tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes("\ufeffa\r\nb\rc\n".encode())
    assert streams.read_text_file(tmp_path / "text") == "a\nb\nc\n"
