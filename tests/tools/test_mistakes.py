"""Tools that read features say in one line what is wrong with them."""

from __future__ import annotations

from pathlib import Path

import encoder_arms
import gradient_shares
import pytest
import quant_experiments
import train_codec

TOOLS = {
    "encoder_arms": (encoder_arms.main, ["{none}"]),
    "gradient_shares": (gradient_shares.main, ["{none}", "{none}"]),
    "quant_experiments": (quant_experiments.main, ["glm", "--data", "{none}", "--out", "{out}"]),
    "train_codec": (train_codec.main, ["{none}", "{out}"]),
}


@pytest.mark.parametrize("name", TOOLS)
def test_features_that_are_not_there(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main, given = TOOLS[name]
    assert main([word.format(none=tmp_path / "none", out=tmp_path / "out") for word in given]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith(f"{name}: error: ")
