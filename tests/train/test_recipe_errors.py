"""Every mistake in a recipe or an override is one line, before anything is trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tadicodec.data.feature_maker import prepare_features
from tadicodec.errors import InputError
from tadicodec.train.recipe import run_recipe
from tadicodec.train.recipe_file import read_recipe
from tests.data.test_manifest import write_corpus

TINY = {"hidden_size": 32, "encoder_num_layers": 1, "decoder_num_layers": 1, "num_heads": 2, "text_vocab_size": 256}
MODEL = {
    "text_tokenizer": "bytes",
    "preprocess": {},
    "model": {"tadicodec": TINY, "vocos": {"dim": 8, "intermediate_dim": 8, "num_layers": 1}},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recipes")
    prepare_features(write_corpus(folder), folder / "features")
    return folder


@pytest.fixture
def refused(folder: Path, tmp_path: Path):
    """refused(task, override, ...) -> the message of the InputError."""

    def run(task: str, *overrides: str, **sections: Any) -> str:
        document = {
            "task": task,
            "out": str(tmp_path / "run"),
            "precision": "float32",
            "data": {"features": str(folder / "features"), "frames": 200, "max_frames": 200},
            "model": MODEL,
        }
        path = tmp_path / "recipe.yaml"
        path.write_text(yaml.safe_dump(document | sections))
        with pytest.raises(InputError) as caught:
            run_recipe(path, list(overrides), progress=False)
        assert "\n" not in str(caught.value) and not (tmp_path / "run").exists()
        return str(caught.value)

    return run


@pytest.mark.parametrize(
    "override, reason",
    [
        ("optim.lr=[", "not valid YAML"),
        ("optim.lr", "section.key=value"),
        ("data=5", "data is a section"),
        ("loop=[1]", "loop is a section"),
        ("model=", "model is a section"),
        ("out=3", "out must be text"),
        ("task=[codec]", "task must be text"),
        ("precision=foo", "float32 or bf16"),
        ("precision=fp16", "float32 or bf16"),
        ("precision=[1]", "float32 or bf16"),
        ("model.model={}", "tadicodec"),
        ("model.model=5", "configuration"),
        ("model.model.tadicodec.num_heads=0", "num_heads"),
        ("model.model.tadicodec.patch_size=0", "patch_size"),
        ("model.preprocess.sample_rate=16000", "sample_rate"),
        ("model.model.tadicodec.text_vocab_size=200", "256 ids"),
        ("model.model.tadicodec.prior_layers=1", "untrained"),
        ("loop.log_every=0", "log_every"),
        ("loop.valid_every=0", "valid_every"),
        ("loop.valid_batches=0", "valid_batches"),
        ("loop.steps=0", "steps"),
        ("loop.seed=-1", "seed"),
        ("loop.ema=2.0", "ema"),
        ("loop.max_minutes=-1", "max_minutes"),
        ("optim.lr=-1", "lr"),
        ("optim.lr=.nan", "lr"),
        ("optim.beta2=1.0", "beta2"),
        ("optim.clip=0", "clip"),
        ("optim.decay=1.5", "decay"),
        ("data.frames=0", "frames"),
        ("data.5=3", "no '5'"),
        ("objective.entropy_weight=-1", "entropy_weight"),
        ("objective.text_drop=1.5", "text_drop"),
        ("objective.prompt_degrade=1.5", "prompt_degrade"),
        ("objective.hear_weight=-1", "hear_weight"),
        ("model.model.tadicodec.voice_size=8", "prior_layers"),
        ("objective.speaker_weight=-1", "speaker_weight"),
        ("data.damage=2", "damage"),
    ],
)
def test_codec(refused, override: str, reason: str) -> None:
    assert reason in refused("codec", override)


def test_shares_and_voices(refused) -> None:
    data = {"frames": 200, "max_frames": 200}

    def message(objective: dict, **changes: object) -> str:
        overrides = [f"data.{key}={value}" for key, value in {**data, **changes}.items()]
        return refused("codec", *overrides, objective=objective)

    assert "shares" in message({"text_drop": 0.1}, shares="{'': 1.5}")
    assert "shares must be dict" in message({"text_drop": 0.1}, shares=0.5)
    assert "voices" in message({"part": "decoder"}, voices=0.5)


@pytest.mark.parametrize(
    "override, reason",
    [
        ("model.model={}", "vocos"),
        ("model.model=5", "vocos"),
        ("model.model.vocos=5", "section"),
        ("model.model.vocos.hop_size=240", "hop_size"),
        ("model.preprocess=5", "section"),
        ("data.crop_frames=0", "crop_frames"),
        ("objective.mel_weight=-1", "mel_weight"),
    ],
)
def test_vocoder(refused, override: str, reason: str) -> None:
    assert reason in refused("vocoder", override)


def test_keys_that_are_not_text(refused) -> None:
    assert "5 stands where a name belongs" in refused("codec", loop={5: 1, "steps": 2})
    assert "unknown section '5'" in refused("codec", **{"5": {}})


def test_a_recipe_lies_over_its_base(tmp_path: Path) -> None:
    (tmp_path / "shared.yaml").write_text(
        yaml.safe_dump({"task": "codec", "out": "a", "model": MODEL, "loop": {"steps": 5}})
    )
    (tmp_path / "middle.yaml").write_text(yaml.safe_dump({"base": "shared.yaml", "out": "b", "loop": {"ema": 0.5}}))
    (tmp_path / "deeper").mkdir()
    (tmp_path / "deeper" / "top.yaml").write_text("base: ../middle.yaml\nloop: {steps: 7}\n")
    read = read_recipe(tmp_path / "deeper" / "top.yaml", ["loop.seed=3"])
    assert read == {"task": "codec", "out": "b", "model": MODEL, "loop": {"steps": 7, "ema": 0.5, "seed": 3}}


@pytest.mark.parametrize(
    ("base", "message"),
    [
        ("nothing.yaml", "no such recipe"),
        ("top.yaml", "its own base"),
        (3, "path of another recipe"),
        ("list.yaml", "not a recipe"),
    ],
)
def test_a_base_that_cannot_be_read_is_one_line(tmp_path: Path, base: object, message: str) -> None:
    (tmp_path / "list.yaml").write_text("[1, 2]")
    (tmp_path / "top.yaml").write_text(yaml.safe_dump({"base": base, "task": "codec", "out": "a", "model": MODEL}))
    with pytest.raises(InputError, match=message) as caught:
        read_recipe(tmp_path / "top.yaml", [])
    assert "\n" not in str(caught.value)
