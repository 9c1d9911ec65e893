"""Two processes train one model: same weights on both, other data than one process would see."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tadicodec.errors import InputError
from tadicodec.train.recipe import run_recipe
from tadicodec.train.state import checkpoints
from tests.train.test_loop import recipe  # noqa: F401

ROOT = Path(__file__).parents[2]


def test_two_processes(recipe: Path, tmp_path: Path) -> None:  # noqa: F811
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", "29583"]
    command += ["-m", "tadicodec", "train", str(recipe), f"out={tmp_path}", "loop.steps=6"]
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows if row["kind"] == "train"] == list(range(1, 7))
    newest = checkpoints(tmp_path / "checkpoints")[-1]
    assert newest.name == "step-00000006" and json.loads((newest / "state.json").read_text())["processes"] == 2
    with pytest.raises(InputError, match="made by 2 processes, this is 1"):
        run_recipe(recipe, [f"out={tmp_path}", "loop.steps=8"], progress=False)
