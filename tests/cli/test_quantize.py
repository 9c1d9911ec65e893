"""`tadicodec quantize`."""

from __future__ import annotations

import json

from tadicodec.codec import Codec


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
