"""Every kind of bad input: one line on stderr, exit code 2, nothing written."""

import errno
import json
import os

import numpy as np
import pytest
import soundfile

from tadicodec.tdc.container import read_tokens, write_tokens


@pytest.fixture
def refused(cli, tiny_model, tmp_path):
    """Run a command that must fail, and check how it does."""

    def check(reason, *arguments, **options):
        before = contents(tmp_path)
        result = cli(*arguments, "--model", tiny_model, **options)
        assert result.code == 2 and result.out == b""
        assert result.err.startswith("tadicodec: error: ") and result.err.count("\n") == 1, result.err
        assert reason in result.err, result.err
        assert contents(tmp_path) == before

    return check


def contents(folder):
    files = (os.path.join(root, name) for root, folders, names in os.walk(folder) for name in names + folders)
    return {path: os.path.isfile(path) and open(path, "rb").read() for path in files}


@pytest.fixture
def tokens(cli, make_wave, tiny_model, tmp_path):
    path = tmp_path / "good.tdc"
    assert cli("encode", make_wave("good.wav"), path, "--model", tiny_model, "--text", "hi").code == 0
    return path


def bad_audio(folder):
    """name -> part of the message."""
    (folder / "empty.wav").write_bytes(b"")
    (folder / "text.wav").write_text("hello\n" * 100)
    soundfile.write(folder / "none.wav", np.zeros(0), 24000)
    for name, value in (("nan.wav", np.nan), ("inf.wav", -np.inf)):
        soundfile.write(folder / name, np.array([0.1, value] * 5000), 24000, subtype="FLOAT")
    return {
        "missing.wav": "does not exist",
        "empty.wav": "is empty",
        "text.wav": "not audio",
        "none.wav": "no samples",
        "nan.wav": "NaN",
        "inf.wav": "infinite",
    }


@pytest.mark.parametrize("command", ["encode", "reconstruct"])
def test_audio(refused, tmp_path, command):
    target = tmp_path / ("out.tdc" if command == "encode" else "out.wav")
    for name, reason in bad_audio(tmp_path).items():
        refused(reason, command, tmp_path / name, target)
    for name, reason in bad_audio(tmp_path).items():
        refused(reason, command, tmp_path / "text.wav", target, "--prompt", tmp_path / name)
    refused("is empty", command, "-", target)
    refused("standard input is not audio", command, "-", "-", stdin=b"hello" * 100)


def test_folder_where_a_file_is_meant(refused, make_wave, tmp_path):
    folder = make_wave("in/a.wav").parent
    refused("is a folder", "encode", folder, tmp_path / "a.tdc")
    refused("is a folder", "encode", folder, "-")
    refused("is a folder", "encode", folder / "a.wav", tmp_path / "b.tdc", "--prompt", folder)
    refused("holds no file", "decode", folder, tmp_path / "out")
    refused("--text is for one file", "encode", folder, tmp_path / "out", "--text", "words")


def test_outputs(refused, make_wave, tokens, tmp_path):
    wave = make_wave()
    refused("exists", "encode", wave, tokens)
    refused("exists", "decode", tokens, wave)
    refused("input itself", "reconstruct", wave, wave, "--overwrite")
    refused("cannot write", "encode", wave, tokens / "below.tdc")
    refused("cannot write", "decode", tokens, "/proc/none/out.wav")
    refused("must end in", "decode", tokens, tmp_path / "out.mp4")


def test_outputs_are_checked_before_the_model_is_loaded(cli, make_wave, tmp_path, monkeypatch):
    monkeypatch.setattr("tadicodec.cli.encode.load_codec", lambda _: pytest.fail("loaded"))
    (tmp_path / "old.tdc").write_text("")
    assert cli("encode", make_wave(), tmp_path / "old.tdc").code == 2


