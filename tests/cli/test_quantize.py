"""`tadicodec quantize`."""

from __future__ import annotations

import json

from tadicodec.codec import Codec
from tadicodec.tts.folder import load_tts
from tests.data.test_manifest import write_corpus


def test_quantizes_without_data(cli, tiny_model, tmp_path) -> None:
    result = cli("quantize", tiny_model, tmp_path / "q", "--bits", "4", "--group", "16", "--json")
    assert result.code == 0, result.err
    found = json.loads(result.text)
    assert found["method"] == "glm" and found["model"]["share"] < 0.5
    assert Codec.from_pretrained(tmp_path / "q").config.quantization["bits"] == 4
    assert cli("info", tmp_path / "q").code == 0


def test_mistakes_are_one_line(cli, tiny_model, tmp_path) -> None:
    out = tmp_path / "q"
    for arguments, message in (
        (["--bits", "1"], "bits are 2 to 8"),
        (["--bits", "4", "--group", "7"], "do not divide"),
        (["--method", "lr_qat"], "--data"),
        (["--method", "gptq"], "gptq"),
        (["--recipe", tmp_path / "none.yaml"], "none.yaml"),
        (["--steps", "-1", "--method", "glm"], "steps"),
    ):
        result = cli("quantize", tiny_model, out, *arguments)
        assert result.code == 2 and message in result.err and result.err.count("\n") == 1, result.err
        assert not out.exists()
    assert cli("quantize", tiny_model, out).code == 0
    result = cli("quantize", tiny_model, out)
    assert result.code == 2 and "exists" in result.err
    assert cli("quantize", tiny_model, out, "--overwrite").code == 0
    result = cli("quantize", out, tmp_path / "r")
    assert result.code == 2 and "quantized already" in result.err


def test_trains_on_a_manifest(cli, tiny_model, tmp_path) -> None:
    manifest = write_corpus(tmp_path / "corpus", 4)
    recipe = tmp_path / "r.yaml"
    recipe.write_text("quantization: {method: lr_qat, rank: 2}\ntuning: {frames: 300}\n")
    options = ["--bits", "4", "--group", "16", "--data", manifest, "--steps", "2", "--recipe", recipe, "--tabulate"]
    result = cli("quantize", tiny_model, tmp_path / "q", *options)
    assert result.code == 0, result.err
    assert "lr_qat, 4 bits" in result.text and "% of float32's" in result.text
    assert Codec.from_pretrained(tmp_path / "q").config.quantization["method"] == "lr_qat"
    result = cli("quantize", tiny_model, tmp_path / "r", "--method", "l4q", "--data", tmp_path / "none.jsonl")
    assert result.code == 2 and "none.jsonl" in result.err


def test_quantizes_speech_language_models(cli, tmp_path) -> None:
    result = cli("quantize", "bundled:ar", tmp_path / "ar", "--bits", "4", "--cache-bits", "4", "--json")
    assert result.code == 0, result.err
    assert json.loads(result.text)["model"]["share"] < 0.2
    config, network = load_tts(tmp_path / "ar")
    assert config.cache.bits == 4 and config.quantization["bits"] == 4
    assert cli("quantize", "bundled:masked", tmp_path / "masked").code == 0
    again = cli("quantize", tmp_path / "ar", tmp_path / "again")
    assert again.code == 2 and "quantized already" in again.err


def test_what_does_not_fit_a_kind_of_model_is_one_line(cli, tiny_model, tmp_path) -> None:
    out = tmp_path / "q"
    for model, arguments, message in (
        ("bundled:ar", ["--method", "roste", "--data", "x"], "--data"),
        ("bundled:ar", ["--method", "roste"], "rounded without training"),
        ("bundled:ar", ["--tabulate"], "--tabulate"),
        ("bundled:ar", ["--cache-bits", "3"], "2, 4 or 8"),
        ("bundled:masked", ["--cache-bits", "4"], "Llama"),
        ("bundled:none", [], "none"),
        (tiny_model, ["--cache-bits", "4"], "--cache-bits"),
    ):
        result = cli("quantize", model, out, *arguments)
        assert result.code == 2 and message in result.err and result.err.count("\n") == 1, result.err
        assert not out.exists()
