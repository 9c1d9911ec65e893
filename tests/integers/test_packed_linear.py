"""prepare, convert, and the packed layer: integers in, the same integers out, from memory and from disk."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from tadicodec.codec import Codec
from tadicodec.errors import InputError
from tadicodec.integers.layout import describe, restore
from tadicodec.integers.packed_linear import Format, Integers, PackedLinear
from tadicodec.model.decoder import time_embedding
from tadicodec.model.flow import evaluation_times
from tadicodec.quant.codec_quantizer import quantize_codec, save_quantized, sizes
from tadicodec.quant.conversion import convert, each_trained, prepare
from tadicodec.quant.glm import nearest
from tadicodec.quant.job import Job
from tadicodec.quant.quant_settings import QuantConfig, TuneConfig
from tests.conftest import tiny_codec, voice
from tests.integers.test_primitives import generator, normal


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(32, 48), nn.SiLU(), nn.Linear(48, 16, bias=False), nn.Linear(16, 4)).eval()


@pytest.mark.parametrize("bits", [2, 3, 4, 5, 8])
@pytest.mark.parametrize("zero", [False, True])
@pytest.mark.parametrize("inputs", [6, 9])
def test_dequantized_pack_is_scale_times_levels(bits: int, zero: bool, inputs: int) -> None:
    low = 0 if zero else -(2 ** (bits - 1))
    levels = torch.randint(low, low + 2**bits, (5, inputs), generator=generator())
    scale = normal(5, inputs // 3, 1).abs()
    offset = torch.randint(2**bits, (5, inputs // 3, 1), generator=generator()).float() if zero else None
    layer = PackedLinear.of(Integers(levels, scale, offset), None, Format(bits, 3, "float32", zero=zero))
    assert torch.equal(layer.levels().long(), levels)
    expected = (levels.unflatten(-1, (-1, 3)) - (0 if offset is None else offset)) * scale
    assert torch.equal(layer.weight(), expected.flatten(-2))


def test_glm_rule_by_hand() -> None:
    weight = torch.tensor([[0.7, -0.33, 0.051, 0.0], [0.0, 0.0, 0.0, 0.0]])
    found = nearest(weight, Format(4, scale="float16"))
    assert found.levels.tolist() == [[7, -3, 1, 0], [0, 0, 0, 0]]
    assert found.scale[0].item() == torch.tensor(0.1).half().item() and torch.isfinite(found.weight()).all()


def test_prepare_and_convert_follow_one_config() -> None:
    model, x = network(), normal(3, 32)
    config = QuantConfig(bits=4, group=8, layers=("0", "2"), keep=("2",), other_bits=8)
    prepare(model, config, generator())
    prepared = model(x)
    assert len(each_trained(model)) == 1 and type(model[2]) is nn.Linear and isinstance(model[3], PackedLinear)
    convert(model)
    assert isinstance(model[0], PackedLinear) and model[0].form.bits == 4 and model[3].form.bits == 8
    assert torch.equal(model(x), prepared) and not each_trained(model)
    assert not any(p.requires_grad for p in model.parameters())


def test_described_network_is_restored_exactly() -> None:
    model, x = network(), normal(3, 32)
    convert(prepare(model, QuantConfig(bits=4, group=16), generator()))
    description = json.loads(json.dumps(describe(model)))
    assert {(e["bits"], e["group"], e["packing"]) for e in description} == {(4, 16, "low-first")}
    with torch.device("meta"):
        empty = network()
    restore(empty, description).to_empty(device="cpu").load_state_dict(model.state_dict())
    assert torch.equal(empty(x), model(x))


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(InputError, match="groups of 32 do not divide the 48 inputs of 2"):
        prepare(network(), QuantConfig(bits=4, group=32), generator())
    with pytest.raises(InputError, match="no layer named q_proj"):
        prepare(network(), QuantConfig(layers=("q_proj",)), generator())
    with pytest.raises(InputError, match="no layer named 2."):
        prepare(network(), QuantConfig(keep=("2.",)), generator())  # a slip would round what was to be kept
    with pytest.raises(InputError, match="not under keep"):
        prepare(network(), QuantConfig(keep=("*",)), generator())
    description = describe(convert(prepare(network(), QuantConfig(), generator())))
    for change, message in (
        ({"packing": "high-first"}, "packing 'high-first' is not supported"),
        ({"layers": ["7"]}, "7 is quantized, but this model has no such"),
        ({"bits": 1}, "bits are 2 to 8"),
        ({"group": 7}, "do not divide"),
        ({"layers": 3}, "damaged"),
    ):
        with pytest.raises(InputError, match=message):
            restore(network(), [{**description[0], **change}])


@pytest.mark.parametrize(
    "bad",
    [
        {"method": "gptq"},
        {"bits": 1},
        {"bits": "four"},
        {"group": -1},
        {"layers": "*"},
        {"layers": [1]},
        {"colour": 1},
        {"activation": {"bits": 1}},
        {"activation": 8},
        {"rank": 0},
        {"scale": "int8"},
    ],
)
def test_bad_configs_are_refused(bad: dict) -> None:
    with pytest.raises(InputError):
        QuantConfig.from_dict(bad)


def test_bad_tunings_are_refused() -> None:
    for bad in (
        {"steps": -1},
        {"lr": -1.0},
        {"seed": -1},
        {"loss": "mse"},
        {"mode": "x"},
        {"warmup": 2.0},
        {"stepz": 3},
        {"flips": 0.0},
    ):
        with pytest.raises(InputError):
            TuneConfig.from_dict(bad)


def test_embeddings_and_convolutions_are_left_alone() -> None:
    codec = tiny_codec()
    names = {
        name for entry in describe(quantize_codec(codec, Job.from_sections({})).vocoder) for name in entry["layers"]
    }
    assert names == {"backbone.convnext.0.pwconv1", "backbone.convnext.0.pwconv2"}


@pytest.mark.parametrize("bits", [4, 8])
def test_quantized_codec_loads_as_saved(bits: int, tmp_path: Path) -> None:
    codec = tiny_codec()
    job = Job.from_sections({"quantization": {"bits": bits, "group": 0 if bits == 8 else 16}})
    result = quantize_codec(codec, job)
    save_quantized(result, tmp_path / "q", job)
    loaded = Codec.from_pretrained(tmp_path / "q")
    wave = voice(1.0)
    assert torch.equal(loaded.encode(wave, 24000).codes, result.encode(wave, 24000).codes)
    speech = result.encode(wave, 24000, "hello")
    assert torch.equal(loaded.decode(speech), result.decode(speech))
    section = json.loads((tmp_path / "q" / "config.json").read_text())["quantization"]
    assert section["method"] == "glm" and section["bits"] == bits and section["model"][0]["packing"] == "low-first"
    share = sizes(codec, result, job)["model"]
    assert share["bytes"] < 0.5 * share["float32_bytes"]
    disk = (tmp_path / "q" / "model.safetensors").stat().st_size
    assert share["bytes"] <= disk < share["bytes"] + 40_000  # the rest is the file's own table
    loaded.save_pretrained(tmp_path / "again")
    assert torch.equal(Codec.from_pretrained(tmp_path / "again").decode(speech), result.decode(speech))
    with pytest.raises(InputError, match="quantized already"):
        quantize_codec(loaded, job)


def test_eight_bits_change_little_and_keep_the_original() -> None:
    codec = tiny_codec()
    before = copy.deepcopy(codec.model.state_dict())
    result = quantize_codec(codec, Job.from_sections({}))
    assert all(torch.equal(before[name], value) for name, value in codec.model.state_dict().items())
    mel = codec.mel(voice(2.0))
    latents, rounded = codec.model.latents(mel), result.model.latents(mel)
    assert (latents - rounded).norm() < 0.05 * latents.norm()
    assert result.weights != codec.weights  # codes of one are not codes of the other


def test_a_folder_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    job = Job.from_sections({})
    save_quantized(quantize_codec(tiny_codec(), job), tmp_path / "q", job)
    path = tmp_path / "q" / "config.json"
    document = json.loads(path.read_text())
    for change in ({"group": 2}, {"bits": 4}):
        damaged = copy.deepcopy(document)
        damaged["quantization"]["model"][0].update(change)
        path.write_text(json.dumps(damaged))
        with pytest.raises(InputError, match="does not fit its config.json"):
            Codec.from_pretrained(tmp_path / "q")
    path.write_text(json.dumps({**document, "quantization": 3}))
    with pytest.raises(InputError, match="quantization is a section"):
        Codec.from_pretrained(tmp_path / "q")
    del document["quantization"]
    path.write_text(json.dumps(document))
    with pytest.raises(InputError, match="does not fit its config.json"):
        Codec.from_pretrained(tmp_path / "q")


def test_tabulated_times_give_the_same_wave_at_the_models_own_steps(tmp_path: Path) -> None:
    codec = tiny_codec()
    section = {"quantization": {"scale": "float32"}}
    plain, job = Job.from_sections(section), Job.from_sections(section, tabulate=True)
    result = quantize_codec(codec, job)
    save_quantized(result, tmp_path / "q", job)
    loaded = Codec.from_pretrained(tmp_path / "q")
    gains = [name for name in loaded.model.state_dict() if name.endswith("to_weight.rows")]
    assert len(gains) == 2 * codec.config.autoencoder.decoder_num_layers + 1
    time = torch.tensor(evaluation_times(codec.limits.solver()))
    norm = codec.model.decoder.norm.to_weight
    embedded = codec.model.decoder.diff_step_mlp(time_embedding(time, codec.config.autoencoder.hidden_size))
    table = loaded.model.decoder.norm.to_weight(loaded.model.decoder.diff_step_mlp(time_embedding(time, 32)))
    torch.testing.assert_close(table, norm(embedded))
    speech = loaded.encode(voice(0.5), 24000, "ab")
    assert torch.equal(loaded.decode(speech), result.decode(speech))
    assert (
        sizes(codec, result, job)["model"]["bytes"]
        < sizes(codec, quantize_codec(codec, plain), plain)["model"]["bytes"]
    )
    with pytest.raises(InputError, match="tabulated"):
        loaded.decode(speech, steps=7)


def test_a_packed_vocoder_stays_as_it_is() -> None:
    codec = tiny_codec()
    vocoder = QuantConfig(layers=("*pwconv*",))
    packed = convert(prepare(copy.deepcopy(codec.vocoder), vocoder, torch.Generator()))
    config = replace(codec.config, quantization={"vocoder": describe(packed)})
    result = quantize_codec(Codec(config, codec.model, packed, codec.tokenizer), Job.from_sections({}))
    assert result.config.quantization["vocoder"] == describe(packed) and result.config.quantization["model"]
    for name, value in packed.state_dict().items():
        assert torch.equal(value.to(torch.float16), result.vocoder.state_dict()[name].to(torch.float16))
