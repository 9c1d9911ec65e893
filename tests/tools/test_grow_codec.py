"""A codec with more blocks computes what it did, until it is trained."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import grow_codec
import pytest
import torch

from tadicodec.codec import Codec
from tadicodec.config import SolverConfig
from tests.conftest import tiny_codec
from tests.train.test_loop import TINY


def test_more_blocks_change_nothing(tmp_path: Path) -> None:
    before = tiny_codec(**TINY)
    before.save_pretrained(tmp_path / "small")
    sizes = ["--encoder-layers", "3", "--prior-layers", "2", "--transcriber-layers", "2", "--aligner-layers", "2"]
    sizes += ["--encoder-conformer", "--transcriber-conformer", "--aligner-conformer"]
    assert grow_codec.main([str(tmp_path / "small"), str(tmp_path / "grown"), *sizes]) == 0
    after = Codec.from_pretrained(tmp_path / "grown")
    assert after.config.autoencoder.encoder_num_layers == 3 and after.config.autoencoder.prior_layers == 2
    mel = torch.randn(1, 64, 128, generator=torch.Generator().manual_seed(0))
    (codes, said), (own, heard) = (codec.model.listen(mel) for codec in (before, after))
    assert torch.equal(codes, own) and len(after.model.encoder.conformer) == 3
    assert len(after.model.transcriber.conformer) == 2
    torch.testing.assert_close(said[0], heard[0])
    assert before.read(codes) == after.read(codes) and len(after.model.aligner.conformer) == 2
    noise, solver = torch.randn(1, 64, 128), SolverConfig(steps=2, guidance=1.0)
    with torch.no_grad():
        old, new = (codec.model.decode(codes, noise, solver) for codec in (before, after))
    torch.testing.assert_close(old, new)


def test_heads_begin_as_the_mean() -> None:
    torch.manual_seed(0)
    before = tiny_codec(**{**TINY, "voice_heads": 0}).model
    after = grow_codec.grown_network(before, replace(before.config, voice_heads=2))
    assert before.decoder.prior is not None and after.decoder.prior is not None
    x, held = torch.randn(2, 9, before.decoder.prior.prompt_voice.in_linear.in_features), torch.ones(2, 9)
    old, new = (net.decoder.prior.prompt_voice.embed(x, held) for net in (before, after))
    torch.testing.assert_close(old, new, atol=0.05, rtol=0.05)


def test_a_codec_only_grows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tiny_codec(**TINY).save_pretrained(tmp_path / "small")
    assert grow_codec.main([str(tmp_path / "small"), str(tmp_path / "out"), "--encoder-layers", "0"]) == 2
    assert "a codec only grows" in capsys.readouterr().err and not (tmp_path / "out").exists()
