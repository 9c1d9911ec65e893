"""Few-step fine-tuning: learns its teacher's mels, touches nothing that decides codes, and gives a complete model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import yaml

from tadicodec.codec import Codec
from tadicodec.data.feature_maker import prepare_features
from tadicodec.errors import InputError
from tadicodec.model.flow import count_evaluations
from tadicodec.train.few_step_task import STEPWISE, FewStepObjective, FewStepTask
from tadicodec.train.recipe import run_recipe
from tests.conftest import tiny_codec
from tests.data.test_manifest import write_corpus
from tests.train.test_known_codes import batch_of


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("few")
    prepare_features(write_corpus(folder / "corpus"), folder / "features")
    teacher = tiny_codec()
    teacher.model.vq_in_linear.bias[:2] = -0.0  # half precision makes such; the hash of codes sees the sign
    teacher.save_pretrained(folder / "teacher")
    return folder


def run(folder: Path, out: Path, *changes: str):
    document = {
        "task": "few_step",
        "out": str(out),
        "precision": "float32",
        "data": {"features": str(folder / "features"), "frames": 200, "max_frames": 200},
        "model": {"pretrained": str(folder / "teacher")},
        "objective": {"steps": 1},
        "optim": {"lr": 3e-3, "warmup": 2, "decay": 0.3},
        "loop": {"steps": 20, "log_every": 1, "valid_every": 100, "valid_batches": 1, "ema": 0.5},
    }
    recipe = out.with_suffix(".yaml")
    recipe.write_text(yaml.safe_dump(document))
    return run_recipe(recipe, list(changes), progress=False)


def test_learns_and_leaves_the_codes_alone(folder: Path, tmp_path: Path) -> None:
    run(folder, tmp_path / "run")
    log = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    errors = [row["mel"] for row in log if row["kind"] == "train"]
    assert sum(errors[-5:]) < 0.8 * sum(errors[:5])

    teacher, student = Codec.from_pretrained(folder / "teacher"), Codec.from_pretrained(tmp_path / "run" / "model")
    assert student.weights == teacher.weights
    assert (student.config.inference.solver.steps, student.config.inference.solver.guidance) == (1, 1.0)
    assert count_evaluations(student.limits.solver()) == 1
    before, after = teacher.model.state_dict(), student.model.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed and all(name.split(".")[:1] == ["decoder"] and name.split(".")[1] in STEPWISE for name in changed)
    for name, value in teacher.vocoder.state_dict().items():
        assert torch.equal(value, student.vocoder.state_dict()[name])


def test_resumed_is_uninterrupted(folder: Path, tmp_path: Path) -> None:
    """The teacher is not in the checkpoint: it must be the same again after a restart."""
    run(folder, tmp_path / "whole", "loop.steps=6")
    for _ in range(2):
        run(folder, tmp_path / "parts", "loop.steps=6", "loop.max_minutes=1e-9")
    run(folder, tmp_path / "parts", "loop.steps=6")
    whole, parts = (Codec.from_pretrained(tmp_path / name / "model").model.state_dict() for name in ("whole", "parts"))
    assert all(torch.equal(value, parts[name]) for name, value in whole.items())


def test_the_teacher_with_its_own_settings_is_met_exactly() -> None:
    """A student that takes its teacher's steps without guidance starts without error, alone and in a padded batch."""
    teacher = tiny_codec()
    object.__setattr__(teacher.config.inference.solver, "guidance", 1.0)
    task = FewStepTask(teacher, FewStepObjective(steps=2, prompt_probability=0.5))
    generator = torch.Generator().manual_seed(0)
    mels = [torch.randn(size, 128, generator=generator) for size in (48, 80)]
    batch = batch_of(["a", "b"], mels, [[3, 4], [5, 6, 7]]) | {"bandwidth": torch.tensor([128, 128])}
    ((name, loss, _),) = task.losses(batch, generator)
    assert name == "codec" and float(loss.detach()) < 1e-5


def test_what_the_encoder_hears_is_part_of_the_loss() -> None:
    def loss(weight: float) -> tuple[torch.Tensor, dict]:
        task = FewStepTask(tiny_codec(), FewStepObjective(steps=1, hear_weight=weight))
        mels = [torch.randn(48, 128, generator=torch.Generator().manual_seed(0))]
        batch = batch_of(["a"], mels, [[3, 4]]) | {"bandwidth": torch.tensor([128])}
        ((_, loss, metrics),) = task.losses(batch, torch.Generator().manual_seed(0))
        return loss, metrics

    (plain, without), (more, metrics) = loss(0.0), loss(2.0)
    assert "heard" not in without and torch.isclose(more, plain + 2 * metrics["heard"])


def test_refusals(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="at least 1"):
        run(folder, tmp_path / "a", "objective.steps=0")
    with pytest.raises(InputError, match="hear_weight"):
        run(folder, tmp_path / "a", "objective.hear_weight=-1")
    with pytest.raises(InputError, match="pretrained"):
        run(folder, tmp_path / "b", "model.name=x")
    with pytest.raises(InputError, match="between 0 and 1"):
        run(folder, tmp_path / "c", "objective.text_drop=2")
    quantized = tiny_codec()
    quantized.config.quantization["model"] = [{"name": "x"}]
    with pytest.raises(InputError, match="quantized"):
        FewStepTask(quantized, FewStepObjective())
