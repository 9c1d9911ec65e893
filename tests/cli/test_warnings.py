"""What of a recording is lost is said in one line, once, and the rest is encoded."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import pytest

from tadicodec.tdc.container import read_tokens


@pytest.fixture
def halved(make_wave) -> Path:
    path = make_wave("in/half.wav", seconds=2.0)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


def test_a_file_that_was_cut_off(cli, halved, tiny_model, tmp_path) -> None:
    for source in (halved, halved.parent):
        target = tmp_path / f"out-{source.name}"
        result = cli(
            "encode", source, target.with_suffix(".tdc") if source == halved else target, "--model", tiny_model
        )
        assert result.code == 0 and result.text.startswith("encoded 1 file: 1.00 s")
        assert result.err == f"tadicodec: warning: {halved}: it ends early: 1.00 of 2.00 s (50 %) are there\n"
    assert read_tokens(tmp_path / "out-half.tdc").samples.tolist() == [pytest.approx(24000, abs=50)]


def test_every_command_says_it(cli, halved, tiny_model, tmp_path) -> None:
    for arguments in (
        ("reconstruct", halved, tmp_path / "a.wav"),
        ("prompt", halved, tmp_path / "a.safetensors"),
        ("encode", "-", tmp_path / "b.tdc"),
    ):
        result = cli(*arguments, "--model", tiny_model, stdin=halved.read_bytes())
        assert result.code == 0 and result.err.count("tadicodec: warning: ") == 1, result.err
        assert "1.00 of 2.00 s (50 %)" in result.err
    assert json.loads(cli("info", halved, "--json").text)["notes"] == ["it ends early: 1.00 of 2.00 s (50 %) are there"]


def test_a_warning_may_be_made_an_error_in_python(halved) -> None:
    from tadicodec.audio.files import read_audio
    from tadicodec.errors import InputWarning

    with warnings.catch_warnings():
        warnings.simplefilter("error", InputWarning)
        with pytest.raises(InputWarning):
            read_audio(halved)
