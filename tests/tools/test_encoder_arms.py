"""Arms of the encoder learn from a source's clips and say how far they are."""

from __future__ import annotations

from pathlib import Path

import encoder_arms
import pytest
import torch

from tadicodec.data.feature_maker import prepare_features
from tests.data.test_manifest import write_corpus


def test_an_arm_says_how_far_it_is(tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch) -> None:
    prepare_features(write_corpus(tmp_path / "corpus"), tmp_path / "features")
    monkeypatch.setattr(encoder_arms, "HELD", 1)
    source = encoder_arms.Features(tmp_path / "features", "train").clips[0].source
    threads, name = torch.get_num_threads(), "6 convolutions, 3 blocks"
    encoder_arms.main([str(tmp_path / "features"), "--source", source, "--seconds", "0", "--arms", name])
    torch.set_num_threads(threads)
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith(name) and "held out" in second and "step     1" in second
