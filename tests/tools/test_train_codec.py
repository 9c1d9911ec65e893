"""The stages of the codec in order: resumed in the middle, codes kept from the rounding on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import round_codec
import torch
import train_codec
import yaml

from tadicodec.codec import Codec
from tadicodec.config import VocoderConfig
from tadicodec.data.feature_maker import prepare_features
from tadicodec.errors import InputError
from tadicodec.integers.stored_matrix import from_integers, to_integers
from tadicodec.model.vocoder import Vocoder
from tadicodec.train.state import checkpoints
from tests.conftest import tiny_codec
from tests.data.test_manifest import write_corpus
from tests.train.test_loop import TINY

VOCODER = {"dim": 8, "intermediate_dim": 8, "num_layers": 1}


@pytest.fixture
def recipes(tmp_path: Path) -> list[str]:
    """Command-line arguments for tiny stages."""
    prepare_features(write_corpus(tmp_path / "corpus"), tmp_path / "features")
    common = {"out": "", "precision": "float32", "data": {"frames": 200, "max_frames": 200}}
    common |= {"loop": {"steps": 4, "valid_every": 4, "valid_batches": 1}}
    shape = {"tadicodec": TINY, "vocos": VOCODER}
    inference = {"steps": 2, "guidance": 2.0, "piece_seconds": 4.0}
    model = {"name": "tiny", "text_tokenizer": "bytes", "inference": inference, "preprocess": {}, "model": shape}
    first = {**common, "task": "codec", "model": model, "objective": {"ctc_weight": 0.1, "transcript_weight": 0.1}}
    second = {**common, "task": "codec", "model": model, "objective": {"part": "decoder", "entropy_weight": 0.0}}
    last = {**common, "task": "few_step", "model": {"pretrained": "bundled"}, "objective": {"steps": 1}}
    for name, document in (("first", first), ("second", second), ("last", last)):
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(document))
    places = [str(tmp_path / "features"), str(tmp_path / "runs")]
    return [*places, "--recipe", str(tmp_path / "first.yaml"), "--few-step", str(tmp_path / "last.yaml")]


def write_vocoder(folder: Path) -> Path:
    """What a vocoder run exports."""
    from safetensors.torch import save_file

    folder.mkdir()
    save_file(Vocoder(VocoderConfig(**VOCODER)).state_dict(), folder / "vocoder.safetensors")
    (folder / "vocoder.json").write_text(json.dumps(VOCODER))
    return folder


def test_stages_follow_each_other_and_resume(recipes: list[str], tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    runs, out = tmp_path / "runs", tmp_path / "model"
    recipes = [*recipes, "--decoder", str(tmp_path / "second.yaml")]
    whole = [*recipes, "--vocoder", str(write_vocoder(tmp_path / "vocoder")), "--out", str(out)]
    assert train_codec.main([*whole, "--minutes", "1e-9"]) == 0  # one step of the first stage
    assert "1 of 4 steps" in capsys.readouterr().err and not (runs / "rounded").exists()
    assert train_codec.main(whole) == 0
    steps = [checkpoints(runs / stage / "checkpoints")[-1].name for stage in ("codec", "decoder", "few-step")]
    assert steps == ["step-00000004"] * 3
    rounded, made = Codec.from_pretrained(runs / "rounded"), Codec.from_pretrained(out)
    assert made.config.inference.solver.steps == 1
    assert made.weights == rounded.weights  # of what makes codes
    before, after = rounded.model.state_dict(), made.model.state_dict()
    for name in ("encoder.in_linear.weight", "aligner.spread.weight", "transcriber.out.weight"):
        assert torch.equal(before[name], after[name])
    assert not torch.equal(before["decoder.in_linear.weight"], after["decoder.in_linear.weight"])
    written = (out / "model.safetensors").stat().st_mtime_ns
    assert train_codec.main(recipes) == 0  # all there: nothing to train
    assert (out / "model.safetensors").stat().st_mtime_ns == written


def test_rounding_is_what_eight_bits_hold(tmp_path: Path) -> None:
    tiny_codec().save_pretrained(tmp_path / "made")
    round_codec.round_codec(tmp_path / "made", tmp_path / "rounded")
    codec = Codec.from_pretrained(tmp_path / "rounded").model
    for layer in (codec.encoder.layers[0].mlp.up_proj, codec.transcriber.out, codec.aligner.spread):
        assert torch.equal(from_integers(*to_integers(layer.weight)), layer.weight)
    assert torch.equal(codec.vq_in_linear.weight, codec.vq_in_linear.weight.half().float())
    round_codec.round_codec(tmp_path / "rounded", tmp_path / "again")
    again = Codec.from_pretrained(tmp_path / "again").model.state_dict()
    assert all(torch.equal(value, again[name]) for name, value in codec.state_dict().items())


def test_what_is_stored_in_integers_is_rounded_already(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(InputError, match="no such model"):
        round_codec.round_codec(tmp_path / "none", tmp_path / "out")
    assert train_codec.main([str(tmp_path / "none"), str(tmp_path / "runs")]) == 2
    assert "tadicodec prepare" in capsys.readouterr().err
