"""Every method on the tiny codec, end to end: trained, converted, saved, loaded."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from tadicodec.codec import Codec
from tadicodec.data.feature_maker import prepare_features
from tadicodec.data.features import Features
from tadicodec.errors import InputError
from tadicodec.quant.codec_quantizer import quantize_codec, save_quantized
from tadicodec.quant.codec_tuning import Lessons, tune_codec
from tadicodec.quant.decode_loss import BUILT_IN, Decoded, decode_clips
from tadicodec.quant.job import Job
from tadicodec.quant.methods import METHODS
from tests.conftest import tiny_codec, voice
from tests.data.test_manifest import write_corpus

SETTINGS = {
    "lr_qat": {"bits": 4, "group": 16, "rank": 2},
    "l4q": {"bits": 4, "group": 16, "rank": 2},
    "teacher_intervention": {"bits": 2, "group": 16, "activation": {"bits": 8, "symmetric": True}},
    "zero_qat": {"bits": 4, "activation": {"bits": 8}, "variant": "scales"},
    "roste": {"bits": 4, "activation": {"bits": 4, "clip": 0.95}},
}


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> Features:
    folder = tmp_path_factory.mktemp("quant")
    prepare_features(write_corpus(folder), folder / "features")
    return Features(folder / "features", "train")


def job_of(method: str, **tuning: object) -> Job:
    return Job.from_sections(
        {
            "quantization": {"method": method, **SETTINGS[method]},
            "tuning": {"steps": 3, "intervene": 2, "frames": 200, **tuning},
        }
    )


@pytest.mark.parametrize("method", [name for name, method in METHODS.items() if method.trains])
def test_method_runs_and_the_result_loads(method: str, features: Features, tmp_path: Path) -> None:
    codec, job = tiny_codec(), job_of(method)
    result = quantize_codec(codec, job, features)
    again = quantize_codec(codec, job, features)
    for name, value in result.model.state_dict().items():
        assert torch.equal(value, again.model.state_dict()[name]), name  # deterministic
    save_quantized(result, tmp_path / "q", job)
    loaded, wave = Codec.from_pretrained(tmp_path / "q"), voice(0.5)
    speech = result.encode(wave, 24000, "ab")
    assert torch.equal(loaded.encode(wave, 24000, "ab").codes, speech.codes)
    torch.testing.assert_close(loaded.decode(speech), result.decode(speech))
    assert loaded.config.quantization["method"] == method


def test_training_that_diverges_is_not_saved(features: Features) -> None:
    codec = tiny_codec()
    codec.model.decoder.out_linear.weight.fill_(float("nan"))
    with pytest.raises(InputError, match="diverged at step 1; lower tuning.lr"):
        quantize_codec(codec, job_of("lr_qat"), features)


def test_everything_may_be_rounded(features: Features) -> None:
    job = Job.from_sections({"quantization": {"keep": []}})
    codec = quantize_codec(tiny_codec(), job)
    assert torch.isfinite(codec.reconstruct(voice(0.5), 24000, "ab")).all()


def test_interventions_need_their_teacher() -> None:
    with pytest.raises(InputError, match="learns from its teacher"):
        job_of("teacher_intervention", loss="codec")


def test_imitation_gets_better_and_is_zero_for_the_teacher(features: Features) -> None:
    codec, job = tiny_codec(), job_of("lr_qat")
    generator = torch.Generator().manual_seed(0)
    lessons = Lessons(codec, codec.model, job, features, generator)
    objective = next(lessons.objectives())
    with torch.no_grad():
        assert float(objective()) == pytest.approx(0, abs=1e-8)
        assert float(objective()) == float(objective())  # common random numbers


def test_own_loss_is_the_same_at_every_call(features: Features) -> None:
    codec, job = tiny_codec(), job_of("lr_qat", loss="codec")
    objective = next(Lessons(codec, codec.model, job, features, torch.Generator().manual_seed(0)).objectives())
    assert float(objective()) == float(objective()) > 0
    quantize_codec(codec, job, features)


# losses without gradients -------------------------------------------------------------------------------------------


def loudness(clips: Sequence[Decoded]) -> float:
    """A judge from outside the package."""
    return float(torch.stack([clip.wave.square().mean() for clip in clips]).mean())


def test_a_function_of_ones_own_is_the_loss(features: Features) -> None:
    job = job_of("zero_qat", loss=f"{__name__}:loudness", steps=2)
    codec, generator = tiny_codec(), torch.Generator().manual_seed(0)
    model = copy.deepcopy(codec.model)
    losses = tune_codec(codec, model, job, features, generator)
    assert len(losses) == 2 and all(loss > 0 for loss in losses)


def test_the_float_network_is_judged_as_it_decodes(features: Features) -> None:
    codec, clip = tiny_codec(), features.clips[0]
    mel = torch.from_numpy(features.mel(clip))
    (made,) = decode_clips(codec, codec.model, [(clip.text, mel)], torch.Generator().manual_seed(0))
    codes = codec.model.encode(made.mel[None])
    expected = codec.decode(codes, text=[clip.text], generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(made.wave, expected[0])
    assert made.text == clip.text and len(made.wave) == 480 * len(made.mel)


def test_judges_that_the_codec_has_itself() -> None:
    codec = tiny_codec(voice_size=8)
    wave = torch.from_numpy(voice(1.6))
    clip = Decoded(wave, "some words", codec.mel(wave)[0], codec)
    assert BUILT_IN["voice"]([clip]) == pytest.approx(0, abs=1e-4)
    assert BUILT_IN["words"]([clip]) > 0  # an untrained transcriber hears nothing


@pytest.mark.parametrize(
    ("method", "loss", "said"),
    [
        ("lr_qat", "words", "needs a loss with gradients"),
        ("zero_qat", "sound", "'module:function'"),
        ("zero_qat", "no_such_module:judge", "cannot be imported"),
        ("zero_qat", "math:no_such", "cannot be imported"),
        ("zero_qat", "math:pi", "is no function"),
    ],
)
def test_losses_that_do_not_fit_are_one_line(method: str, loss: str, said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        job_of(method, loss=loss)
    assert "\n" not in str(caught.value)
