"""Checkpoints of others: read without running anything in them; what is not one is refused with one line."""

from __future__ import annotations

import os
import zipfile
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
import torch

from tadicodec.errors import InputError
from tadicodec.eval.judges.published import local, read_checkpoint
from tadicodec.eval.utterances.audible import check_audible


class Dangerous:
    """Pickles as a call that leaves a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.path),)


def test_objects_beside_the_tensors_are_neither_built_nor_run(tmp_path: Path) -> None:
    carried = {"cfg": Namespace(nested=Namespace(steps=3)), "paths": [Path("x")], "kind": Namespace}
    torch.save({"model": {"a.weight": torch.ones(2)}, "hyper_parameters": carried}, tmp_path / "x.pth")
    assert read_checkpoint(tmp_path / "x.pth", "model")["a.weight"].tolist() == [1, 1]
    torch.save({"model": {"a.weight": torch.ones(2)}, "x": Dangerous(tmp_path / "made")}, tmp_path / "y.pth")
    with pytest.raises(InputError, match="y.pth: cannot be read as a checkpoint"):
        read_checkpoint(tmp_path / "y.pth", "model")
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"\x80\x02."])
@pytest.mark.parametrize("ending", [".pth", ".safetensors"])
def test_other_files_are_refused(tmp_path: Path, content: bytes, ending: str) -> None:
    path = tmp_path / f"x{ending}"
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"x{ending}: cannot be read") as error:
        read_checkpoint(path, "model")
    assert "\n" not in str(error.value)


def test_a_zip_and_a_file_without_tensors_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.pth", "w") as archive:
        archive.writestr("data.txt", "hello")
    with pytest.raises(InputError, match="cannot be read"):
        read_checkpoint(tmp_path / "x.pth", "model")
    torch.save({"model": {"steps": 3}}, tmp_path / "y.pth")
    with pytest.raises(InputError, match="holds no tensors"):
        read_checkpoint(tmp_path / "y.pth", "model")


def test_names_are_paths_or_hub_ids(tmp_path: Path) -> None:
    assert local(str(tmp_path)) == tmp_path
    assert local("openai/whisper-large-v3") is None
    for name in ("whisper", "./a/b", "/a/b", "a/b/c", "weights/utmos.pt"):
        with pytest.raises(InputError, match="no such file or folder"):
            local(name)


@pytest.mark.parametrize(
    ("wave", "message"),
    [
        (np.zeros(0, np.float32), "too short"),
        (np.ones(5599, np.float32), "too short"),
        (np.zeros(16000, np.float32), "silence"),
        (np.full(16000, 5e-5, np.float32), "silence"),
        (np.full(16000, np.nan, np.float32), "not finite"),
        (np.ones((2, 16000), np.float32), "one channel"),
    ],
)
def test_waves_that_cannot_be_judged(wave: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_audible(wave)


def test_other_types_become_float32() -> None:
    wave = check_audible(np.ones(2 * 5600)[::2])
    assert wave.dtype == np.float32 and wave.flags["C_CONTIGUOUS"] and len(wave) == 5600
