"""The optimiser of the text model, and what its command says without its texts."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import train_text_model
from torch import nn


@pytest.mark.parametrize("shape", [(24, 64), (64, 24)])
def test_muon_steps_as_torch_does_in_half_the_precision(shape: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(shape, generator=generator)
    ours, theirs = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    optims = train_text_model.Muon([ours], 0.1, 0.02), torch.optim.Muon([theirs], lr=0.1, weight_decay=0.02)
    for _ in range(3):
        ours.grad = theirs.grad = torch.randn(shape, generator=generator)
        for optim in optims:
            optim.step()
    moved = (theirs - start).norm()
    assert moved > 0.5 and (ours - theirs).norm() < 0.02 * moved


def test_without_speech_one_line_says_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train_text_model.main(["--speech", str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "sentences.txt" in line and not (tmp_path / "out").exists()
