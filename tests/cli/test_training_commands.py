import json
from types import SimpleNamespace

import numpy as np
import pytest


def test_prepare(cli, make_wave, tiny_model, tmp_path):
    lines = []
    for index in range(2):
        path = make_wave(f"{index}.wav", seconds=1.0, seed=index)
        row = {"id": str(index), "audio": path.name, "text": "hi", "speaker": "a", "seconds": 1.0}
        lines.append(json.dumps(row | {"sample_rate": 24000, "split": "train", "licence": "CC0", "source": "test"}))
    (tmp_path / "manifest.jsonl").write_text("\n".join(lines) + "\n")
    result = cli("prepare", tmp_path / "manifest.jsonl", tmp_path / "features", "--model", tiny_model)
    assert result.code == 0 and result.text.startswith("prepared 2 clips")
    assert np.load(tmp_path / "features" / "00000.mel.npy").shape == (112, 128)


def test_prepare_names_the_bad_file(cli, make_wave, tmp_path):
    row = {"id": "0", "audio": "none.wav", "text": "hi", "speaker": "a", "seconds": 1.0, "sample_rate": 24000}
    line = json.dumps(row | {"split": "train", "licence": "CC0", "source": "test"})
    (tmp_path / "manifest.jsonl").write_text(line)
    result = cli("prepare", tmp_path / "manifest.jsonl", tmp_path / "features")
    assert result.code == 2 and "none.wav does not exist" in result.err and result.err.count("\n") == 1


def test_train_passes_the_overrides_on(cli, monkeypatch):
    calls = []
    monkeypatch.setattr("tadicodec.train.recipe.run_recipe", lambda *given, **options: calls.append((given, options)))
    assert cli("train", "recipe.yaml", "optim.lr=-1", "loop.seed=2").code == 0
    options = {"progress": calls[0][1]["progress"], "model": None}
    assert calls == [(("recipe.yaml", ["optim.lr=-1", "loop.seed=2"]), options)]


@pytest.mark.parametrize(
    ("state", "code"), [({"step": 9}, 0), ({"interrupted": False}, 0), ({"interrupted": True, "step": 9}, 130)]
)
def test_an_interrupted_run_is_not_a_finished_one(cli, monkeypatch, state, code):
    monkeypatch.setattr("tadicodec.train.recipe.run_recipe", lambda *_, **__: SimpleNamespace(**state))
    result = cli("train", "recipe.yaml")
    assert result.code == code and ("stopped at step 9" in result.err) == bool(code)


def test_a_manifest_is_checked_whole(cli, make_wave, tmp_path):
    make_wave("a.wav", seconds=1.0)
    good = {"id": "a", "audio": "a.wav", "text": "hi", "speaker": "s"}
    manifest = tmp_path / "m\x1b.jsonl"
    manifest.write_text(json.dumps(good))
    result = cli("prepare", manifest, "--check")
    assert (
        result.code == 0 and "1 utterances, 0.00 h, splits train; no fault" in result.text and "\x1b" not in result.text
    )
    manifest.write_text("\n".join(json.dumps({**good, "id": str(i), "audio": "none.wav"}) for i in range(15)))
    result = cli("prepare", manifest, "--check")
    assert (
        result.code == 2 and result.err.count("\n") == 11 and "and 5 more" in result.err and "15 FAULTS" in result.text
    )
    assert cli("prepare", manifest).code == 2 and sorted(path.name for path in tmp_path.iterdir()) == [
        "a.wav",
        manifest.name,
    ]
