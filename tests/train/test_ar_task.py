"""Training the autoregressive model: it learns a small language and speaks it, resumes exactly, on processes too."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

from tadicodec.data.shards import TokenCorpus
from tadicodec.data.token_batches import Line, TokenCollator, TokenData, bare
from tadicodec.errors import InputError
from tadicodec.speech import Prompt
from tadicodec.text.normalize import letters_only, normalize
from tadicodec.text.tokens import ByteTokenizer
from tadicodec.train.ar_task import ArLearner, ArObjective, ArTask
from tadicodec.train.recipe import run_recipe
from tadicodec.train.state import checkpoints
from tadicodec.tts.engines import Engine, load_engine
from tadicodec.tts.folder import build_network
from tests.tts.language import LETTERS, ar_model, config_of, speak, voice_prompt, write_language
from tests.tts.published_layout import language_model, tokenizer

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ar")
    document = {
        "task": "tts_ar",
        "out": str(folder / "run"),
        "precision": "float32",
        "data": {"corpus": str(write_language(folder / "tokens")), "tokens": 300},
        "model": ar_model(attention_dropout=0.1),  # whose random numbers are torch's own
        "optim": {"lr": 5e-3, "warmup": 10, "clip": 1.0},
        "loop": {"steps": 8, "log_every": 1, "valid_every": 4, "valid_batches": 1, "ema": 0.9},
    }
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


def same_runs(recipe: Path, folder: Path) -> None:
    """A run in three parts ends with the tensors and the log of a run in one, to the bit."""
    run_recipe(recipe, [f"out={folder / 'whole'}"], progress=False)
    for _ in range(2):
        run_recipe(recipe, [f"out={folder / 'parts'}", "loop.max_minutes=1e-9"], progress=False)
    assert run_recipe(recipe, [f"out={folder / 'parts'}"], progress=False).step == 8
    whole, parts = (checkpoints(folder / run / "checkpoints")[-1] for run in ("whole", "parts"))
    for file in whole.glob("*.safetensors"):
        one, other = load_file(file), load_file(parts / file.name)
        assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one), file
    logs = [
        [{**json.loads(line), "seconds": 0} for line in (folder / run / "log.jsonl").read_text().splitlines()]
        for run in ("whole", "parts")
    ]
    assert logs[0] == logs[1]


def tokens_of(engine: Engine, text: str, prompt: Prompt) -> float:
    """Share of the letters and the speaker of `text` that come out in order (longest common subsequence)."""
    script = engine.script(text, prompt)
    codes = engine.sample(script, prompt, torch.Generator().manual_seed(0)).tolist()
    speaker = int(prompt.codes[0]) % 4
    wanted, found = speak(text, speaker)[0].tolist(), codes
    row = [0] * (len(found) + 1)
    for code in wanted:
        row = row[:1] + [max(row[i + 1], row[i] + 1) if code == seen else row[i + 1] for i, seen in enumerate(found)]
        for i in range(len(found)):
            row[i + 1] = max(row[i + 1], row[i])
    return row[-1] / max(len(wanted), len(found))


def test_resumed_is_uninterrupted(recipe: Path, tmp_path: Path) -> None:
    same_runs(recipe, tmp_path)


def test_it_learns_to_speak_in_the_prompts_voice(recipe: Path, tmp_path: Path) -> None:
    steps = ["loop.steps=150", "loop.valid_every=150", "data.tokens=900"]
    run_recipe(recipe, [f"out={tmp_path}", *steps], progress=False)
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    valid = [row for row in rows if row["kind"] == "valid"][-1]
    assert valid["codes"] < 0.6 * rows[0]["codes"] and valid["duration"] < 0.5 * rows[0]["duration"]
    engine = load_engine(tmp_path / "model")
    assert engine.config.codec == "language"
    said = "bad cafe face dab bead face"  # letters of a short text are not held as long as this language holds them
    assert tokens_of(engine, said, voice_prompt("face dab", 2)) > 0.6


def test_two_processes(recipe: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", "29587"]
    command += ["-m", "tadicodec", "train", str(recipe), f"out={tmp_path}", "loop.steps=3"]
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    assert checkpoints(tmp_path / "checkpoints")[-1].name == "step-00000003"


@pytest.mark.parametrize("tied", [True, False])
def test_a_pretrained_model_learns_the_codes(recipe: Path, tmp_path: Path, tied: bool) -> None:
    """A text model from a folder: its vocabulary grows, it trains, resumes, and its export loads and speaks."""
    base, names = tmp_path / "base", tokenizer(0)
    language_model(len(names), tied=tied).save_pretrained(base)
    names.save_pretrained(base)
    changes = {"model": {"pretrained": str(base), "text": "qwen", "codebook_size": 64}, "data": None}
    document = yaml.safe_load(recipe.read_text())
    document["model"] = changes["model"]
    document["data"]["tokens"] = 1200
    document["loop"] |= {"steps": 4, "valid_every": 4}
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(document))
    run_recipe(path, [f"out={tmp_path / 'run'}", "loop.max_minutes=1e-9"], progress=False)
    run_recipe(path, [f"out={tmp_path / 'run'}"], progress=False)
    engine = load_engine(tmp_path / "run" / "model")
    assert engine.config.codec == "language" and engine.codebook_size == 64
    prompt = voice_prompt("abc", 1)
    codes = engine.sample(engine.script("abc", prompt, 5), prompt, torch.Generator().manual_seed(0))
    assert codes.shape == (5,)


def test_loss_is_on_speech_alone(tmp_path: Path) -> None:
    """Each sequence's labels are its codes and one end; text and padding are read, never predicted."""
    corpus = TokenCorpus(write_language(tmp_path, count=20), "train")
    collate = TokenCollator(corpus, ByteTokenizer(), config_of("ar"), TokenData(pair=0.0))
    batch = collate([0, 5], torch.Generator().manual_seed(0))
    learner = ArLearner(build_network(config_of("ar")), ArObjective())
    kept = torch.ones_like(batch["codes"], dtype=torch.bool)
    given, wanted = learner.sequences(batch, batch["starts"], kept)
    counts = batch["lengths"].tolist()
    assert wanted.tolist() == [
        *batch["codes"][0, : counts[0]].tolist(),
        64,
        *batch["codes"][1, : counts[1]].tolist(),
        64,
    ]
    assert given["spoken"].sum(1).tolist() == [count + 1 for count in counts] and not given["blank"].any()
    kept[0, 0] = False
    place = int(batch["text_lengths"][0]) + 1
    assert learner.sequences(batch, batch["starts"], kept)[0]["blank"].nonzero().tolist() == [[0, place]]


