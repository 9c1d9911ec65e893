"""Every recipe of the repository builds what it describes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml

from tadicodec.config import CodecConfig
from tadicodec.data.feature_maker import prepare_features
from tadicodec.train.recipe import assemble, data_kind
from tadicodec.train.recipe_file import checked, read_recipe
from tadicodec.train.schedules import OptimConfig
from tests.data.test_manifest import write_corpus
from tests.tts.language import write_language

RECIPES = sorted((Path(__file__).parents[1] / "recipes").glob("*/*.yaml"))


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recipes")
    prepare_features(write_corpus(folder), folder / "features")
    write_language(folder / "tokens")
    return folder / "features"


@pytest.mark.parametrize(
    "path", [p for p in RECIPES if p.parent.name not in ("launch", "quant")], ids=lambda p: f"{p.parent.name}/{p.name}"
)
def test_recipe_builds(path: Path, features: Path) -> None:
    spoken = path.parent.name.startswith("tts_")
    source = f"data.corpus={features.parent / 'tokens'}" if spoken else f"data.features={features}"
    document = read_recipe(path, [source])
    document.pop("init", None)  # the model of a stage before it
    data = checked(data_kind(document), document["data"], "data")
    checked(OptimConfig, document["optim"], "optim")
    with torch.device("meta" if document["task"] == "codec" else "cpu"):  # the full codec has 0.46 B parameters
        task, train, valid = assemble(document, data, seed=0)
    assert task.ema in task.networks and train.frames and all(data.frames for data in valid.values())
    if document["task"] == "codec":
        CodecConfig.from_dict(document["model"])


@pytest.mark.parametrize("path", [p for p in RECIPES if p.parent.name == "launch"], ids=lambda p: p.name)
def test_launch_file_is_an_accelerate_config(path: Path) -> None:
    from accelerate.commands.config.config_args import ClusterConfig

    assert ClusterConfig.from_yaml_file(str(path)).num_processes == yaml.safe_load(path.read_text())["num_processes"]
