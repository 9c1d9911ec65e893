"""Encoding in ONNX Runtime: the same codes and transcripts, items by themselves, and a refusal where codes differ."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tadicodec.cli import options
from tadicodec.codec import Codec
from tadicodec.errors import InputError
from tadicodec.runtime import backend, encoding
from tadicodec.runtime.backend import INT8, ONNX, TORCH
from tadicodec.runtime.encoding import runtime_encoder
from tests.conftest import tiny_codec, voice

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


def in_runtime(codec: Codec, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Codec:
    """The same codec with its encoder in ONNX Runtime, however fast that is."""
    monkeypatch.setattr(backend, "fastest", lambda seconds, usual: ONNX)
    other = Codec(codec.config, codec.model, codec.vocoder, codec.tokenizer)
    other.encoder = runtime_encoder(other.encoder, ONNX, folder)
    assert other.encoder.model is not other.model
    return other


@pytest.mark.parametrize(
    "changes", [{}, {"encoder_conv_layers": 2}, {"encoder_conformer": True}, {"transcriber_layers": 1}]
)
def test_codes_transcripts_and_prompts(changes: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    codec = tiny_codec(**changes)
    other = in_runtime(codec, tmp_path, monkeypatch)
    waves = [voice(1.3), voice(0.8, seed=1), voice(0.5, seed=2)]
    expected, found = codec.encode(waves, 24000), other.encode(waves, 24000)
    assert torch.equal(found.codes, expected.codes) and found.text == expected.text
    for i, wave in enumerate(waves):
        alone = other.encode(wave, 24000)
        assert torch.equal(alone.codes[0], found.codes[i, : int(found.lengths[i])])
    assert torch.equal(
        other.encode_blocks([waves[0][:9000], waves[0][9000:]]).codes, codec.encode(waves[0], 24000).codes
    )
    assert torch.equal(other.prompt(waves[0], 24000).codes, codec.prompt(waves[0], 24000).codes)
    assert other.encoder.limits.weights == codec.weights and "forward" not in vars(codec.model.encoder)


def test_codes_are_compared_once(codec: Codec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_runtime(codec, tmp_path, monkeypatch)

    def never(*_: object) -> None:
        pytest.fail("compared again")

    monkeypatch.setattr(encoding, "share_alike", never)
    in_runtime(codec, tmp_path, monkeypatch)


def test_other_codes_are_refused(codec: Codec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = encoding.MelCalls.__call__
    monkeypatch.setattr(encoding.MelCalls, "__call__", lambda *given: -kept(*given))
    with pytest.raises(InputError, match="only 0.00 % of the codes"):
        runtime_encoder(codec.encoder, ONNX, tmp_path)


def test_the_command_line_offers_what_there_is() -> None:
    assert options.BACKENDS == backend.BACKENDS and options.ENCODE_BACKENDS == encoding.ENCODE_BACKENDS


def test_mistakes(codec: Codec) -> None:
    assert runtime_encoder(codec.encoder, TORCH) is codec.encoder
    with pytest.raises(InputError, match="there are torch, onnx"):
        runtime_encoder(codec.encoder, INT8)
