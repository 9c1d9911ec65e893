"""Speaking in ONNX Runtime: the same codes as torch's, each model in the integers that it has."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tadicodec.quant.conversion import convert, prepare
from tadicodec.quant.quant_settings import QuantConfig
from tadicodec.runtime import backend
from tadicodec.runtime.backend import INT8, ONNX, TORCH
from tadicodec.tts.ar_sampler import ArSampling, generate_codes
from tadicodec.tts.autoregressive import SpeechLM
from tadicodec.tts.cache import CacheFormat
from tadicodec.tts.llama import SpeakingLlama
from tadicodec.tts.runtime_llama import RuntimeLlama, runtime_speaker
from tadicodec.tts.script import Script
from tests.tts.test_llama import pair

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


@pytest.fixture(autouse=True)
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is asked for is the fastest."""
    monkeypatch.setattr(backend, "fastest", lambda seconds, usual: [*seconds][-1])


def codes_of(lm: SpeakingLlama, network: SpeechLM, seed: int) -> torch.Tensor:
    script, prompt = Script(torch.tensor(list(b"one two three")), torch.arange(13) * 0.4, 12), torch.arange(5)
    generator = torch.Generator().manual_seed(seed)
    return generate_codes(lm, network.vocabulary, script, prompt, ArSampling(5, 0.7, 0.5), generator)


def test_the_same_codes_are_drawn(tmp_path: Path) -> None:
    _, network = pair()
    lm = runtime_speaker(network, ONNX, tmp_path)
    assert isinstance(lm, RuntimeLlama)
    for seed in range(3):
        assert torch.equal(codes_of(lm, network, seed), codes_of(network.expanded(), network, seed))


@pytest.mark.parametrize(("bits", "file"), [(4, "step-int4.onnx"), (8, "step-int8*.onnx")])
def test_a_packed_model_has_its_own_bits(bits: int, file: str, tmp_path: Path) -> None:
    _, network = pair()
    prepare(network, QuantConfig(bits=bits, group=0, layers=("*_proj",)), torch.Generator().manual_seed(0))
    lm = runtime_speaker(convert(network), INT8, tmp_path)
    assert lm is not None and len(codes_of(lm, network, 0))
    assert [*tmp_path.rglob(file)]


def test_what_has_no_graph_stays_in_torch(tmp_path: Path) -> None:
    theirs, ours = pair()
    assert runtime_speaker(ours, TORCH, tmp_path) is None and runtime_speaker(theirs, ONNX, tmp_path) is None
    ours.lm.cache = CacheFormat(4)  # which is asked for to save memory
    assert runtime_speaker(ours, ONNX, tmp_path) is None
