"""A faster precision is taken where the mel stays near, and nowhere else."""

from __future__ import annotations

import pytest
import torch

from tadicodec.codec import Codec
from tadicodec.config import SolverConfig
from tadicodec.runtime import precision
from tests.conftest import tiny_codec

SOLVER = SolverConfig(steps=2, guidance=1.0)


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "faster_precision", lambda: torch.bfloat16)


def test_the_bundled_decoder_may_run_in_bfloat16() -> None:
    codec = Codec.from_pretrained()
    assert 0 < precision.mel_error(codec.model, codec.limits.solver(), torch.bfloat16) < precision.MOST
    assert precision.decoding_precision(codec.model, codec.limits.solver()) == torch.bfloat16


@pytest.mark.parametrize("error, dtype", [(0.019, "bfloat16"), (0.021, "float32"), (float("nan"), "float32")])
def test_the_mel_decides(error: float, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "mel_error", lambda *arguments: error)
    assert str(precision.decoding_precision(tiny_codec().model, SOLVER)) == f"torch.{dtype}"


def test_the_error_of_float32_itself_is_none() -> None:
    assert precision.mel_error(tiny_codec().model, SOLVER, torch.float32) == 0


def test_what_is_decoded_afterwards_is_what_was_before() -> None:
    model, noise = tiny_codec().model, torch.randn(1, 32, 128)
    before = model.decode(torch.tensor([[1, 2, 3, 4]]), noise, SOLVER)
    precision.mel_error(model, SOLVER, torch.bfloat16)
    assert torch.equal(before, model.decode(torch.tensor([[1, 2, 3, 4]]), noise, SOLVER))


def test_nothing_is_measured_where_float32_is_as_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "faster_precision", lambda: torch.float32)
    monkeypatch.setattr(precision, "mel_error", lambda *arguments: 1 / 0)
    assert precision.decoding_precision(tiny_codec().model, SOLVER) == torch.float32
