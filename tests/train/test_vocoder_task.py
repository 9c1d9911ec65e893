"""The vocoder's training: who is trained when, what counts, and what comes out."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file
from torch import Tensor

from tadicodec.audio.mel import MelSpectrogram, valid_bins
from tadicodec.checkpoint import load_weights
from tadicodec.codec import Codec
from tadicodec.config import MelConfig, VocoderConfig
from tadicodec.data.feature_maker import prepare_features
from tadicodec.errors import InputError
from tadicodec.guards.fields import build
from tadicodec.model.vocoder import Vocoder
from tadicodec.train.recipe import initialise, run_recipe
from tadicodec.train.recipe_file import checked, read_recipe
from tadicodec.train.state import checkpoints
from tadicodec.train.vocoder_task import VocoderObjective, VocoderTask, damage
from tests.data.test_manifest import write_corpus

MEL = MelConfig()
SIZES = {"periods": 1, "period_width": 4, "period_max": 8, "resolutions": 1, "spectral_width": 4}
PLAIN = VocoderObjective(**SIZES, adversarial_start=100)
RECIPES = Path(__file__).parents[2] / "recipes" / "vocoder"


def make_task(objective: VocoderObjective = PLAIN) -> VocoderTask:
    torch.manual_seed(0)
    return VocoderTask(VocoderConfig(dim=32, intermediate_dim=64, num_layers=2), MEL, objective)


def make_batch(step: int = 0, frames: int = 24, bandwidth: int = 128) -> dict[str, Any]:
    """Two voices of steady pitch: harmonics that fall off."""
    time = torch.arange(frames * 480).double() / 24000
    pitches = torch.tensor([110.0, 190.0]).double()[:, None]
    wave = sum(torch.sin(2 * torch.pi * pitches * k * time) / k for k in range(1, 30)).float() * 0.1
    return {
        "wave": wave,
        "mel": MelSpectrogram(MEL)(wave),
        "lengths": torch.tensor([frames, frames]),
        "bandwidth": torch.tensor([bandwidth, bandwidth]),
        "step": step,
    }


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def run_step(task: VocoderTask, batch: dict[str, Any], seed: int = 0) -> dict[str, Tensor]:
    """All losses of a step without any optimiser: network name -> loss."""
    return {name: loss.detach() for name, loss, _ in task.losses(batch, seeded(seed))}


def trained(task: VocoderTask) -> set[str]:
    """Networks that hold gradients; forgets them."""
    found = set()
    for name, network in task.networks.items():
        if any(parameter.grad is not None for parameter in network.parameters()):
            found.add(name)
        network.zero_grad(set_to_none=True)
    return found


def test_reconstruction_alone_before_the_start() -> None:
    task = make_task()
    task.networks["discriminator"] = None  # never touched
    assert list(run_step(task, make_batch(step=99))) == ["generator"]


def test_discriminator_then_generator_after_it() -> None:
    task = make_task()
    metrics: dict[str, Tensor] = {}
    order = []
    for name, loss, found in task.losses(make_batch(step=100), seeded()):
        loss.backward()
        assert trained(task) == {name}
        order.append(name)
        metrics |= found
    assert order == ["discriminator", "generator"]
    assert metrics.keys() == {"discriminator", "mel", "short", "adversarial", "matching"}
    assert not any(value.requires_grad for value in metrics.values())


def test_new_discriminators_learn_alone_first() -> None:
    task = make_task(replace(PLAIN, critic_steps=10))
    for step, expected in ((99, ["generator"]), (100, ["discriminator"]), (109, ["discriminator"])):
        for name, loss, _ in task.losses(make_batch(step=step), seeded()):
            loss.backward()
            assert trained(task) == {name}
        assert list(run_step(task, make_batch(step=step))) == expected
    alone, together = (run_step(task, make_batch(step=step)) for step in (109, 110))
    assert list(together) == ["discriminator", "generator"] and alone["discriminator"] == together["discriminator"]


def test_reconstruction_falls() -> None:
    task, batch = make_task(), make_batch()
    optimizer = torch.optim.AdamW(task.networks["generator"].parameters(), lr=3e-3)
    losses = []
    for _ in range(20):
        ((_, loss, _),) = task.losses(batch, seeded())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]


def test_nothing_above_the_bandwidth_counts() -> None:
    """A tone at 10 kHz in the target changes no loss of a 16 kHz recording, and every loss of a full one."""
    task = make_task(replace(PLAIN, adversarial_start=0))
    tone = 0.3 * torch.sin(torch.arange(24 * 480).double() * (2 * torch.pi * 10000 / 24000)).float()
    for bandwidth, same in ((valid_bins(16000, MEL), True), (128, False)):
        batch = make_batch(bandwidth=bandwidth)
        before, after = run_step(task, batch), run_step(task, {**batch, "wave": batch["wave"] + tone})
        for name, loss in before.items():
            assert torch.allclose(loss, after[name], rtol=1e-5) is same, (name, bandwidth)


def test_same_generator_same_losses() -> None:
    rules = replace(PLAIN, adversarial_start=0, adversarial_frames=8, noise_share=0.9, smooth_share=0.9)
    task, batch = make_task(rules), make_batch()
    first, again, other = run_step(task, batch, 1), run_step(task, batch, 1), run_step(task, batch, 2)
    assert first == again and first != other


def test_discriminators_see_a_window() -> None:
    task, batch = make_task(replace(PLAIN, adversarial_start=0, adversarial_frames=8)), make_batch()
    seen = []
    critics = task.networks["discriminator"]
    critics.register_forward_pre_hook(lambda _, waves: seen.append([wave.shape for wave in waves]))
    run_step(task, batch)
    assert seen == [[(2, 8 * 480)] * 2]
    starts = {task.draw(batch, seeded(seed))["first"] for seed in range(200)}
    assert starts == {480 * frame for frame in range(24 - 8 + 1)}


def test_damage_to_a_share_of_the_input() -> None:
    task = make_task(replace(PLAIN, noise_share=0.5, noise_level=0.2))
    mel = torch.zeros(400, 24, 128)
    draws = task.draw({"mel": mel}, seeded())
    spread = damage(mel, draws).std(dim=(1, 2))
    assert 0.4 < (spread > 0).float().mean() < 0.6
    assert 0.15 < spread.max() < 0.21
    assert torch.equal(damage(mel + 1, make_task().draw({"mel": mel}, seeded())), mel + 1)


def test_smoothing_keeps_levels_and_dulls_edges() -> None:
    task = make_task(replace(PLAIN, smooth_share=1.0))
    draws = task.draw({"mel": torch.zeros(2, 24, 128)}, seeded())
    assert torch.allclose(damage(torch.ones(2, 24, 128), draws), torch.ones(2, 24, 128))
    noise = torch.randn(2, 24, 128, generator=seeded())
    assert (damage(noise, draws).std(dim=(1, 2)) < noise.std(dim=(1, 2))).all()


def test_sample_is_two_mels() -> None:
    pictures = make_task().sample(make_batch(), seeded())
    assert {name: picture.shape for name, picture in pictures.items()} == {
        "original": (128, 24),
        "vocoded": (128, 24),
    }


def test_export_is_a_vocoder(tmp_path: Path) -> None:
    task, batch = make_task(), make_batch()
    task.export(task.networks["generator"], tmp_path / "model")
    names = sorted(file.name for file in (tmp_path / "model").iterdir())
    assert names == ["vocoder.json", "vocoder.safetensors"]
    weights = tmp_path / "model" / "vocoder.safetensors"
    assert {value.dtype for value in load_file(weights).values()} == {torch.float16}
    loaded = Vocoder(build(VocoderConfig, json.loads((tmp_path / "model" / "vocoder.json").read_text())))
    load_weights(loaded, weights)
    with torch.no_grad():
        expected, actual = (network(batch["mel"]) for network in (task.networks["generator"], loaded))
    assert (expected - actual).abs().max() < 0.02 * expected.abs().max()


def test_a_run_goes_on_from_a_packed_model() -> None:
    """The bundled vocoder has packed layers; a run that begins with it trains what they stand for."""
    codec = Codec.from_pretrained()
    task = VocoderTask(codec.config.vocoder, codec.config.mel, PLAIN)
    initialise(task, "bundled")
    mel = torch.randn(1, 16, 128, generator=seeded())
    with torch.no_grad():
        found = task.networks["generator"].eval()(mel)
        torch.testing.assert_close(found, codec.vocoder(mel), atol=1e-3, rtol=0)
    with pytest.raises(InputError, match="does not fit the recipe's"):
        initialise(make_task(), "bundled")


@pytest.mark.parametrize("changes", [{"noise_share": 1.5}, {"adversarial_frames": -1}, {"periods": 9}])
def test_impossible_objectives(changes: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="objective"):
        VocoderObjective(**changes)


@pytest.mark.parametrize("name", ["default.yaml", "continue.yaml", "full.yaml"])
def test_recipes_are_valid(name: str) -> None:
    recipe = read_recipe(RECIPES / name, [])
    assert recipe["task"] == "vocoder"
    rules = checked(VocoderObjective, recipe["objective"], "objective")
    assert rules.adversarial_start < recipe["loop"]["steps"]
    assert rules.adversarial_frames <= recipe["data"]["crop_frames"]
    generator = Vocoder(build(VocoderConfig, recipe["model"]["model"]["vocos"]))
    millions = sum(parameter.numel() for parameter in generator.parameters()) / 1e6
    assert 200 < millions < 300 if name == "full.yaml" else millions < 6


def test_run_stops_and_goes_on_across_the_start(tmp_path: Path) -> None:
    """Killed before the discriminators have an optimiser state, resumed after: as if uninterrupted."""
    prepare_features(write_corpus(tmp_path / "corpus"), tmp_path / "features")
    document = {
        "task": "vocoder",
        "out": str(tmp_path / "whole"),
        "precision": "float32",
        "data": {"features": str(tmp_path / "features"), "frames": 48, "crop_frames": 24},
        "model": {"preprocess": {}, "model": {"vocos": {"dim": 8, "intermediate_dim": 8, "num_layers": 1}}},
        "objective": {**SIZES, "adversarial_start": 3, "noise_share": 0.5},
        "loop": {"steps": 6, "log_every": 1, "valid_every": 6, "valid_batches": 1},
    }
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(document))
    run_recipe(tmp_path / "recipe.yaml", [], progress=False)
    parts = f"out={tmp_path / 'parts'}"
    for _ in range(4):
        run_recipe(tmp_path / "recipe.yaml", [parts, "loop.max_minutes=1e-9"], progress=False)
    run_recipe(tmp_path / "recipe.yaml", [parts], progress=False)
    finals = [checkpoints(tmp_path / run / "checkpoints")[-1] for run in ("whole", "parts")]
    for file in finals[0].glob("*.safetensors"):
        one, other = load_file(file), load_file(finals[1] / file.name)
        assert one.keys() == other.keys()
        assert all(torch.equal(one[name], other[name]) for name in one), file.name
    assert (tmp_path / "whole" / "model" / "vocoder.safetensors").is_file()
