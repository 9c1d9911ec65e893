"""Encode, decode and reconstruct through the command line, with a tiny random model."""

import io
import json
import os
import threading

import numpy as np
import pytest
import soundfile

from tadicodec.audio.files import read_audio
from tadicodec.codec import Codec
from tadicodec.tdc.container import read_prompt, read_tokens


def samples_at_24k(path):
    info = soundfile.info(path)
    return -(-info.frames * 24000 // info.samplerate)


@pytest.fixture
def encoded(cli, make_wave, tiny_model, tmp_path):
    """A wave with a transcript beside it, and its token file."""
    wave = make_wave("voice.wav", seconds=0.7)
    (tmp_path / "voice.txt").write_text("one two\n")
    assert cli("encode", wave, tmp_path / "voice.tdc", "--model", tiny_model).code == 0
    return wave, tmp_path / "voice.tdc"


def test_encode_then_decode(cli, encoded, tiny_model, tmp_path):
    wave, tokens = encoded
    assert read_tokens(tokens).text == ("one two",)
    result = cli("decode", tokens, tmp_path / "out.flac", "--model", tiny_model)
    assert result.code == 0 and result.err == "" and result.text.startswith("decoded 1 file: 0.70 s of audio, 5 tokens")
    assert soundfile.info(tmp_path / "out.flac").samplerate == 24000
    assert soundfile.info(tmp_path / "out.flac").frames == samples_at_24k(wave)


@pytest.mark.parametrize("rate", [8000, 44100, 192000])
@pytest.mark.parametrize("channels", [1, 8])
def test_reconstruct_any_rate_and_channels(cli, make_wave, tiny_model, tmp_path, rate, channels):
    wave = make_wave(rate=rate, channels=channels, seconds=0.5)
    result = cli("reconstruct", wave, tmp_path / "out.wav", "--model", tiny_model)
    assert result.code == 0 and soundfile.info(tmp_path / "out.wav").frames == samples_at_24k(wave)


@pytest.mark.parametrize("extension", ["flac", "ogg", "mp3"])
def test_other_formats(cli, make_wave, tiny_model, tmp_path, extension):
    wave = make_wave(f"a.{extension}", seconds=0.5)
    assert cli("reconstruct", wave, tmp_path / f"out.{extension}", "--model", tiny_model).code == 0
    assert len(read_audio(tmp_path / f"out.{extension}")[0]) > 0


def test_ten_milliseconds_and_silence(cli, make_wave, tiny_model, tmp_path):
    short = make_wave("short.wav", seconds=0.01)
    soundfile.write(tmp_path / "silence.wav", np.zeros(9000), 24000)
    for wave in (short, tmp_path / "silence.wav"):
        assert cli("reconstruct", wave, tmp_path / "out.wav", "--model", tiny_model, "--overwrite").code == 0
        assert soundfile.info(tmp_path / "out.wav").frames == samples_at_24k(wave)


def test_ten_milliseconds_and_silence_as_tokens(cli, make_wave, tiny_model, tmp_path):
    """A single token, and nothing but zeros, survive the way over a file."""
    short = make_wave("short.wav", seconds=0.01)
    soundfile.write(tmp_path / "silence.wav", np.zeros(9000), 24000)
    for wave, tokens in ((short, 1), (tmp_path / "silence.wav", 3)):
        path = wave.with_suffix(".tdc")
        assert cli("encode", wave, path, "--model", tiny_model).code == 0
        assert read_tokens(path).lengths.tolist() == [tokens]
        assert cli("decode", path, tmp_path / "out.wav", "--model", tiny_model, "--overwrite").code == 0
        assert soundfile.info(tmp_path / "out.wav").frames == samples_at_24k(wave)
        assert np.isfinite(read_audio(tmp_path / "out.wav")[0]).all()


def test_an_empty_text_outranks_the_file_beside_the_audio(cli, encoded, tiny_model, tmp_path):
    wave, tokens = encoded
    assert read_tokens(tokens).text == ("one two",)  # what the file says
    assert cli("encode", wave, tmp_path / "none.tdc", "--model", tiny_model, "--text", "").code == 0
    assert read_tokens(tmp_path / "none.tdc").text == ("",)
    for name in ("with", "without"):
        empty = ("--text", "") if name == "without" else ()
        assert cli("decode", tokens, tmp_path / f"{name}.wav", "--model", tiny_model, *empty).code == 0
    assert cli("decode", tmp_path / "none.tdc", tmp_path / "none.wav", "--model", tiny_model).code == 0
    waves = {name: (tmp_path / f"{name}.wav").read_bytes() for name in ("with", "without", "none")}
    assert waves["without"] == waves["none"] != waves["with"]


def test_reconstruct_is_encode_and_decode(cli, encoded, tiny_model, tmp_path):
    wave, tokens = encoded
    common = ("--model", tiny_model, "--seed", "3", "--guidance", "1.5")
    cli("decode", tokens, tmp_path / "a.wav", *common)
    cli("reconstruct", wave, tmp_path / "b.wav", *common)
    assert (tmp_path / "a.wav").read_bytes() == (tmp_path / "b.wav").read_bytes()
    cli("decode", tokens, tmp_path / "c.wav", "--model", tiny_model, "--seed", "4", "--guidance", "1.5")
    assert (tmp_path / "a.wav").read_bytes() != (tmp_path / "c.wav").read_bytes()


def test_pipes(cli, encoded, tiny_model, tmp_path):
    wave, tokens = encoded
    result = cli("encode", "-", "-", "--model", tiny_model, "--text", "one two", stdin=wave.read_bytes())
    assert result.code == 0 and result.out == tokens.read_bytes()
    assert result.err.startswith("encoded 1 file") and result.err.count("\n") == 1
    result = cli("decode", "-", "-", "--model", tiny_model, "--json", stdin=result.out)
    assert soundfile.info(io.BytesIO(result.out)).frames == samples_at_24k(wave)
    assert json.loads(result.err)["tokens"] == 5


def test_a_pipe_gives_sound_while_codes_arrive(cli, make_wave, tiny_model, tmp_path, monkeypatch):
    wave = make_wave("long.wav", seconds=4.0)
    assert cli("encode", wave, tmp_path / "long.tdc", "--model", tiny_model).code == 0
    data, log = (tmp_path / "long.tdc").read_bytes(), []

    class Line(io.BytesIO):
        def read1(self, size=-1):
            return self.read(1)

    class Out(io.BytesIO):
        def write(self, part):
            log.append((len(data) - line.tell(), len(part)))
            return super().write(part)

    line, out = Line(data), Out()
    monkeypatch.setattr("tadicodec.cli.decode.binary_input", lambda: line)
    monkeypatch.setattr("tadicodec.cli.audio_io.binary_output", lambda: out)
    assert cli("decode", "-", "-", "--model", tiny_model).code == 0
    missing, first = log[1]  # what follows the WAV header
    assert first > 24000 / 2 and missing > 25  # bytes of codes, 7 for 4 of them, not read yet
    assert soundfile.info(io.BytesIO(out.getvalue())).frames == samples_at_24k(wave)
    result = cli("decode", tmp_path / "long.tdc", tmp_path / "chunked.wav", "--model", tiny_model, "--chunk", "1.44")
    assert result.code == 0 and (tmp_path / "chunked.wav").read_bytes() == out.getvalue()


def test_long_files_are_taken_in_blocks(cli, make_wave, tiny_model, tmp_path, monkeypatch):
    """The codes and the sound of a file do not depend on whether it was held in memory."""
    make_wave("in/long.wav", seconds=14.0, rate=16000)
    make_wave("in/short.wav", seconds=0.5)
    commands = (("encode", ".tdc"), ("reconstruct", ".wav"))
    for command, _ in commands:
        assert cli(command, tmp_path / "in", tmp_path / f"{command}-whole", "--model", tiny_model).code == 0
    monkeypatch.setattr("tadicodec.cli.audio_io.LONG", 1.0)
    for command, extension in commands:
        assert cli(command, tmp_path / "in", tmp_path / f"{command}-blocks", "--model", tiny_model).code == 0
        for name in ("long", "short"):
            one, other = (tmp_path / f"{command}-{kind}" / f"{name}{extension}" for kind in ("whole", "blocks"))
            assert one.read_bytes() == other.read_bytes()


def test_text_option_file_and_none(cli, encoded, tiny_model, tmp_path):
    wave, _ = encoded
    (tmp_path / "other.txt").write_text("three")
    for option, stored in (("four", "four"), (tmp_path / "other.txt", "three"), ("", "")):
        arguments = ("encode", wave, tmp_path / "t.tdc", "--model", tiny_model, "--text", option, "--overwrite")
        assert cli(*arguments).code == 0 and read_tokens(tmp_path / "t.tdc").text == (stored,)
        assert cli("decode", tmp_path / "t.tdc", tmp_path / "t.wav", "--model", tiny_model, "--overwrite").code == 0
    os.remove(tmp_path / "voice.txt")
    assert cli("encode", wave, tmp_path / "u.tdc", "--model", tiny_model, "--no-text").code == 0
    assert read_tokens(tmp_path / "u.tdc").text == (None,)  # who decodes it may read the codes
    assert cli("decode", tmp_path / "u.tdc", tmp_path / "u.wav", "--model", tiny_model).code == 0
    assert cli("encode", wave, tmp_path / "v.tdc", "--model", tiny_model).code == 0
    samples, rate = read_audio(wave)
    own = Codec.from_pretrained(tiny_model).transcribe(samples, rate)
    assert own and read_tokens(tmp_path / "v.tdc").text == (own,)
    both = cli("encode", wave, tmp_path / "w.tdc", "--model", tiny_model, "--no-text", "--asr", "whisper")
    assert both.code == 2 and "exclude each other" in both.err and not (tmp_path / "w.tdc").exists()


def test_a_saved_prompt_is_given_once(cli, encoded, make_wave, tiny_model, tmp_path):
    wave, _ = encoded
    model = ("--model", tiny_model)
    for name, seed in (("voice", 1), ("other", 2)):
        spoken = make_wave(f"{name}-prompt.wav", seconds=1.1, seed=seed)
        assert cli("prompt", spoken, tmp_path / f"{name}.safetensors", "--text", "well", *model).code == 0
    saved = tmp_path / "voice.safetensors"
    again = cli("prompt", tmp_path / "voice-prompt.wav", saved, *model)
    assert again.code == 2 and "--overwrite" in again.err
    assert cli("encode", wave, tmp_path / "p.tdc", "--prompt", saved, *model).code == 0
    assert (tmp_path / "p.tdc").stat().st_size < 500  # its hash alone
    assert cli("decode", tmp_path / "p.tdc", tmp_path / "p.wav", "--prompt", saved, *model).code == 0
    from_wave = (tmp_path / "voice-prompt.wav", "--prompt-text", "well")
    assert cli("encode", wave, tmp_path / "q.tdc", "--prompt", *from_wave, *model).code == 0
    assert cli("decode", tmp_path / "q.tdc", tmp_path / "q.wav", *model).code == 0
    assert (tmp_path / "p.wav").read_bytes() == (tmp_path / "q.wav").read_bytes()
    for wrong in ((), ("--prompt", tmp_path / "other.safetensors"), ("--prompt", saved, "--prompt-text", "no")):
        result = cli("decode", tmp_path / "p.tdc", tmp_path / "r.wav", *wrong, *model)
        assert result.code == 2 and result.err.count("\n") == 1 and not (tmp_path / "r.wav").exists()
    saved.write_bytes(b"no prompt")
    result = cli("decode", tmp_path / "p.tdc", tmp_path / "r.wav", "--prompt", saved, *model)
    assert result.code == 2 and "voice.safetensors" in result.err


def test_an_embedded_prompt_is_all_the_receiver_needs(cli, encoded, make_wave, tiny_model, tmp_path):
    wave, _ = encoded
    prompt = make_wave("prompt.wav", seconds=0.5, rate=16000, seed=5)
    (tmp_path / "prompt.txt").write_text("hey")
    encode = ("encode", wave, tmp_path / "p.tdc", "--model", tiny_model, "--prompt", prompt)
    result = cli(*encode, "--json")
    assert result.code == 0 and read_prompt(tmp_path / "p.tdc").text == "hey"
    size = (tmp_path / "p.tdc").stat().st_size
    assert json.loads(result.out)["total_bits_per_second"] == pytest.approx(8 * size / 0.7, rel=1e-3)
    decode = ("decode", tmp_path / "p.tdc", "--model", tiny_model)
    cli(*decode, tmp_path / "embedded.wav")
    cli(*decode, tmp_path / "given.wav", "--prompt", prompt)
    cli(*decode, tmp_path / "other.wav", "--prompt", prompt, "--prompt-text", "something else")
    cli("decode", tmp_path / "voice.tdc", "--model", tiny_model, tmp_path / "without.wav")
    waves = [(tmp_path / f"{name}.wav").read_bytes() for name in ("embedded", "given", "other", "without")]
    assert waves[0] == waves[1] and len({*waves}) == 3


def test_folders(cli, make_wave, tiny_model, tmp_path):
    for index, name in enumerate(("in/b.wav", "in/sub/a.flac", "in/sub/c.wav")):
        make_wave(name, seconds=0.4 + 0.2 * index, seed=index)
    (tmp_path / "in" / "b.txt").write_text("bee")
    result = cli("encode", tmp_path / "in", tmp_path / "mid", "--model", tiny_model, "--batch-size", "2", "--json")
    assert result.code == 0 and json.loads(result.out)["files"] == 3
    assert read_tokens(tmp_path / "mid" / "b.tdc").text == ("bee",)
    assert cli("decode", tmp_path / "mid", tmp_path / "out", "--model", tiny_model).code == 0
    for name in ("b.wav", "sub/a.wav", "sub/c.wav"):
        source = next((tmp_path / "in" / name).parent.glob(f"{name[-5]}.[wf]*"))
        assert soundfile.info(tmp_path / "out" / name).frames == samples_at_24k(source)


def test_a_folder_gives_the_codes_of_single_files(cli, make_wave, tiny_model, tmp_path):
    for index in range(3):
        make_wave(f"in/{index}.wav", seconds=0.3 + 0.5 * index, seed=index)
    cli("encode", tmp_path / "in", tmp_path / "out", "--model", tiny_model)
    for index in range(3):
        cli("encode", tmp_path / "in" / f"{index}.wav", tmp_path / f"{index}.tdc", "--model", tiny_model)
        assert (tmp_path / f"{index}.tdc").read_bytes() == (tmp_path / "out" / f"{index}.tdc").read_bytes()


def test_a_folder_sounds_like_its_single_files(cli, make_wave, tiny_model, tmp_path):
    for index in range(3):
        make_wave(f"in/{index}.wav", seconds=0.3 + 0.5 * index, seed=index)
    cli("reconstruct", tmp_path / "in", tmp_path / "out", "--model", tiny_model)
    for index in range(3):
        cli(
            "reconstruct",
            tmp_path / "in" / f"{index}.wav",
            tmp_path / "one.wav",
            "--model",
            tiny_model,
            "--overwrite",
        )
        alone, batched = (read_audio(path)[0] for path in (tmp_path / "one.wav", tmp_path / "out" / f"{index}.wav"))
        np.testing.assert_allclose(batched, alone, atol=1e-3)


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_precision_does_not_change_what_fits(cli, encoded, tiny_model, tmp_path, dtype):
    _, tokens = encoded
    assert cli("decode", tokens, tmp_path / "a.wav", "--model", tiny_model, "--dtype", dtype).code == 0


def test_info(cli, encoded, tiny_model):
    wave, tokens = encoded
    document = json.loads(cli("info", tokens, "--json").out)
    assert document["tokens"] == 5 and document["text"] == "one two" and document["prompt"] == {"source": "none"}
    assert "code_bits_per_second: 100.0" in cli("info", tokens).text
    assert json.loads(cli("info", wave, "--json").out)["samples"] == 16800
    model = json.loads(cli("info", tiny_model, "--json").out)
    assert model["kind"] == "model" and document["weights"] in model.values()


def test_a_named_pipe_is_read_once(cli, encoded, tiny_model, tmp_path):
    wave, tokens = encoded
    pipe = tmp_path / "pipe.wav"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_bytes(wave.read_bytes()))
    writer.start()
    result = cli("encode", pipe, tmp_path / "p.tdc", "--model", tiny_model, "--text", "one two")
    writer.join()
    assert result.code == 0 and (tmp_path / "p.tdc").read_bytes() == tokens.read_bytes()
    refused = cli("encode", pipe, tmp_path / "q.tdc", "--model", tiny_model, "--asr", tmp_path)
    assert refused.code == 2 and refused.err.count("\n") == 1


