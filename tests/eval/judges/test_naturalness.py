"""Estimators of naturalness: noise lowers the score, the same wave gets the same score, bad input."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from tadicodec.audio.files import read_audio
from tadicodec.errors import InputError
from tadicodec.eval.judges import naturalness
from tadicodec.eval.judges.naturalness import torchaudio_works
from tadicodec.eval.judges.panel import load_mos
from tadicodec.eval.judges.utmos import load_utmos
from tests.conftest import voice
from tests.eval.judges.published_layouts import TINY_WAV2VEC2, random_tensors
from tests.eval.judges.test_utmos import lightning_shapes, tiny_config

SAMPLE = Path(__file__).parents[3] / "samples" / "austen_1.flac"


@pytest.mark.parametrize(("name", "package"), [("distillmos", "xls_r_sqa"), ("dnsmos", "speechmos")])
def test_noise_lowers_the_score(name: str, package: str) -> None:
    if name == "dnsmos":
        pytest.importorskip("onnxruntime")
    pytest.importorskip(package)
    mos = load_mos(name)
    wave = read_audio(SAMPLE)[0][:48000]
    noisy = wave + np.random.default_rng(0).normal(0, 0.05, len(wave)).astype(np.float32)
    clean = mos(wave)
    assert 1 < mos(noisy) < clean < 5.2
    assert 1 < mos(wave[8000:13600]) < 5.2  # 0.35 s
    with pytest.raises(InputError, match="too short"):
        mos(wave[:100])
    assert {"distillmos": "DistillMOS 0", "dnsmos": "DNSMOS P.808"}[name] in mos.name
    if not torchaudio_works():
        assert "torchaudio" not in sys.modules


def test_a_file_is_utmos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save({"state_dict": random_tensors(lightning_shapes(TINY_WAV2VEC2, 3, 5, 7))}, tmp_path / "utmos.ckpt")
    monkeypatch.setattr(naturalness, "load_utmos", lambda path: load_utmos(path, tiny_config()))
    mos = load_mos(str(tmp_path / "utmos.ckpt"))
    score = mos(voice(1.0, 16000))
    assert isinstance(score, float) and score == mos(voice(1.0, 16000)) != mos(voice(0.35, 16000))
    assert mos.name == "UTMOS22 strong (utmos.ckpt)"
    with pytest.raises(InputError, match="silence"):
        mos(np.zeros(16000, np.float32))


def test_names_that_are_nothing() -> None:
    with pytest.raises(InputError, match="distillmos, dnsmos or the path"):
        load_mos("utmos")
