"""Every experiment runs on the tiny codec; its figures mean nothing here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import quant_experiments

from tadicodec.data.feature_maker import prepare_features
from tests.data.test_manifest import write_corpus

pytest.importorskip("matplotlib")


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("experiments")
    prepare_features(write_corpus(folder, 4), folder / "features")
    return folder / "features"


@pytest.mark.parametrize("name", quant_experiments.EXPERIMENTS)
def test_experiment_runs(name: str, tiny_model: Path, features: Path, tmp_path: Path) -> None:
    if name == "deployment":
        pytest.importorskip("onnxruntime")
    options = ["--model", tiny_model, "--data", features, "--out", tmp_path, "--steps", "2", "--seeds", "1"]
    quant_experiments.main([name, *map(str, options)])
    rows = json.loads((tmp_path / f"{name}.json").read_text())
    assert len(rows) > 2 and all(row["seed"] == 0 and row["arm"] for row in rows)
    assert (tmp_path / f"{name}.png").stat().st_size > 1000
    if name == "lr_qat":
        assert all(row.get("largest_difference_after_merging", 0) == 0 for row in rows)
