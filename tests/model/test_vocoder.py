"""The vocoder's wide products in other forms: packed layers are unpacked once, and layers put in afterwards count."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from tadicodec.integers.activation import Activation
from tadicodec.integers.packed_linear import Format, PackedLinear
from tadicodec.model.vocoder import Vocoder, lower
from tadicodec.quant.glm import round_linear
from tests.conftest import tiny_codec


def packed_vocoder(form: Format) -> Vocoder:
    vocoder = tiny_codec().vocoder
    for block in vocoder.backbone.convnext:
        block.pwconv1, block.pwconv2 = round_linear(block.pwconv1, form), round_linear(block.pwconv2, form)
    return vocoder


@torch.inference_mode()
def test_unpacked_once_sounds_as_unpacked_at_every_call(monkeypatch: pytest.MonkeyPatch) -> None:
    vocoder, mel = packed_vocoder(Format(8)), torch.randn(1, 16, 128)
    before = vocoder(mel)
    lower(vocoder, torch.float32)
    monkeypatch.setattr(PackedLinear, "forward", lambda *arguments: 1 / 0)
    assert torch.equal(vocoder(mel), before)


@torch.inference_mode()
def test_packed_layers_run_in_bfloat16() -> None:
    vocoder, mel = packed_vocoder(Format(8)), torch.randn(1, 16, 128)
    before = vocoder(mel)
    lower(vocoder, torch.bfloat16)
    after = vocoder(mel)
    assert not torch.equal(after, before)
    torch.testing.assert_close(after, before, atol=0.05, rtol=0.05)


@torch.inference_mode()
def test_layers_that_round_their_input_stay() -> None:
    vocoder, mel = packed_vocoder(Format(8, activation=Activation(8))), torch.randn(1, 16, 128)
    before = vocoder(mel)
    lower(vocoder, torch.bfloat16)
    assert torch.equal(vocoder(mel), before)


@torch.inference_mode()
def test_a_layer_put_in_afterwards_counts() -> None:
    vocoder, mel = packed_vocoder(Format(8)), torch.randn(1, 16, 128)
    lower(vocoder, torch.bfloat16)
    block = vocoder.backbone.convnext[0]
    block.pwconv1 = nn.Linear(block.pwconv1.in_features, block.pwconv1.out_features)
    changed = vocoder(mel)
    plain = copy.deepcopy(vocoder)
    plain.backbone.convnext[0].low = None
    assert torch.equal(changed, plain(mel))