def test_squeezed_files_are_read_by_every_command(cli, encoded, tiny_model, tmp_path):
    wave, flat = encoded
    squeezed = tmp_path / "squeezed.tdc"
    result = cli("encode", wave, squeezed, "--model", tiny_model, "--squeeze", "--json")
    assert result.code == 0 and read_tokens(squeezed).text == ("one two",)
    assert read_tokens(squeezed).codes.tolist() == read_tokens(flat).codes.tolist()
    facts = json.loads(cli("info", squeezed, "--json").text)
    assert facts["text"] == "one two" and facts["tokens"] == 5 and facts["bytes"] == squeezed.stat().st_size
    assert facts["weights"] == json.loads(cli("info", flat, "--json").text)["weights"] and facts["codes_bits"] == 70
    for name in ("flat", "squeezed"):
        source = flat if name == "flat" else squeezed
        assert cli("decode", source, tmp_path / f"{name}.wav", "--model", tiny_model).code == 0
    assert (tmp_path / "flat.wav").read_bytes() == (tmp_path / "squeezed.wav").read_bytes()


def test_a_coder_is_for_squeezing(cli, encoded, tiny_model, tmp_path):
    wave, flat = encoded
    result = cli("encode", wave, tmp_path / "a.tdc", "--model", tiny_model, "--coder", tmp_path)
    assert result.code == 2 and "--squeeze" in result.err
    result = cli("encode", wave, tmp_path / "a.tdc", "--model", tiny_model, "--squeeze", "--coder", tmp_path)
    assert result.code == 2 and "no config.json" in result.err and not (tmp_path / "a.tdc").exists()
