"""`tadicodec speak` and `tadicodec tokenize`: text and files in, waves and shards out, mistakes in one line."""

from __future__ import annotations

import json

import numpy as np
import pyarrow.parquet as parquet
import pytest
import soundfile
import torch

from tadicodec.codec import Codec
from tests.data.test_manifest import write_corpus
from tests.tts.test_synthesize import save_speaker


@pytest.fixture(scope="module", params=["ar", "masked"])
def models(request, tmp_path_factory, tiny_model):
    folder = tmp_path_factory.mktemp("speakers") / request.param
    return [
        "--tts-model",
        save_speaker(folder, request.param, Codec.from_pretrained(tiny_model)),
        "--model",
        tiny_model,
    ]


FAST = ["--steps", "1", "--guidance", "1"]


@pytest.fixture
def prompt(make_wave):
    path = make_wave("voice.wav", seconds=1.2)
    path.with_suffix(".txt").write_text("a few words")
    return ["--prompt", path]


def test_text_to_a_wave(cli, models, prompt, tmp_path):
    result = cli("speak", "Hello there.", tmp_path / "out.wav", *prompt, *models, *FAST, "--json")
    assert result.code == 0, result.err
    summary, info = json.loads(result.text), soundfile.info(tmp_path / "out.wav")
    assert summary["action"] == "spoke" and summary["tokens"] * 3840 == info.frames and info.samplerate == 24000
    again = cli("speak", "Hello there.", tmp_path / "out.wav", *prompt, *models, *FAST)
    assert again.code == 2 and "exists" in again.err
    one, _ = soundfile.read(tmp_path / "out.wav")
    assert cli("speak", "Hello there.", tmp_path / "same.wav", *prompt, *models, *FAST).code == 0
    same, _ = soundfile.read(tmp_path / "same.wav")
    assert (one == same).all()


def test_lines_of_a_file_to_a_folder(cli, models, prompt, tmp_path):
    (tmp_path / "lines.txt").write_text("First line.\n\n🎉\nSecond line.\n", encoding="utf-8")
    result = cli("speak", tmp_path / "lines.txt", tmp_path / "out", *prompt, *models, *FAST)
    assert result.code == 2 and "0003.wav" in result.err and "nothing to say" in result.err
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["0001.wav", "0004.wav"]
    assert "2 files, 1 FAILED" in result.text
    assert cli("speak", tmp_path / "lines.txt", tmp_path / "whole.wav", *prompt, *models, *FAST).code == 0


def test_a_wave_of_a_kind_that_is_not_written_is_no_folder(cli, models, prompt, tmp_path):
    (tmp_path / "lines.txt").write_text("First line.\n", encoding="utf-8")
    result = cli("speak", tmp_path / "lines.txt", tmp_path / "out.m4a", *prompt, *models, *FAST)
    assert result.code == 2 and "must end in" in result.err and not (tmp_path / "out.m4a").exists()


def test_pipes(cli, models, prompt, tmp_path):
    result = cli("speak", "-", "-", *prompt, *models, *FAST, stdin=b"Hello there.")
    assert result.code == 0 and result.out[:4] == b"RIFF" and "spoke 1 file" in result.err


def test_seconds(cli, models, prompt, tmp_path):
    assert cli("speak", "Hi.", tmp_path / "out.wav", *prompt, *models, *FAST, "--seconds", "1.6").code == 0
    assert soundfile.info(tmp_path / "out.wav").frames == 10 * 3840


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["", "out.wav"], "nothing to say"),
        (["🎉", "out.wav"], "nothing to say"),
        (["none.txt", "out.wav"], "does not exist"),
        (["none.txt", "out"], "does not exist"),
        (["Hello.", "out"], "must end in"),
        (["Hello.", "out.wav", "--seconds", "1000"], "longer than"),
        (["Hello.", "out.wav", "--prompt", "none.wav"], "none.wav does not exist"),
        (["Hello.", "out.wav", "--engine", "ar"], "--engine chooses"),
        (["Hello.", "out.wav", "--tts-model", "none"], "none: no such model"),
        (["-", "out.wav"], "nothing to say"),
    ],
)
def test_mistakes_are_one_line(cli, models, prompt, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    text, out, *more = arguments
    result = cli("speak", text, out, *prompt, *models, *FAST, *more)
    assert result.code == 2 and message in result.err and result.err.count("\n") == 1, result.err
    assert not (tmp_path / out).exists()


def test_a_prompt_is_needed_and_must_hold_speech(cli, models, prompt, tmp_path, make_wave):
    assert "--prompt" in cli("speak", "Hello.", tmp_path / "out.wav", *models).err
    soundfile.write(tmp_path / "silent.wav", torch.zeros(24000).numpy(), 24000)
    silent = ["--prompt", tmp_path / "silent.wav", "--prompt-text", "a"]
    assert "silent" in cli("speak", "Hello.", tmp_path / "out.wav", *silent, *models).err
    noise = np.random.default_rng(0).normal(0, 0.1, 24000)
    soundfile.write(tmp_path / "noise.wav", noise, 24000)
    result = cli("speak", "Hello.", tmp_path / "out.wav", "--prompt", tmp_path / "noise.wav", *models, *FAST)
    assert result.code == 0 or ("--prompt-text" in result.err and result.err.count("\n") == 1)
    short = ["--prompt", make_wave("short.wav", seconds=0.3), "--prompt-text", "a"]
    assert cli("speak", "Hello.", tmp_path / "short_out.wav", *short, *models, *FAST).code == 0


def test_a_codec_of_other_codes_is_refused(cli, models, prompt, tmp_path, other_model):
    result = cli("speak", "Hello.", tmp_path / "out.wav", *prompt, *models[:2], "--model", other_model)
    assert result.code == 2 and "speaks the codes of codec" in result.err


def test_tokenize(cli, tiny_model, tmp_path):
    manifest = write_corpus(tmp_path / "corpus")
    result = cli("tokenize", manifest, tmp_path / "tokens", "--model", tiny_model)
    assert result.code == 0 and result.text.startswith("tokenized 6 recordings in 1 shard"), result.err
    assert parquet.read_table(tmp_path / "tokens").num_rows == 6
    again = cli("tokenize", manifest, tmp_path / "tokens", "--model", tiny_model, "--json")
    assert json.loads(again.text)["kept"] == 6


def test_processes_share_the_shards(cli, tiny_model, tmp_path, monkeypatch):
    manifest = write_corpus(tmp_path / "corpus")
    for rank in range(2):
        monkeypatch.setenv("RANK", str(rank))
        monkeypatch.setenv("WORLD_SIZE", "2")
        assert cli("tokenize", manifest, tmp_path / "tokens", "--model", tiny_model).code == 0
    assert parquet.read_table(tmp_path / "tokens").num_rows == 6
