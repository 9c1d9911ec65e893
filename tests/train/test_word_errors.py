"""Words that validation counts."""

from __future__ import annotations

import pytest
import torch

from tadicodec.train.codec_objective import CodecObjective
from tadicodec.train.codec_task import CodecTask
from tadicodec.train.word_errors import edits, rate
from tests.conftest import tiny_config
from tests.train.test_codec_task import two_clips


def test_edits_are_the_fewest() -> None:
    assert edits(["a", "b", "c"], ["a", "b", "c"]) == 0
    assert edits(["a", "b", "c"], ["a", "x", "c", "d"]) == 2
    assert edits(["the", "cat", "sat"], ["cat", "sat"]) == 1
    assert edits([], ["a", "b"]) == 2 and edits(["a", "b"], []) == 2
    assert rate(["a b", "c d"], ["a b", "c"]) == pytest.approx(0.25) and rate([""], ["a"]) == 1


def test_validation_counts_words_and_training_does_not() -> None:
    torch.manual_seed(0)
    task = CodecTask(tiny_config(transcriber_layers=1), CodecObjective(transcript_weight=0.1))
    network = task.networks["codec"]

    def metrics() -> set[str]:
        ((_, _, found),) = task.losses(two_clips(), torch.Generator().manual_seed(0))
        return {name for name in found if name.startswith("errors/")}

    assert not metrics()
    network.eval()
    with torch.no_grad():
        assert metrics() == {"errors/own", "errors/text", "errors/codes"}
    said = torch.tensor([0] + [-9.0] * 28)  # writes spaces alone: every word is missing
    torch.nn.init.zeros_(network.codec.transcriber.out.weight)
    network.codec.transcriber.out.bias.data = said
    ((_, _, found),) = task.losses(two_clips(), torch.Generator().manual_seed(0))
    assert all(found[name] == 1 for name in ("errors/own", "errors/text", "errors/codes"))


def test_models_that_cannot_read_count_nothing() -> None:
    task = CodecTask(tiny_config(transcriber_layers=0), CodecObjective())
    task.networks["codec"].eval()
    ((_, _, found),) = task.losses(two_clips(), torch.Generator().manual_seed(0))
    assert not any(name.startswith("errors/") for name in found)
