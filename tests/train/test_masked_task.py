"""Training the masked model: it learns a small language and speaks it, resumes exactly, and hides what it should."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import yaml

from tadicodec.errors import InputError
from tadicodec.text.tokens import ByteTokenizer
from tadicodec.train.masked_task import MaskedObjective, MaskedTask
from tadicodec.train.recipe import run_recipe
from tadicodec.tts.engines import load_engine
from tadicodec.tts.folder import build_network
from tests.train.test_ar_task import same_runs, tokens_of
from tests.tts.language import config_of, masked_model, voice_prompt, write_language
from tests.tts.published_layout import tokenizer


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("masked")
    document = {
        "task": "tts_masked",
        "out": str(folder / "run"),
        "precision": "float32",
        "data": {"corpus": str(write_language(folder / "tokens")), "tokens": 600},
        "model": masked_model(),
        "optim": {"lr": 5e-3, "warmup": 10, "clip": 1.0},
        "loop": {"steps": 8, "log_every": 1, "valid_every": 4, "valid_batches": 1, "ema": 0.9},
    }
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


def test_resumed_is_uninterrupted(recipe: Path, tmp_path: Path) -> None:
    same_runs(recipe, tmp_path)


def test_it_learns_to_speak_in_the_prompts_voice(recipe: Path, tmp_path: Path) -> None:
    steps = ["loop.steps=150", "loop.valid_every=150", "data.tokens=1500"]
    run_recipe(recipe, [f"out={tmp_path}", *steps], progress=False)
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    valid = [row for row in rows if row["kind"] == "valid"][-1]
    assert valid["codes"] < 0.6 * rows[0]["codes"] and valid["duration"] < 0.5 * rows[0]["duration"]
    engine = load_engine(tmp_path / "model")
    assert engine.config.codec == "language"
    said = "bad cafe face dab bead face"  # letters of a short text are not held as long as this language holds them
    assert tokens_of(engine, said, voice_prompt("face dab", 2)) > 0.6


def test_the_published_network_trains_with_its_chat_prompt(recipe: Path, tmp_path: Path) -> None:
    """As published: text before the codes, a vector for each code, a tokenizer, no durations."""
    tokenizer(0).save_pretrained(tmp_path / "names")
    published = {"code_features": 0, "text_layers": 0, "duration_size": 0, "phone_vocab_size": 300}
    document = yaml.safe_load(recipe.read_text())
    document["model"] = {**masked_model(**published), "text": "qwen", "tokenizer_folder": str(tmp_path / "names")}
    document["data"]["tokens"], document["loop"] = 60, {"steps": 2, "valid_every": 2, "valid_batches": 1}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(document))
    run_recipe(tmp_path / "recipe.yaml", [f"out={tmp_path / 'run'}", "loop.max_minutes=1e-9"], progress=False)
    run_recipe(tmp_path / "recipe.yaml", [f"out={tmp_path / 'run'}"], progress=False)
    engine, prompt = load_engine(tmp_path / "run" / "model"), voice_prompt("abc", 1)
    script = engine.script("abc", prompt)
    assert script.starts is None and script.tokens == 2
    assert engine.sample(script, prompt, torch.Generator().manual_seed(0)).shape == (script.tokens,)


def test_what_is_hidden() -> None:
    """Never the prompt or padding, always something; without text there is no prompt either."""
    task = MaskedTask(config_of("masked"), build_network(config_of("masked")), MaskedObjective(text_drop=0.5))
    lengths, prompts = torch.tensor([20, 9, 3, 12] * 50), torch.tensor([0, 0, 0, 5] * 50)
    batch = {"codes": torch.zeros(200, 20, dtype=torch.long), "lengths": lengths, "prompts": prompts}
    draws = task.draw(batch, torch.Generator().manual_seed(0))
    place = torch.arange(20)[None]
    assert not (draws["masked"] & (place >= lengths[:, None])).any() and draws["masked"].any(1).all()
    kept = draws["keep_text"].bool()
    assert not (draws["masked"] & (place < prompts[:, None]))[kept].any()
    assert (draws["masked"] & (place < prompts[:, None]))[~kept].any()
    whole = draws["masked"][lengths == 20].float().mean(1)
    assert 0 < float(whole.min()) < 0.4 < float(whole.max()) and 0.3 < kept.float().mean() < 0.7


@pytest.mark.parametrize(
    "override, message",
    [
        ("model.text=qwen", "reads bytes"),
        ("model.model.mgm.cond_codebook_size=32", "holds code"),
        ("model.model={}", "not a speech language model"),
        ("model.size=3", "model has no 'size'"),
        ("model.model.mgm.phone_vocab_size=100", "phone_vocab_size"),
        ("data.corpus=nowhere", "tadicodec tokenize"),
        ("data.features=x", "data has no 'features'"),
        ("data.pair=2.0", "pair"),
        ("data.tokens=0", "tokens"),
        ("objective.mask_min=2.0", "probabilities"),
    ],
)
def test_bad_recipes(recipe: Path, override: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        run_recipe(recipe, [override], progress=False)


def test_text_is_that_of_the_codec() -> None:
    assert ByteTokenizer().encode("A b") == list(b"a b")  # what the corpora's starts count
