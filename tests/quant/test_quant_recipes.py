"""Every quantization recipe is read, names its own method, and quantizes the tiny codec."""

from __future__ import annotations

from pathlib import Path

import pytest

from tadicodec.errors import InputError
from tadicodec.quant.job import Job
from tadicodec.quant.methods import METHODS
from tadicodec.quant.quant_settings import read_quant_recipe

RECIPES = Path(__file__).parents[2] / "recipes" / "quant"


def test_there_is_one_for_each_method() -> None:
    assert {path.stem for path in RECIPES.glob("*.yaml")} == set(METHODS)


@pytest.mark.parametrize("method", METHODS)
def test_recipe_is_complete(method: str) -> None:
    job = Job.from_sections(read_quant_recipe(RECIPES / f"{method}.yaml"))
    assert job.model.method == method and job.vocoder.bits == 8
    assert job == Job.from_sections({"quantization": {"method": method}})  # what the command does without a recipe


@pytest.mark.parametrize(
    "text",
    [
        "- a",
        "steps: 3",
        "quantization: {colour: red}",
        "quantization: 3",
        "quantization: {method: [a]}",
        "vocoder: {method: l4q}",
        "{",
    ],
)
def test_bad_recipes_are_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    with pytest.raises(InputError):
        Job.from_sections(read_quant_recipe(path))