def test_times_are_rounded_in_training_alone(tmp_path: Path) -> None:
    """A share of the texts is read with times by bins; what is judged in validation never is."""
    corpus = TokenCorpus(write_language(tmp_path, count=20), "train")
    batch = TokenCollator(corpus, ByteTokenizer(), config_of("ar"), TokenData(pair=0.0))(
        list(range(8)), torch.Generator().manual_seed(0)
    )
    network = build_network(config_of("ar"))
    exact, rounded = (ArTask(config_of("ar"), network, ArObjective(code_drop=0.0, time_rounding=p)) for p in (0.0, 1.0))
    assert set(rounded.bins(64, torch.Generator().manual_seed(0)).tolist()) == {2, 3}
    for task in (exact, rounded):
        task.networks["lm"].eval()

    def loss(task: ArTask) -> float:
        return next(iter(task.losses(batch, torch.Generator().manual_seed(0))))[1].item()

    with torch.no_grad():
        assert loss(exact) == loss(rounded)
    assert loss(exact) != loss(rounded)


def test_pairs_are_of_one_speaker_on_one_time_axis(tmp_path: Path) -> None:
    corpus = TokenCorpus(write_language(tmp_path, count=40), "train")
    collate = TokenCollator(corpus, ByteTokenizer(), config_of("ar"), TokenData(pair=1.0))
    batch = collate(list(range(len(corpus))), torch.Generator().manual_seed(0))
    assert (batch["prompts"] > 0).sum() > 20
    for i in (batch["prompts"] > 0).nonzero().flatten().tolist():
        letters, count = int(batch["text_lengths"][i]), int(batch["lengths"][i])
        codes = batch["codes"][i, :count]
        assert len(set((codes % 4).tolist())) == 1
        text = bytes(batch["text_ids"][i, :letters].tolist()).decode()
        starts = batch["starts"][i, :letters].tolist()
        spaces = [j for j, letter in enumerate(text) if letter == " " and starts[j] == float(batch["prompts"][i])]
        assert len(spaces) == 1  # the one between the two utterances
        for j, letter in enumerate(text):
            if j not in spaces:
                assert LETTERS[int(codes[int(starts[j])]) // 8] == letter


def test_bare_text_is_what_a_transcriber_writes() -> None:
    text = normalize("Well, Mr. O'Neil - 'tis so!")
    line = Line(torch.tensor(list(text.encode())), torch.tensor([1]), torch.arange(float(len(text))))
    plain = bare(line)
    said = bytes(plain.ids.tolist()).decode()
    assert said == letters_only(text) == "well mister o'neil 'tis so"
    kept = [text[int(start)] for start in plain.starts]
    assert all(one == other or one in ",.-! " for one, other in zip(kept, said, strict=True))
    foreign = Line(torch.tensor(list("né".encode())), torch.tensor([1]), torch.arange(3.0))
    assert bare(foreign) is foreign


def test_starts_may_be_unknown(recipe: Path, tmp_path: Path) -> None:
    write_language(tmp_path / "tokens", count=20, timed=False)
    changes = [f"out={tmp_path / 'run'}", f"data.corpus={tmp_path / 'tokens'}", "loop.steps=2", "loop.valid_every=2"]
    assert run_recipe(recipe, changes, progress=False).step == 2


@pytest.mark.parametrize(
    "override, message",
    [
        ("model.model.ar.transformers.model_type=nothing", "cannot build"),
        ("model.model.ar.codebook_size=32", "holds code"),
        ("model.pretrained=nowhere", "no such model folder"),
        ("objective.code_drop=1.0", "code_drop"),
        ("data.max_tokens=2", "no utterance"),
    ],
)
def test_bad_recipes(recipe: Path, override: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        run_recipe(recipe, [override], progress=False)
