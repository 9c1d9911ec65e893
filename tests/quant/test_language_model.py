"""Speech language models in integers: what is packed, saved and loaded to the bit, and refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from tadicodec.errors import InputError
from tadicodec.integers.packed_linear import PackedLinear
from tadicodec.quant.language_model import language_job, quantize_language_model, save_language_model
from tadicodec.tts.cache import CacheFormat
from tadicodec.tts.folder import load_tts, save_tts
from tadicodec.tts.model_config import TtsConfig
from tests.tts.language import config_of

GROUP = {"quantization": {"bits": 4, "group": 16}}


def made(engine: str, folder: Path, **changes: object) -> tuple[TtsConfig, nn.Module]:
    from tadicodec.tts.folder import build_network

    torch.manual_seed(0)
    config = config_of(engine, **changes)
    save_tts(folder, config, build_network(config))
    return load_tts(folder)


def outputs(network: nn.Module) -> torch.Tensor:
    """What a network says about a short sequence."""
    ids, none = torch.arange(12)[None], torch.zeros(1, 12, dtype=torch.bool)
    with torch.inference_mode():
        if hasattr(network, "lm"):
            return network(ids, ids.float(), ~none, ~none, none)
        return network.logits(network.hidden(network.embed(ids, none), torch.ones(1), None))


@pytest.mark.parametrize("engine, changes", [("ar", {}), ("ar", {"model_type": "qwen2"}), ("masked", {})])
@pytest.mark.parametrize("sections", [GROUP, {}])
def test_loaded_is_what_was_saved_to_the_bit(engine: str, changes: dict, sections: dict, tmp_path: Path) -> None:
    if changes:
        pytest.importorskip("transformers")
    config, network = made(engine, tmp_path / "float", **changes)
    job = language_job(sections, config, network)
    config, result = quantize_language_model(config, network, job)
    save_language_model(tmp_path / "small", config, result, job)
    read, loaded = load_tts(tmp_path / "small")
    assert read.quantization == json.loads(json.dumps(config.quantization))
    packed = [name for name, layer in loaded.named_modules() if isinstance(layer, PackedLinear)]
    assert any("q_proj" in name for name in packed) and not any(name.startswith("duration") for name in packed)
    own, other = result.state_dict(), loaded.state_dict()
    assert own.keys() == other.keys() and all(torch.equal(own[name], other[name]) for name in own)
    assert torch.equal(outputs(result), outputs(loaded))
    assert not torch.equal(outputs(result), outputs(network))
    small, large = (sum(f.stat().st_size for f in (tmp_path / n).glob("*.safetensors")) for n in ("small", "float"))
    assert small < 0.5 * large


@pytest.mark.parametrize("kind", ["llama", "qwen2"])
def test_what_generates_is_quantized_too(kind: str, tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    config, network = made("ar", tmp_path / "float", model_type=kind)
    _, result = quantize_language_model(config, network, language_job(GROUP, config, network))
    speaking = result.expanded()
    assert any(isinstance(layer, PackedLinear) for layer in speaking.modules())


def test_scales_keep_their_precision_in_other_dtypes(tmp_path: Path) -> None:
    config, network = made("ar", tmp_path / "float")
    job = language_job(GROUP, config, network)
    save_language_model(tmp_path / "small", *quantize_language_model(config, network, job), job)
    exact, low = load_tts(tmp_path / "small")[1], load_tts(tmp_path / "small", torch.bfloat16)[1]
    for (name, layer), other in zip(exact.named_modules(), low.modules()):
        if isinstance(layer, PackedLinear):
            assert torch.equal(layer.scale, other.scale), name
    assert low.lm.embed_tokens.weight.dtype == torch.bfloat16
    assert torch.isfinite(outputs(low).float()).all()


def test_a_cache_in_four_bits_comes_back(tmp_path: Path) -> None:
    config, network = made("ar", tmp_path / "float")
    job = language_job({}, config, network)
    config, result = quantize_language_model(config, network, job, CacheFormat(4))
    save_language_model(tmp_path / "small", config, result, job)
    read, loaded = load_tts(tmp_path / "small")
    assert read.cache == CacheFormat(4) and loaded.lm.cache == CacheFormat(4)
    assert torch.equal(outputs(result), outputs(loaded))
    masked = made("masked", tmp_path / "masked")
    with pytest.raises(InputError, match="Llama"):
        quantize_language_model(*masked, language_job({}, *masked), CacheFormat(4))


def test_a_model_in_the_layout_of_transformers(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    from tests.tts.published_layout import write_published

    folder = write_published(tmp_path / "published")
    config, network = load_tts(folder)
    job = language_job(GROUP, config, network)
    config, result = quantize_language_model(config, network, job)
    save_language_model(tmp_path / "small", config, result, job, tokenizer=folder)
    read, loaded = load_tts(tmp_path / "small")
    assert read.text == config.text and torch.equal(outputs(result), outputs(loaded))


def test_mistakes(tmp_path: Path) -> None:
    config, network = made("masked", tmp_path / "float")
    for sections, message in (
        ({"quantization": {"method": "roste"}}, "rounded without training"),
        ({"vocoder": {"bits": 8}}, "no vocoder"),
        ({"quantization": {"bits": 4, "group": 7}}, "do not divide"),
    ):
        with pytest.raises(InputError, match=message):
            language_job(sections, config, network)
    job = language_job({}, config, network)
    again = quantize_language_model(config, network, job)
    with pytest.raises(InputError, match="quantized already"):
        language_job({}, *again)
