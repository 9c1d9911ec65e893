"""Every part of the loss has a share, and a head behind the encoder moves all of it."""

from __future__ import annotations

import gradient_shares
import torch

from tadicodec.train.codec_objective import CodecObjective
from tadicodec.train.codec_task import CodecTask
from tests.conftest import tiny_config
from tests.train.test_codec_task import two_clips


def test_shares() -> None:
    torch.manual_seed(0)
    task = CodecTask(tiny_config(encoder_conv_layers=2), CodecObjective(early_weight=0.5, ctc_weight=0.0))
    torch.nn.init.normal_(task.networks["codec"].early.weight)
    found = gradient_shares.shares(task, two_clips(), torch.Generator().manual_seed(0))
    assert list(found) == ["first convolution", "last convolution", "attention"]
    assert found["first convolution"]["early"] > 0 and found["attention"]["early"] == 0
    assert found["attention"]["velocity"] > 0
