"""Parity with the published code, and the full-size names and shapes."""

from __future__ import annotations

import json
import runpy
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tadicodec.checkpoint import load_config, load_weights, recomputed
from tadicodec.config import AutoencoderConfig, VocoderConfig
from tadicodec.errors import InputError
from tadicodec.model.autoencoder import Autoencoder
from tadicodec.model.vocoder import Vocoder
from tests.conftest import DATA

TOOL = Path(__file__).parents[2] / "tools" / "check_reference.py"


def test_every_golden_tensor_agrees(capsys: pytest.CaptureFixture) -> None:
    assert runpy.run_path(str(TOOL))["check"](DATA / "reference")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 18 and not any("FAILED" in line for line in lines)


def test_a_changed_tensor_is_noticed(tmp_path: Path) -> None:
    folder = shutil.copytree(DATA / "reference", tmp_path / "changed")
    expected = load_file(folder / "expected.safetensors")
    expected["indices"][0] ^= 1
    save_file(expected, folder / "expected.safetensors")
    assert not runpy.run_path(str(TOOL))["check"](folder)


@pytest.mark.parametrize(
    "part, build", [("codec", lambda: Autoencoder(AutoencoderConfig())), ("vocoder", lambda: Vocoder(VocoderConfig()))]
)
def test_full_size_layout(part: str, build) -> None:
    layout = json.loads((DATA / "full_layout.json").read_text())[part]
    with torch.device("meta"):
        own = {name: list(value.shape) for name, value in build().state_dict().items()}
    assert own == {name: shape for name, shape in layout.items() if not recomputed(name)}


@pytest.mark.parametrize("change", ["missing", "extra", "shape"])
def test_loading_is_strict(tmp_path: Path, change: str) -> None:
    tensors = load_file(DATA / "reference" / "model.safetensors")
    if change == "missing":
        del tensors["vq_in_linear.bias"]
    elif change == "extra":
        tensors["decoder.layers.9.mlp.up_proj.weight"] = torch.zeros(2)
    else:
        tensors["vq_in_linear.bias"] = torch.zeros(15)
    save_file(tensors, tmp_path / "model.safetensors")
    model = Autoencoder(load_config(DATA / "reference").autoencoder)
    with pytest.raises(InputError, match="vq_in_linear.bias|layers.9"):
        load_weights(model, tmp_path / "model.safetensors")


def test_damaged_weights_are_one_line(tmp_path: Path) -> None:
    data = (DATA / "reference" / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match="not a readable safetensors file"):
        load_weights(Autoencoder(load_config(DATA / "reference").autoencoder), tmp_path / "model.safetensors")
