"""Model folders: sizes and weights that cannot be are refused before anything is built or written."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tadicodec import checkpoint
from tadicodec.codec import Codec
from tadicodec.config import AutoencoderConfig, InferenceConfig, MelConfig, SolverConfig, VocoderConfig
from tadicodec.errors import InputError
from tadicodec.tts.ar_sampler import ArSampling
from tadicodec.tts.autoregressive import ArConfig
from tadicodec.tts.folder import load_tts, save_tts
from tadicodec.tts.mask_sampler import MaskSampling
from tadicodec.tts.masked import MaskedConfig

KINDS = (
    MelConfig,
    AutoencoderConfig,
    VocoderConfig,
    InferenceConfig,
    SolverConfig,
    MaskedConfig,
    MaskSampling,
    ArSampling,
)
LLAMA = {"model_type": "llama", "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}


@pytest.fixture
def model(tiny_model: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    shutil.copytree(tiny_model, folder)
    return folder


def change(folder: Path, section: tuple[str, ...], name: str, value: Any) -> None:
    document = json.loads((folder / "config.json").read_text())
    place = document
    for key in section:
        place = place[key]
    place[name] = value
    (folder / "config.json").write_text(json.dumps(document))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", [10**9, 2**63, 2**70, -1, 1.5, None, "8", [8], True])
def test_every_size_has_bounds(kind: type, value: Any) -> None:
    for name, item in kind.__dataclass_fields__.items():
        if type(item.default) is int:
            with pytest.raises(InputError) as refused:
                kind(**{name: value})
            assert str(refused.value).isprintable()


@pytest.mark.parametrize("value", [10**9, 2**70, float("nan"), float("inf")])
def test_language_models_of_transformers_have_bounds(value: Any) -> None:
    for name in ("hidden_size", "num_hidden_layers", "num_attention_heads", "rms_norm_eps", "head_dim"):
        if name != "rms_norm_eps" or value != 10**9:
            with pytest.raises(InputError, match=name):
                ArConfig({**LLAMA, name: value})


@pytest.mark.parametrize(
    "section, name, value",
    [
        (("model", "tadicodec"), "hidden_size", 2**17),
        (("model", "tadicodec"), "decoder_num_layers", 512),
        (("model", "tadicodec"), "text_vocab_size", 2**21),
        (("model", "vocos"), "intermediate_dim", 2**17),
        (("model", "vocos"), "n_fft", 2**16),
    ],
)
def test_the_largest_sizes_that_are_allowed_do_not_fit_the_weights(
    model: Path, section: tuple[str, ...], name: str, value: int
) -> None:
    change(model, section, name, value)
    with pytest.raises(InputError, match="does not fit its config.json|cannot be built"):
        Codec.from_pretrained(model)


def test_no_weights_are_written_before_they_are_compared() -> None:
    """A model folder of kilobytes may ask for gigabytes: they are reserved, and the weights turn out to be smaller."""
    from tadicodec.model.transformer import TimedRMSNorm

    started = TimedRMSNorm(16).to_weight
    assert bool((started.weight == 0).all()) and bool((started.bias == 1).all())
    before = Path("/proc/self/statm").read_text().split()[1] if Path("/proc/self/statm").exists() else "0"
    with checkpoint.unfilled():
        big = [TimedRMSNorm(8192) for _ in range(2)]  # 0.5 GB
        buffer = torch.ones(3).zero_().fill_(2)
    if before != "0":
        grown = (int(Path("/proc/self/statm").read_text().split()[1]) - int(before)) * os.sysconf("SC_PAGE_SIZE")
        assert grown < 1e8, big
    assert bool((buffer == 2).all())


def test_no_weights_are_drawn_before_they_are_compared() -> None:
    """Neither ours nor those of a language model that transformers builds: sizes only reserve memory."""
    from tadicodec.tts.folder import build_network
    from tadicodec.tts.model_config import parse_tts_config

    shape = {"codebook_size": 64, "code_features": 8, "duration_size": 32}
    small = {**LLAMA, "num_attention_heads": 2}
    for language in (small, {**small, "rms_norm_eps": 1e-5}):  # the second is not the Llama that this package has
        sizes = {"ar": {"transformers": language, **shape}}
        config = parse_tts_config({"engine": "ar", "text": "bytes", "model": sizes})
        before = torch.get_rng_state()
        with checkpoint.unfilled():
            network = build_network(config, inference=True)
        assert bool((torch.get_rng_state() == before).all()), type(network.lm)


def test_weights_beyond_the_memory(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "memory_bytes", lambda: 1000)
    with pytest.raises(InputError, match="GB of memory, this machine has"):
        Codec.from_pretrained(model)
    monkeypatch.undo()
    assert 1e8 < checkpoint.memory_bytes() < 1e15


@pytest.mark.parametrize("file", ["model.safetensors", "vocoder/model.safetensors"])
@pytest.mark.parametrize("value", [float("nan"), -float("inf")])
def test_weights_that_are_no_numbers(model: Path, file: str, value: float) -> None:
    tensors = load_file(model / file)
    name = sorted(name for name, tensor in tensors.items() if tensor.ndim == 2)[0]
    tensors[name][0, 0] = value
    save_file(tensors, model / file)
    with pytest.raises(InputError, match=f"{name} holds NaN or infinite"):
        Codec.from_pretrained(model)


@pytest.mark.parametrize("dtype", [torch.int32, torch.complex64, torch.bool, torch.uint8])
def test_weights_of_another_type(model: Path, dtype: torch.dtype) -> None:
    tensors = load_file(model / "model.safetensors")
    name = sorted(tensors)[0]
    save_file(tensors | {name: tensors[name].to(dtype)}, model / "model.safetensors")
    with pytest.raises(InputError, match=f"{name} is of type"):
        Codec.from_pretrained(model)


def test_speech_models_with_numbers_that_are_none(tmp_path: Path) -> None:
    from tadicodec.tts.folder import build_network
    from tadicodec.tts.model_config import parse_tts_config

    shape = {"hidden_size": 16, "num_layers": 1, "num_heads": 2, "cond_codebook_size": 64, "duration_size": 32}
    config = parse_tts_config({"text": "bytes", "model": {"mgm": {**shape, "phone_vocab_size": 256}}})
    network = build_network(config)
    with torch.no_grad():
        next(network.parameters()).fill_(float("inf"))
    save_tts(tmp_path / "model", config, network)
    with pytest.raises(InputError, match="NaN or infinite"):
        load_tts(tmp_path / "model")


def test_a_full_disk_leaves_nothing(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from safetensors import SafetensorError

    def full(*_: Any) -> None:
        raise SafetensorError("Error while serializing:\nI/O error: No space left on device (os error 28)")

    codec = Codec.from_pretrained(model)
    before = sorted(tmp_path.iterdir())
    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(InputError, match="cannot write .*No space left on device") as refused:
        codec.save_pretrained(tmp_path / "new")
    assert str(refused.value).isprintable() and sorted(tmp_path.iterdir()) == before
