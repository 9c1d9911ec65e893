"""One codec from a corpus to speech: --model through tokenize, train and speak, another one refused at every step."""

from __future__ import annotations

import json

import pytest
import soundfile
import yaml

from tadicodec.codec import Codec
from tadicodec.train.recipe_file import read_recipe
from tests.data.test_manifest import write_corpus
from tests.tts.language import ar_model


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("own")


@pytest.fixture
def recipe(place):
    document = {
        "task": "tts_ar",
        "out": str(place / "run"),
        "precision": "float32",
        "data": {"corpus": str(place / "tokens"), "tokens": 400},
        "model": ar_model(16384),
        "optim": {"lr": 1e-3, "warmup": 1},
        "loop": {"steps": 2, "log_every": 1, "valid_every": 2, "valid_batches": 1},
    }
    (place / "recipe.yaml").write_text(yaml.safe_dump(document))
    return place / "recipe.yaml"


def test_one_chain(cli, place, recipe, tiny_model, other_model, make_wave, monkeypatch):
    manifest = write_corpus(place / "corpus")
    assert cli("tokenize", manifest, place / "tokens", "--model", tiny_model).code == 0
    wrong = cli("tokenize", manifest, place / "tokens", "--model", other_model)
    assert wrong.code == 2 and "another corpus or codec" in wrong.err

    wrong = cli("train", recipe, "--model", other_model)
    assert wrong.code == 2 and "tokenize with the --model that this training names" in wrong.err, wrong.err
    assert "tiny" in wrong.err and not (place / "run").exists()
    wrong = cli("train", recipe, "init=bundled", "--model", tiny_model)
    assert wrong.code == 2 and "init: bundled speaks the codes of codec" in wrong.err, wrong.err
    done = cli("train", recipe, "--model", tiny_model, "loop.seed=3")  # an override behind an option
    assert done.code == 0, done.err
    config = json.loads((place / "run" / "model" / "config.json").read_text())
    assert config["codec"] == Codec.from_pretrained(tiny_model).weights and config["codec_name"] == "tiny"

    voice = make_wave("voice.wav", seconds=1.2)
    voice.with_suffix(".txt").write_text("a few words")
    speak = ["speak", "Hello.", place / "out.wav", "--prompt", voice, "--tts-model", place / "run" / "model"]
    for model in ([], ["--model", other_model]):
        wrong = cli(*speak, *model)
        assert wrong.code == 2 and "speaks the codes of codec 'tiny'" in wrong.err and "--model" in wrong.err
    assert cli(*speak, "--model", tiny_model, "--seconds", "1").code == 0
    assert soundfile.info(place / "out.wav").samplerate == 24000


def test_model_goes_where_a_task_has_a_place_for_it(tiny_model):
    from pathlib import Path

    from tadicodec.errors import InputError
    from tadicodec.train.recipe import carry_model

    recipes = Path(__file__).parents[2] / "recipes"
    few = read_recipe(recipes / "codec" / "few_step.yaml", [])
    with pytest.raises(InputError, match="names bundled as its pretrained"):
        carry_model(few, str(tiny_model))
    carry_model(few, "bundled")
    codec = read_recipe(recipes / "codec" / "default.yaml", [])
    codec.pop("init", None)
    carry_model(codec, str(tiny_model))
    assert codec["init"] == str(tiny_model)
    vocoder = read_recipe(recipes / "vocoder" / "default.yaml", [])
    with pytest.raises(InputError, match="not of vocoder"):
        carry_model(vocoder, "bundled")
