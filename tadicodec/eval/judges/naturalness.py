"""Estimators of naturalness (mean opinion score, about 1 to 5). Each has its own scale: name the one a figure is of."""

from __future__ import annotations

import math
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from importlib.machinery import ModuleSpec
from importlib.metadata import version
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from tadicodec.errors import InputError
from tadicodec.eval.judges.utmos import load_utmos
from tadicodec.eval.utterances.audible import SAMPLE_RATE, check_audible


class Naturalness(Protocol):
    """16 kHz wave [N] float32 -> predicted mean opinion score."""

    name: str

    def __call__(self, wave16k: np.ndarray) -> float: ...


class Utmos22:
    """UTMOS22 strong learner, the UTMOS of most codec papers; English, can exceed what recordings get."""

    def __init__(self, path: Path, device: str = "cpu") -> None:
        self.net = load_utmos(path).to(device)
        self.device = device
        self.name = f"UTMOS22 strong ({path.name})"

    def __call__(self, wave16k: np.ndarray) -> float:
        with torch.inference_mode():
            return finite(float(self.net(torch.from_numpy(check_audible(wave16k))[None].to(self.device))))


class DistillMos:
    """DistillMOS (Microsoft; MIT): compare within one set of recordings only."""

    def __init__(self, device: str = "cpu") -> None:
        try:
            with torchaudio_or_stand_in():
                import distillmos
        except (ImportError, OSError) as error:
            needs = "pip install --no-deps distillmos==0.9.1 xls-r-sqa==0.1.0"
            raise InputError(f"distillmos is not installed: {needs}") from error
        with redirect_stdout(sys.stderr):  # it says where its weights are
            self.net = distillmos.ConvTransformerSQAModel().eval().to(device)
        self.device = device
        self.name = f"DistillMOS {version('distillmos')}"

    def __call__(self, wave16k: np.ndarray) -> float:
        with torch.inference_mode():
            return finite(float(self.net(torch.from_numpy(check_audible(wave16k))[None].to(self.device)).mean()))


class DnsMos:
    """DNSMOS's P.808 score (Microsoft), over windows of 9.01 s; the same on every device."""

    def __init__(self, device: str = "cpu") -> None:
        try:
            from speechmos import dnsmos
        except (ImportError, OSError) as error:
            raise InputError("dnsmos is not installed: pip install speechmos==0.0.1.1") from error
        self.run = dnsmos.run
        self.name = f"DNSMOS P.808 (speechmos {version('speechmos')})"

    def __call__(self, wave16k: np.ndarray) -> float:
        return finite(float(self.run(np.clip(check_audible(wave16k), -1, 1), SAMPLE_RATE)["p808_mos"]))


def finite(score: float) -> float:
    """A score as it is. Raises InputError where it is not finite."""
    if not math.isfinite(score):
        raise InputError("the estimator gave no finite score for this wave")
    return score


@contextmanager
def torchaudio_or_stand_in() -> Iterator[None]:
    """While the context is open, torchaudio can be imported. DistillMOS imports it, but only its command line uses it;
    where it is absent or broken there is a stand-in."""
    if torchaudio_works():
        yield
        return
    names = ("torchaudio", "torchaudio.transforms")
    stand_in, transforms = (types.ModuleType(name) for name in names)
    stand_in.__spec__, transforms.__spec__ = (ModuleSpec(name, None) for name in names)
    vars(stand_in)["transforms"], vars(transforms)["MFCC"] = transforms, object
    sys.modules.update(zip(names, (stand_in, transforms)))
    try:
        yield
    finally:  # others must not take it for the real one
        for name in names:
            sys.modules.pop(name, None)


def torchaudio_works() -> bool:
    """Whether torchaudio is installed and loads beside this torch."""
    try:
        import torchaudio.transforms  # noqa: F401
    except (ImportError, OSError):
        return False
    return True
