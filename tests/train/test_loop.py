"""Training: it learns, and a run that was killed goes on exactly."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from copy import deepcopy
from pathlib import Path

import pytest
import torch
import yaml
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn
from torch.fx import GraphModule

from tadicodec.codec import Codec
from tadicodec.config import AutoencoderConfig
from tadicodec.data.feature_maker import prepare_features
from tadicodec.errors import InputError
from tadicodec.model.encoder import Encoder
from tadicodec.train.loop import compile_blocks
from tadicodec.train.recipe import run_recipe
from tadicodec.train.schedules import OptimConfig, learning_rate
from tadicodec.train.state import checkpoints
from tests.data.test_manifest import write_corpus

TINY = {
    "hidden_size": 32,
    "decoder_num_layers": 1,
    "num_heads": 2,
    "text_vocab_size": 256,
    "encoder_num_layers": 2,
    "encoder_conv_layers": 1,
    "prior_layers": 1,
    "voice_size": 8,
    "voice_heads": 2,
    "transcriber_layers": 1,
    "aligner_layers": 1,
}


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("training")
    prepare_features(write_corpus(folder / "corpus"), folder / "features")
    document = {
        "task": "codec",
        "out": str(folder / "run"),
        "precision": "float32",
        "data": {"features": str(folder / "features"), "frames": 200, "max_frames": 200, "bare_text": 0.3}
        | {"damage": 0.5, "voices": 0.3, "shares": {"": 0.5}},
        "model": {
            "name": "tiny",
            "text_tokenizer": "bytes",
            "preprocess": {},
            "model": {"tadicodec": TINY, "vocos": {"dim": 8, "intermediate_dim": 8, "num_layers": 1}},
        },
        "objective": {"entropy_weight": 0.1, "ctc_weight": 0.1, "transcript_weight": 0.1, "text_drop": 0.2}
        | {"hear_weight": 0.1, "speaker_weight": 0.1, "voice_weight": 0.1},
        "optim": {"lr": 3e-3, "warmup": 5, "decay": 0.3},
        "loop": {"steps": 24, "log_every": 1, "valid_every": 12, "valid_batches": 2},
    }
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


def final(out: Path) -> dict[str, torch.Tensor]:
    folder = checkpoints(out / "checkpoints")[-1]
    return {file.name: load_file(file) for file in folder.glob("*.safetensors")}


def test_resumed_is_uninterrupted(recipe: Path, tmp_path: Path) -> None:
    """Stop in the middle of an epoch, start again: the same weights, optimiser, average and losses, to the bit."""
    run_recipe(recipe, [f"out={tmp_path / 'whole'}"], progress=False)
    # max_minutes stops after the first step of each start, long before `steps`: the schedule is that of the whole run
    for _ in range(3):
        run_recipe(recipe, [f"out={tmp_path / 'parts'}", "loop.max_minutes=1e-9"], progress=False)
    state = run_recipe(recipe, [f"out={tmp_path / 'parts'}"], progress=False)
    assert state.step == 24
    whole, parts = final(tmp_path / "whole"), final(tmp_path / "parts")
    assert whole.keys() == parts.keys()
    for file, tensors in whole.items():
        for name, value in tensors.items():
            assert torch.equal(value, parts[file][name]), (file, name)
    logs = [
        [json.loads(line) for line in (tmp_path / run / "log.jsonl").read_text().splitlines()]
        for run in ("whole", "parts")
    ]
    for one, other in zip(*logs, strict=True):
        assert {**one, "seconds": 0} == {**other, "seconds": 0}


def test_batches_made_ahead_are_the_same(recipe: Path, tmp_path: Path) -> None:
    runs = {threads: tmp_path / str(threads) for threads in (0, 3)}
    for threads, out in runs.items():
        for minutes in ("1e-9", "0"):  # stopped after one step, while others are in the making
            limits = [f"loop.threads={threads}", "loop.steps=6", f"loop.max_minutes={minutes}"]
            run_recipe(recipe, [f"out={out}", *limits], progress=False)
    plain, ahead = final(runs[0]), final(runs[3])
    for file, tensors in plain.items():
        assert all(torch.equal(value, ahead[file][name]) for name, value in tensors.items()), file


def test_killed_is_uninterrupted(recipe: Path, tmp_path: Path) -> None:
    """kill -9 between two checkpoints: the steps after the last one are taken again, with the same result and log."""
    steps = ["loop.steps=120", "loop.valid_every=1000"]
    command = [sys.executable, "-m", "tadicodec", "train", str(recipe), f"out={tmp_path / 'killed'}", *steps]
    threads = str(torch.get_num_threads())  # another number adds up in another order
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": threads}
    run = subprocess.Popen([*command, "loop.save_minutes=0.002"], env=environment, stderr=subprocess.DEVNULL)
    while not checkpoints(tmp_path / "killed" / "checkpoints") and run.poll() is None:
        time.sleep(0.02)
    time.sleep(0.05)
    run.kill()
    run.wait()
    run_recipe(recipe, [f"out={tmp_path / 'killed'}", *steps], progress=False)
    run_recipe(recipe, [f"out={tmp_path / 'whole'}", *steps], progress=False)
    killed, whole = final(tmp_path / "killed"), final(tmp_path / "whole")
    for file, tensors in whole.items():
        for name, value in tensors.items():
            torch.testing.assert_close(value, killed[file][name], atol=1e-6, rtol=1e-5)
    lines = (tmp_path / "killed" / "log.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert [row["step"] for row in rows if row["kind"] == "train"] == list(range(1, 121))
    assert not list((tmp_path / "killed").glob("checkpoints/.*")) + list((tmp_path / "killed").glob(".model*"))


@pytest.mark.draws
def test_it_learns_and_exports_a_model(recipe: Path, tmp_path: Path) -> None:
    run_recipe(recipe, [f"out={tmp_path}", "loop.steps=60", "loop.valid_every=60"], progress=False)
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    losses = [row["velocity"] for row in rows if row["kind"] == "train"]
    assert sum(losses[-5:]) < 0.9 * sum(losses[:5])
    kinds = {row["kind"] for row in rows} - {"train"}
    assert kinds == {"valid", "valid_soft", "valid_noisy", "valid_room", "valid_telephone"}
    heard = {kind: [row["ctc"] for row in rows if row["kind"] == kind] for kind in kinds}
    assert len({tuple(values) for values in heard.values()}) == len(kinds)
    assert Codec.from_pretrained(tmp_path / "model").name == "tiny"
    assert len(checkpoints(tmp_path / "checkpoints")) <= 2
    assert list((tmp_path / "tensorboard").iterdir()) and (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_training_a_part_keeps_the_rest(recipe: Path, tmp_path: Path) -> None:
    run_recipe(recipe, [f"out={tmp_path / 'first'}", "loop.steps=3"], progress=False)
    start = checkpoints(tmp_path / "first" / "checkpoints")[-1]
    changes = ["objective.part=decoder", "objective.ctc_weight=0", "objective.transcript_weight=0"]
    changes += ["data.voices=0", "loop.steps=3"]
    first = Codec.from_pretrained(tmp_path / "first" / "model")
    for number, source in enumerate((start, tmp_path / "first" / "model")):  # a checkpoint, and an exported model
        run_recipe(recipe, [f"out={tmp_path / str(number)}", f"init={source}", *changes], progress=False)
        second = Codec.from_pretrained(tmp_path / str(number) / "model")
        assert first.weights == second.weights
        assert not torch.equal(first.model.decoder.in_linear.weight, second.model.decoder.in_linear.weight)
    with pytest.raises(InputError, match="no such model folder"):
        run_recipe(recipe, [f"out={tmp_path / 'third'}", f"init={tmp_path / 'none'}"], progress=False)


@pytest.mark.parametrize(
    "override, message",
    [
        ("loop.stepz=3", "loop has no 'stepz'"),
        ("loop.steps=many", "steps must be int"),
        ("nothing", "section.key=value"),
        ("other.key=1", "unknown section 'other'"),
        ("task=poetry", "task must be one of"),
        ("data.features=missing", "tadicodec prepare"),
        ("objective.time_sampling=gauss", "time_sampling"),
        ("objective.loss_on=sound", "loss_on"),
    ],
)
def test_bad_recipes(recipe: Path, override: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        run_recipe(recipe, [override], progress=False)


def test_checkpoint_of_another_model_is_refused(recipe: Path, tmp_path: Path) -> None:
    run_recipe(recipe, [f"out={tmp_path}", "loop.steps=1"], progress=False)
    with pytest.raises(InputError, match="does not fit this recipe"):
        run_recipe(recipe, [f"out={tmp_path}", "model.model.tadicodec.hidden_size=64"], progress=False)


def test_learning_rate_rises_holds_and_falls() -> None:
    config = OptimConfig(lr=1.0, warmup=10, decay=0.2)
    rates = [learning_rate(step, 100, config) for step in range(101)]
    assert rates[0] == 0.1 and rates[9] == rates[50] == rates[80] == 1.0
    assert rates[90] == pytest.approx(0.5) and rates[100] == 0.0


def start(recipe: Path, out: Path, **options: str) -> subprocess.Popen:
    """A run in a process of its own that would go on for minutes, once it has a checkpoint."""
    command = [sys.executable, "-m", "tadicodec", "train", str(recipe), f"out={out}", "loop.steps=100000"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    run = subprocess.Popen([*command, "loop.save_minutes=0.002"], env=environment, stderr=subprocess.PIPE, text=True)
    while not checkpoints(out / "checkpoints") and run.poll() is None:
        time.sleep(0.02)
    return run


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_run_with_a_line_and_another_run_waits_outside(
    recipe: Path, tmp_path: Path, number: int
) -> None:
    run = start(recipe, tmp_path / "run")
    with pytest.raises(InputError, match="another process is writing there now"):
        run_recipe(recipe, [f"out={tmp_path / 'run'}"], progress=False)
    run.send_signal(number)
    _, said = run.communicate(timeout=120)
    assert run.returncode == 130
    assert said.splitlines()[-1].startswith("tadicodec: stopped at step ") and "the same command goes on" in said
    assert not list((tmp_path / "run").glob(".*"))


@pytest.mark.parametrize("damage", ["state.json empty", "tensors cut", "tensors missing", "state.json odd"])
def test_a_damaged_checkpoint_is_passed_over(
    recipe: Path, tmp_path: Path, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for minutes in ("1e-9", "1e-9"):
        run_recipe(recipe, [f"out={tmp_path}", f"loop.max_minutes={minutes}"], progress=False)
    older, newest = checkpoints(tmp_path / "checkpoints")
    for folder in (newest, older):
        spoil(folder, damage)
        capsys.readouterr()
        if folder is newest:
            state = run_recipe(recipe, [f"out={tmp_path}", "loop.max_minutes=1e-9"], progress=False)
            said = capsys.readouterr().err
            assert state.step == 2 and "damaged" in said and "going on from step 1" in said and said.count("\n") == 1
            newest = checkpoints(tmp_path / "checkpoints")[-1]
            spoil(newest, damage)
    with pytest.raises(InputError, match="there is no other that is whole; delete"):
        run_recipe(recipe, [f"out={tmp_path}"], progress=False)


def spoil(folder: Path, damage: str) -> None:
    tensors = next(folder.glob("*.optimizer.safetensors"))
    if damage == "state.json empty":
        (folder / "state.json").write_text("")
    elif damage == "state.json odd":
        (folder / "state.json").write_text('{"step": -1, "position": {"epoch": 0, "batch": 1e400}}')
    elif damage == "tensors cut":
        tensors.write_bytes(tensors.read_bytes()[:-7])
    else:
        tensors.unlink()


@pytest.mark.parametrize("writer", ["tadicodec.train.state.save_file", "tadicodec.checkpoint.save_file"])
def test_a_full_disk_ends_a_run_that_goes_on_later(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writer: str
) -> None:
    few = "loop.steps=4"
    run_recipe(recipe, [f"out={tmp_path}", few, "loop.max_minutes=1e-9"], progress=False)

    def full(*_: object, **__: object) -> None:
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    with monkeypatch.context() as patch, pytest.raises(InputError, match="cannot write .*No space left") as refused:
        patch.setattr(writer, full)
        run_recipe(recipe, [f"out={tmp_path}", few, "loop.max_minutes=1e-9"], progress=False)
    assert str(refused.value).isprintable() and not list(tmp_path.glob("checkpoints/.*")) + list(tmp_path.glob(".*"))
    assert run_recipe(recipe, [f"out={tmp_path}", few], progress=False).step == 4
    whole = tmp_path / "whole"
    run_recipe(recipe, [f"out={whole}", few], progress=False)
    for file, tensors in final(whole).items():
        assert all(torch.equal(value, final(tmp_path)[file][name]) for name, value in tensors.items())


def test_compiled_blocks_serve_every_length(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks are compiled once for all lengths; a convolution would be once for each, so it stays outside."""
    graphs: list[GraphModule] = []

    def backend(graph: GraphModule, inputs: list[torch.Tensor]) -> GraphModule:
        graphs.append(graph)
        return graph

    whole = nn.Module.compile
    monkeypatch.setattr(nn.Module, "compile", lambda self, **options: whole(self, backend=backend, **options))
    shape = AutoencoderConfig(**{**TINY, "encoder_conv_layers": 0}, encoder_conformer=True)
    encoder = Encoder(shape)
    plain = deepcopy(encoder)
    compile_blocks(encoder)

    def compiled(frames: int) -> int:
        mel, lengths = torch.randn(2, frames, 128), torch.tensor([frames, frames - 5])
        torch.testing.assert_close(encoder(mel, lengths), plain(mel, lengths))
        return len(graphs)

    counts = [compiled(frames) for frames in (20, 33, 47, 80)]
    assert counts[0] > 0 and counts[1] == counts[2] == counts[3]
    assert not any("conv" in str(node.target) for graph in graphs for node in graph.graph.nodes if node.op != "output")
    assert encoder.state_dict().keys() == plain.state_dict().keys()