def test_an_interrupted_write_leaves_nothing(cli, make_wave, tiny_model, tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    wave = make_wave()
    monkeypatch.setattr(os, "replace", interrupt)
    assert cli("encode", wave, tmp_path / "a.tdc", "--model", tiny_model).code == 130
    assert os.listdir(tmp_path) == [wave.name]


def test_damaged_token_files(refused, tokens, tmp_path):
    data = tokens.read_bytes()
    for length in (0, 3, 20, len(data) - 1):
        (tmp_path / "bad.tdc").write_bytes(data[:length])
        refused("bad.tdc", "decode", tmp_path / "bad.tdc", tmp_path / "out.wav")
    for position in range(0, len(data), 7):
        (tmp_path / "bad.tdc").write_bytes(data[:position] + bytes([data[position] ^ 4]) + data[position + 1 :])
        refused("bad.tdc", "decode", tmp_path / "bad.tdc", tmp_path / "out.wav")
    refused("standard input", "decode", "-", tmp_path / "out.wav", stdin=data[:-1])
    refused("not a .tdc", "decode", tmp_path / "good.wav", tmp_path / "out.wav")


def test_tokens_of_another_model(refused, cli, make_wave, other_model, tmp_path):
    assert cli("encode", make_wave(), tmp_path / "other.tdc", "--model", other_model).code == 0
    refused("was made by model 'tiny'", "decode", tmp_path / "other.tdc", tmp_path / "out.wav")


def test_tokens_that_need_a_prompt_they_do_not_carry(refused, tokens, tmp_path):
    write_tokens(tmp_path / "named.tdc", read_tokens(tokens), prompt="0123")
    refused("needs the speaker prompt '0123'", "decode", tmp_path / "named.tdc", tmp_path / "out.wav")


def test_texts(refused, make_wave, tokens, tmp_path):
    wave = make_wave()
    long = "word " * 100_000
    refused("the text is", "reconstruct", wave, tmp_path / "out.wav", "--text", long)
    refused("the text is", "decode", tokens, tmp_path / "out.wav", "--text", long)
    refused("--prompt-text needs --prompt", "encode", wave, tmp_path / "out.tdc", "--prompt-text", "hi")
    refused("does not exist", "encode", wave, tmp_path / "out.tdc", "--text", "none.txt")
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe")
    refused("not UTF-8", "encode", wave, tmp_path / "out.tdc")


def test_devices_and_models(refused, cli, make_wave, tmp_path):
    wave = make_wave()
    for device in ("nonsense", "cuda:99"):
        refused(f"device {device!r}", "encode", wave, tmp_path / "out.tdc", "--device", device)
    for model in (tmp_path, tmp_path / "none", wave):
        result = cli("encode", wave, tmp_path / "out.tdc", "--model", model)
        assert result.code == 2 and result.err.count("\n") == 1


def test_one_bad_file_in_a_folder_does_not_stop_the_others(cli, make_wave, tiny_model, tmp_path):
    for index in range(3):
        make_wave(f"in/{index}.wav", seed=index)
    (tmp_path / "in" / "0.txt").write_text("word " * 100_000)  # only noticed when its batch is decoded
    bad = bad_audio(tmp_path / "in")
    result = cli("reconstruct", tmp_path / "in", tmp_path / "out", "--model", tiny_model, "--json")
    assert result.code == 2 and result.err.count("\n") == len(bad)  # the missing one is none, 0.wav is one
    figures = json.loads(result.out)
    assert figures["files"] == 2 and figures["failed"] == len(bad)
    assert sorted(os.listdir(tmp_path / "out")) == ["1.wav", "2.wav"]


def test_a_text_too_long_is_refused_when_it_is_encoded(refused, make_wave, tmp_path):
    wave = make_wave()
    refused("the text is", "encode", wave, tmp_path / "out.tdc", "--text", "word " * 1000)
    (tmp_path / "a.txt").write_text("word " * 1000)
    refused("the text is", "encode", wave, tmp_path / "out.tdc")


@pytest.mark.parametrize("command", ["encode", "decode", "reconstruct"])
def test_a_full_disk(refused, tokens, tmp_path, monkeypatch, command):
    def fill(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if command == "encode":
        monkeypatch.setattr(os, "replace", fill)
    else:
        monkeypatch.setattr("tadicodec.audio.blocks.write_block", fill)
    source = tokens if command == "decode" else tmp_path / "good.wav"
    target = tmp_path / ("out.tdc" if command == "encode" else "out.wav")
    refused("No space left", command, source, target)
