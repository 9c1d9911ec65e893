"""transformers loads, batches, saves and pushes the codec, and it gives what the codec gives."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

pytest.importorskip("transformers")

from transformers import AutoConfig, AutoFeatureExtractor, AutoModel, AutoModelForAudioTokenization

from tadicodec import Codec, InputError, hf
from tadicodec.audio.resample import resample
from tadicodec.hf import TadicodecConfig, TadicodecFeatureExtractor, TadicodecModel
from tests.conftest import tiny_codec, voice
from tests.hf.hub import local_hub

ROOT = Path(__file__).parents[2]


def sample(number: int) -> np.ndarray:
    """Real speech at 24 kHz."""
    return resample(*soundfile.read(ROOT / "samples" / f"austen_{number}.flac", dtype="float32"), 24000)


@pytest.fixture(scope="module")
def model() -> TadicodecModel:
    return AutoModelForAudioTokenization.from_pretrained(hf.BUNDLED)


@pytest.fixture(scope="module")
def features() -> TadicodecFeatureExtractor:
    return AutoFeatureExtractor.from_pretrained(hf.BUNDLED)


def test_auto_classes_know_a_codecs_folder(tiny_model: Path) -> None:
    for kind in (AutoModel, AutoModelForAudioTokenization):
        assert type(kind.from_pretrained(tiny_model)) is TadicodecModel
    config = AutoConfig.from_pretrained(tiny_model)
    assert type(config) is TadicodecConfig and config.to_codec() == tiny_codec().config
    assert (config.sampling_rate, config.codebook_size, config.frame_rate, config.hop_length) == (
        24000,
        2**14,
        6.25,
        3840,
    )
    assert type(AutoFeatureExtractor.from_pretrained(tiny_model)) is TadicodecFeatureExtractor


def test_codes_are_the_codecs_and_batches_are_singles(model, features) -> None:
    codec, waves = Codec.from_pretrained(), [sample(2), sample(5), sample(4)]
    batch = features(waves, sampling_rate=24000, return_tensors="pt")
    assert batch.input_values.shape == (3, 1, max(map(len, waves))) and batch.padding_mask.shape == (
        3,
        max(map(len, waves)),
    )
    together = model.encode(**batch)
    assert together.audio_codes.ndim == 3 and together.audio_codes.shape == together.audio_codes_mask.shape
    generators = [torch.Generator().manual_seed(i) for i in range(3)]
    made = model.decode(**together, padding_mask=batch.padding_mask, generator=generators).audio_values
    assert made.shape == batch.input_values.shape
    for i, wave in enumerate(waves):
        speech = codec.encode(wave, 24000)
        count = int(together.audio_codes_mask[i].sum())
        assert torch.equal(together.audio_codes[i, 0, :count], speech.codes[0]) and together.text[i] == speech.text[0]
        assert not together.audio_codes[i, 0, count:].any()
        alone = model.encode(**features(wave, sampling_rate=24000, return_tensors="pt"))
        assert torch.equal(alone.audio_codes[0], together.audio_codes[i, :, :count])
        out = codec.decode(speech, generator=torch.Generator().manual_seed(i))[0]
        torch.testing.assert_close(made[i, 0, : len(wave)], out, atol=1e-4, rtol=1e-3)
        assert not made[i, 0, len(wave) :].any()


def test_forward_is_both_ways(features) -> None:
    model = TadicodecModel.from_codec(tiny_codec())
    batch = features([voice(0.6), voice(1.0, pitch=90)], sampling_rate=24000, return_tensors="pt")
    out = model(**batch, text=["one", "two"])
    assert list(out) == ["audio_values", "audio_codes", "audio_codes_mask"] and out.audio_values.shape == (2, 1, 24000)
    again = model(batch.input_values, batch.padding_mask, out.audio_codes, out.audio_codes_mask, ["one", "two"])
    assert torch.equal(again.audio_values, out.audio_values)
    values, codes, _ = model(**batch, text=["one", "two"], return_dict=False)
    assert torch.equal(values, out.audio_values) and torch.equal(codes, out.audio_codes)


def test_saved_is_loaded(tmp_path: Path, features) -> None:
    model = TadicodecModel.from_codec(tiny_codec())
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "notes.txt").write_text("kept")
    model.save_pretrained(tmp_path / "m")
    model.save_pretrained(tmp_path / "m")  # as a trainer does, over and over
    features.save_pretrained(tmp_path / "m")
    loaded = AutoModel.from_pretrained(tmp_path / "m")
    batch = AutoFeatureExtractor.from_pretrained(tmp_path / "m")(voice(1.0), sampling_rate=24000, return_tensors="pt")
    assert loaded.config.to_dict() == {**model.config.to_dict(), "_name_or_path": loaded.config._name_or_path} or (
        loaded.config.to_codec() == model.config.to_codec()
    )
    assert torch.equal(loaded(**batch).audio_values, model(**batch).audio_values)
    assert Codec.from_pretrained(tmp_path / "m").weights == model.codec.weights  # one layout serves all
    assert (tmp_path / "m" / "notes.txt").read_text() == "kept"
    assert not [path for path in (tmp_path / "m").rglob("*") if path.suffix in (".py", ".bin")]
    _, info = TadicodecModel.from_pretrained(tmp_path / "m", output_loading_info=True)
    assert not info["missing_keys"]


def test_precision_and_device_are_the_codecs() -> None:
    model = AutoModel.from_pretrained(hf.BUNDLED, dtype=torch.bfloat16, device_map="cpu")
    codes = model.encode(torch.from_numpy(sample(5))[None]).audio_codes
    assert model.dtype == torch.bfloat16 and torch.equal(
        codes, model.float().encode(torch.from_numpy(sample(5))[None])[0]
    )
    assert model.to("cpu", torch.float16).dtype == torch.float16 and model.device.type == "cpu"


def test_a_model_from_a_configuration_has_random_weights() -> None:
    config = TadicodecConfig.from_codec(tiny_codec().config)
    model = AutoModel.from_config(config)
    assert model.encode(torch.from_numpy(voice(0.5))[None]).audio_codes.shape == (1, 1, 4)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda m: m.encode(np.zeros(100)), "input_values is a tensor"),
        (lambda m: m.encode(torch.zeros(1, 2, 100)), "input_values is a tensor"),
        (lambda m: m.decode(torch.zeros(1, 8, 3, dtype=torch.long)), "audio_codes is a tensor"),
        (lambda m: m.decode(torch.full((1, 1, 3), 16384)), "0..16383"),
        (lambda m: TadicodecModel.from_pretrained("no/such/folder"), "cannot be fetched"),
        (lambda m: TadicodecModel.from_pretrained(hf.BUNDLED, load_in_9bit=True), "no option 'load_in_9bit'"),
        (lambda m: TadicodecModel.from_pretrained(hf.BUNDLED, device_map={"a": 0}), "one piece"),
        (lambda m: TadicodecModel.from_pretrained(hf.BUNDLED, dtype="int8"), "dtype"),
    ],
)
def test_mistakes_are_one_line(model: TadicodecModel, call, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        call(model)
    assert "\n" not in str(caught.value)


def test_feature_extractor_refuses_what_it_cannot_take(features) -> None:
    with pytest.raises(ValueError, match="resample"):
        features(voice(0.2), sampling_rate=16000)
    with pytest.raises(ValueError, match="average its channels"):
        features(np.zeros((2, 100)), sampling_rate=24000)


def test_nothing_else_needs_transformers() -> None:
    code = "import sys, tadicodec; tadicodec.Codec; print('transformers' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    assert subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True).stdout == b"False\n"


def test_push_and_fetch(tmp_path: Path) -> None:
    """To a hub on this machine and back, by an id."""
    TadicodecModel.from_codec(tiny_codec()).save_pretrained(tmp_path / "tiny")
    code = f"""
import tadicodec.hf, torch
from transformers import AutoFeatureExtractor, AutoModel
model = AutoModel.from_pretrained({str(tmp_path / "tiny")!r})
model.push_to_hub("me/tiny", token="hf_not_a_secret")
AutoFeatureExtractor.from_pretrained({str(tmp_path / "tiny")!r}).push_to_hub("me/tiny", token="hf_not_a_secret")
fetched, features = AutoModel.from_pretrained("me/tiny"), AutoFeatureExtractor.from_pretrained("me/tiny")
wave = torch.sin(torch.arange(24000) / 20)
batch = features(wave.numpy(), sampling_rate=24000, return_tensors="pt")
assert torch.equal(model.encode(**batch).audio_codes, fetched.encode(**batch).audio_codes)
"""
    with local_hub() as hub:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home")}
        environment |= {"HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
        run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
        assert run.returncode == 0, run.stderr[-2000:]
        pushed = hub.repositories["me/tiny"]
    assert {"config.json", "preprocessor_config.json", "model.safetensors", "vocoder/model.safetensors"} <= set(pushed)
    assert json.loads(pushed["config.json"])["model_type"] == "tadicodec"
    assert not [name for name in pushed if name.endswith(".py")]
