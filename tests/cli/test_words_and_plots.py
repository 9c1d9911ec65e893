"""`encode --words`, `info --words` and `info --plot`."""

from __future__ import annotations

import json

import pytest


@pytest.fixture
def spoken(make_wave, tmp_path):
    wave = make_wave("voice.wav", seconds=2.0)
    (tmp_path / "voice.txt").write_text("One two.\n")
    return wave


def test_words_beside_the_token_file(cli, spoken, tiny_model, tmp_path) -> None:
    contents = {}
    for form in ("json", "srt", "TextGrid"):
        result = cli("encode", spoken, tmp_path / "a.tdc", "--words", form, "--model", tiny_model, "--overwrite")
        assert result.code == 0, result.err
        contents[form] = (tmp_path / f"a.{form}").read_text()
    words = json.loads(contents["json"])["words"]
    assert [word["word"] for word in words] == ["One", "two."]
    assert contents["srt"].startswith("1\n00:00:") and 'text = "two."' in contents["TextGrid"]
    info = json.loads(cli("info", tmp_path / "a.tdc", "--json", "--words", "--model", tiny_model).text)
    assert info["words"] == words and info["kind"] == "token file"
    assert json.loads(cli("info", spoken, "--json", "--words", "--model", tiny_model).text)["words"] == words


def test_words_of_a_folder(cli, spoken, tiny_model, tmp_path) -> None:
    assert cli("encode", spoken.parent, tmp_path / "out", "--words", "srt", "--model", tiny_model).code == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["voice.srt", "voice.tdc"]


def test_words_that_cannot_be_written(cli, spoken, tiny_model, tmp_path) -> None:
    (tmp_path / "a.srt").write_text("mine")
    result = cli("encode", spoken, tmp_path / "a.tdc", "--words", "srt", "--model", tiny_model)
    assert result.code == 2 and "exists" in result.err and not (tmp_path / "a.tdc").exists()
    assert (tmp_path / "a.srt").read_text() == "mine"
    result = cli("encode", spoken, "-", "--words", "srt", "--model", tiny_model)
    assert result.code == 2 and result.out == b"" and "standard output" in result.err


def test_plots(cli, spoken, tiny_model, other_model, tmp_path) -> None:
    pytest.importorskip("matplotlib")
    assert cli("encode", spoken, tmp_path / "a.tdc", "--model", tiny_model).code == 0
    for source in (spoken, tmp_path / "a.tdc"):
        arguments = ("info", source, "--plot", tmp_path / "a.png", "--model", tiny_model)
        assert cli(*arguments, "--overwrite").code == 0
        assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert "exists" in cli(*arguments).err
    assert ".png" in cli("info", spoken, "--plot", tmp_path / "a.svg", "--model", tiny_model).err
    assert "was made by" in cli("info", tmp_path / "a.tdc", "--words", "--model", other_model).err
    assert "token file or an audio" in cli("info", tiny_model, "--words").err
