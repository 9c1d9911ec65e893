"""Matrices in 8 bits on disk, floats in memory: loaded as any network, strictly."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from tadicodec.checkpoint import load_weights
from tadicodec.errors import InputError
from tadicodec.integers.packed_linear import Format
from tadicodec.integers.stored_matrix import from_integers, store_matrices, to_integers
from tadicodec.quant.glm import nearest


def network(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(8, 6), nn.Linear(6, 4))


def saved(folder: Path, **changes: torch.Tensor | None) -> Path:
    """A file of the network's first matrix in 8 bits; a change of None leaves a tensor out."""
    stored = store_matrices(network().state_dict(), lambda name: name.startswith("0."))
    stored |= {name.replace("_", "."): value for name, value in changes.items() if value is not None}
    for name in (name.replace("_", ".") for name, value in changes.items() if value is None):
        del stored[name]
    save_file(stored, folder / "model.safetensors")
    return folder / "model.safetensors"


def test_loaded_is_what_was_rounded(tmp_path: Path) -> None:
    other = network(1)
    load_weights(other, saved(tmp_path))
    own = network().state_dict()
    for name, value in other.state_dict().items():
        expected = nearest(own[name], Format(8)).weight() if name == "0.weight" else own[name]
        assert torch.equal(value, expected), name
    assert not torch.equal(other[0].weight, own["0.weight"])


def test_rounding_twice_is_rounding_once() -> None:
    matrix = torch.randn(300, 70, generator=torch.Generator().manual_seed(0)) * torch.logspace(-3, 1, 300)[:, None]
    matrix[5] = 0
    once = from_integers(*to_integers(matrix))
    assert torch.equal(from_integers(*to_integers(once)), once) and once.isfinite().all() and (once[5] == 0).all()


def test_storing_what_is_stored_changes_nothing() -> None:
    stored = store_matrices(network().state_dict(), lambda name: True)
    again = store_matrices(stored, lambda name: True)
    assert list(again) == list(stored) and all(again[name] is value for name, value in stored.items())


def test_scales_belong_to_matrices(tmp_path: Path) -> None:
    for changes, message in (
        ({"0_weight_scale": None}, "0.weight is of type I8"),
        ({"0_weight_scale": torch.ones(5, 1)}, "0.weight.scale is"),
        ({"0_weight_scale": torch.ones(6, 1, dtype=torch.int32)}, "0.weight.scale is"),
        ({"1_weight_scale": torch.ones(4, 1)}, "1.weight.scale is not part"),
    ):
        with pytest.raises(InputError, match=message):
            load_weights(network(), saved(tmp_path, **changes))
