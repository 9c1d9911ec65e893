"""Configurations that cannot work are refused in one line, when they are read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tadicodec.config import CodecConfig, MelConfig, read_config
from tadicodec.errors import InputError
from tests.conftest import DATA, tiny_config

REFERENCE = DATA / "reference" / "config.json"


def changed(path: str, value: Any) -> str:
    """The reference configuration with one value replaced."""
    document = json.loads(REFERENCE.read_text())
    *parents, last = path.split(".")
    place = document
    for key in parents:
        place = place.setdefault(key, {})
    place[last] = value
    return json.dumps(document)


def test_the_published_layout_and_our_own_load(tmp_path: Path) -> None:
    assert read_config(REFERENCE).mel == MelConfig()
    (tmp_path / "config.json").write_text(json.dumps(tiny_config().to_dict()))
    assert read_config(tmp_path / "config.json") == tiny_config()


@pytest.mark.parametrize(
    "path, value",
    [
        ("inference.steps", 0),
        ("inference.guidance", float("nan")),
        ("inference.guidance", float("inf")),
        ("inference.guidance", -1.0),
        ("inference.rescale", 2.0),
        ("inference.max_text_tokens", 0),
        ("inference.piece_seconds", 0.0),
        ("inference.piece_seconds", float("inf")),
        ("inference.piece_seconds", 10**400),
        ("inference", [1]),
        ("preprocess.sample_rate", 16000),
        ("preprocess.hop_size", 240),
        ("preprocess.mel_var", float("nan")),
        ("preprocess.fmax", -1.0),
        ("preprocess.win_size", -4),
        ("model.vocos.hop_size", 240),
        ("model.vocos.num_layers", 0),
        ("model.vocos", 5),
        ("model.tadicodec", ["hidden_size"]),
        ("model.tadicodec.down_sample_factor", 4),
        ("model.tadicodec.vq_emb_dim", 0),
        ("model.tadicodec.vq_emb_dim", 25),
        ("model.tadicodec.num_heads", 0),
        ("model.tadicodec.patch_size", 0),
        ("model.tadicodec.hidden_size", -64),
        ("model.tadicodec.encoder_num_layers", 0),
        ("model.tadicodec.intermediate_size", -1),
        ("model.tadicodec.sigma", 1.5),
        ("model", None),
        ("name", 5),
        ("name", None),
    ],
)
def test_impossible_values(tmp_path: Path, path: str, value: Any) -> None:
    (tmp_path / "config.json").write_text(changed(path, value))
    with pytest.raises(InputError) as caught:
        read_config(tmp_path / "config.json")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("data", [b"\xff\xfe{", b"{", b"[]", b"", b"[" * 100_000])
def test_files_that_are_no_configuration(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "config.json").write_bytes(data)
    with pytest.raises(InputError):
        read_config(tmp_path / "config.json")
    with pytest.raises(InputError, match="cannot be read"):
        read_config(tmp_path / "none.json")


def test_defaults_are_the_published_model() -> None:
    assert CodecConfig().autoencoder.codebook_size == 16384
