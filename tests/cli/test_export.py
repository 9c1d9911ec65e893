"""`tadicodec export`, and --backend and --dtype of the commands that decode."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import soundfile

from tadicodec.runtime import encoding, speed


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "tadicodec"


def test_exports_a_codec_or_says_why_not(cli, tiny_model, tmp_path) -> None:
    pytest.importorskip("onnxruntime")
    result = cli("export", tiny_model, tmp_path / "out", "--json")
    assert result.code == 0, result.err
    assert {row["file"] for row in json.loads(result.text)["graphs"]} == {
        path.name for path in (tmp_path / "out").iterdir()
    }
    for model, arguments, message in (
        (tiny_model, [tmp_path / "out"], "exist"),
        ("bundled:masked", [tmp_path / "new"], "Llama"),
        (tmp_path / "none", [tmp_path / "new"], "none"),
        (tiny_model, [tmp_path / "new", "--bits", "3"], "--bits"),
    ):
        result = cli("export", model, *arguments)
        assert result.code == 2 and message in result.err and result.err.count("\n") == 1, result.err
    assert not (tmp_path / "new").exists()


def test_decodes_in_onnx_runtime(cli, tiny_model, make_wave, tmp_path, own_cache) -> None:
    pytest.importorskip("onnxruntime")
    wave = make_wave()
    for kind in ("torch", "onnx"):
        result = cli("reconstruct", wave, tmp_path / f"{kind}.wav", "--model", tiny_model, "--backend", kind)
        assert result.code == 0, result.err
    first, second = (soundfile.read(tmp_path / f"{kind}.wav")[0] for kind in ("torch", "onnx"))
    assert first.shape == second.shape and abs(first - second).max() < 1e-3
    assert list(own_cache.rglob("decoder.onnx"))


def test_encodes_in_onnx_runtime(cli, tiny_model, make_wave, tmp_path, own_cache, monkeypatch) -> None:
    pytest.importorskip("onnxruntime")
    wave = make_wave()
    for kind in ("torch", "onnx"):
        result = cli("encode", wave, tmp_path / f"{kind}.tdc", "--model", tiny_model, "--encode-backend", kind)
        assert result.code == 0, result.err
    assert (tmp_path / "torch.tdc").read_bytes() == (tmp_path / "onnx.tdc").read_bytes()
    assert list(own_cache.rglob("encoder.onnx"))
    monkeypatch.setattr(encoding, "remembered", lambda *_: {"onnx": 0.9})
    result = cli("encode", wave, tmp_path / "o.tdc", "--model", tiny_model, "--encode-backend", "onnx")
    assert result.code == 2 and "90.00 %" in result.err and not (tmp_path / "o.tdc").exists()


@pytest.mark.parametrize("times, warned, dtype", [(5.0, True, "float32"), (0.2, False, "bfloat16")])
def test_says_where_bfloat16_is_slower(cli, tiny_model, make_wave, tmp_path, monkeypatch, times, warned, dtype) -> None:
    monkeypatch.setattr(speed, "precisions", lambda: {"float32": 1.0, "bfloat16": times})
    given = ["reconstruct", make_wave(), tmp_path / "o.wav", "--model", tiny_model, "--device", "cpu", "--overwrite"]
    result = cli(*given, "--dtype", "bfloat16")
    assert result.code == 0 and ("5.0 times slower" in result.err) == warned
    assert cli(*given, "--dtype", "auto").code == 0
    assert str(speed.faster_precision()) == f"torch.{dtype}"
