"""Arms: every one is a recipe that builds, and is scored by words on every validation split."""

from __future__ import annotations

import json
from pathlib import Path

import codec_arms
import pytest
import torch

from tadicodec.codec import Codec
from tadicodec.config import CodecConfig
from tadicodec.data.feature_maker import prepare_features
from tadicodec.train.codec_network import CodecNetwork
from tadicodec.train.codec_objective import CodecObjective
from tadicodec.train.loop import Trainer
from tadicodec.train.recipe_file import checked, read_recipe
from tests.data.test_manifest import write_corpus

SMALL = ["hidden_size=32", "num_heads=2", "intermediate_size=32", "encoder_num_layers=2", "encoder_conv_layers=1"]


@pytest.mark.parametrize("arm", codec_arms.ARMS)
def test_every_arm_builds(arm: str) -> None:
    document = read_recipe(codec_arms.RECIPE, [*codec_arms.COMMON, *codec_arms.ARMS[arm]])
    with torch.device("meta"):
        network = CodecNetwork(
            CodecConfig.from_dict(document["model"]), checked(CodecObjective, document["objective"], "objective")
        )
    assert sum(parameter.numel() for parameter in network.codec.parameters()) < 32e6  # 40 MB with a vocoder, in 8 bits


def test_an_arm_is_trained_and_scored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare_features(write_corpus(tmp_path / "corpus"), tmp_path / "features")
    small = [f"{codec_arms.SHAPE}.{size}" for size in SMALL]
    monkeypatch.setattr(codec_arms, "ARMS", {"small": [*small, "data.shares={}", "data.frames=300"]})
    threads = torch.get_num_threads()
    codec_arms.main([str(tmp_path / "features"), "--minutes", "1e-9", "--out", str(tmp_path / "arms.jsonl")])
    torch.set_num_threads(threads)
    row = json.loads((tmp_path / "arms.jsonl").read_text())
    assert row["arm"] == "small" and row["steps"] == 1
    for split in ("valid", "valid_room", "valid_telephone"):
        assert {f"{split}/errors/codes", f"{split}/errors/own", f"{split}/ctc"} <= row.keys()


def test_an_arm_starts_from_its_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare_features(write_corpus(tmp_path / "corpus"), tmp_path / "features")
    codec = Codec.from_pretrained(None)
    started = []
    monkeypatch.setattr(Trainer, "step", lambda trainer, prepared: started.append(trainer.task.networks["codec"].codec))
    monkeypatch.setattr(codec_arms, "score", lambda *_: {})
    recipe = codec_arms.RECIPE.with_name("continue.yaml")
    overrides = [f"data.features={tmp_path / 'features'}", "data.shares={}", "data.frames=300", "init=bundled"]
    codec_arms.train(recipe, [*overrides, "precision=float32"], tmp_path, 1e-9)
    assert torch.equal(started[0].encoder.in_linear.weight, codec.model.encoder.in_linear.weight)


def test_an_arm_may_be_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(codec_arms, "train", lambda recipe, overrides, *rest: seen.append(overrides) or {})
    given = [str(tmp_path), "--out", str(tmp_path / "arms.jsonl"), "--all", "precision=bf16"]
    threads = torch.get_num_threads()
    codec_arms.main([*given, "--arm", "as it is", "--arm", "grown", "init=grown"])
    torch.set_num_threads(threads)
    assert len(seen) == 2 and seen[0][-1] == "precision=bf16" and seen[1][-1] == "init=grown"
    assert "grown" in (tmp_path / "arms.jsonl").read_text().splitlines()[1]
