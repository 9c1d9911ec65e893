"""The fuzz tool: nothing unexpected in a small run, and it does see what it looks for."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tools"))

fuzz = pytest.importorskip("fuzz")


def test_a_small_run_finds_nothing() -> None:
    command = [sys.executable, "tools/fuzz.py", "--count", "400", "--seed", "7"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout
    assert result.stdout.splitlines()[-1].endswith(" mutations, 0 faults")


def test_it_sees_faults() -> None:
    def crash(_: random.Random) -> None:
        raise KeyError("x")

    def talk(_: random.Random) -> None:
        os.write(2, b"a library's own words\n")

    for attempt, sign in ((crash, "KeyError"), (talk, "a library's own words")):
        outcome = fuzz.tried("kind", attempt, range(2), 0)
        assert len(outcome.faults) == 2 and sign in outcome.faults[0]
        assert fuzz.summary({"kind": outcome}) == 1
    assert fuzz.summary({"kind": fuzz.tried("kind", lambda _: None, range(2), 0)}) == 0


def test_a_mutation_is_done_again_by_its_number() -> None:
    drawn: list[float] = []

    def draw(rng: random.Random) -> None:
        drawn.append(rng.random())

    fuzz.tried("kind", draw, range(5), 3)
    fuzz.tried("kind", draw, range(3, 4), 3)
    assert drawn[5] == drawn[3] and len(set(drawn)) == 5
