"""How a clip is heard in training: perhaps by another voice, perhaps through a bad line, differently every time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch

from tadicodec.audio.mel import MelSpectrogram, mel_edges
from tadicodec.config import DOWN_SAMPLE_FACTOR, MelConfig
from tadicodec.data.damage import KINDS, Damage, damaged, resampled
from tadicodec.data.features import Clip, Features
from tadicodec.errors import InputError

LOWEST, HIGHEST = 0.8, 1.25  # factors of pitch and formants that sound like people
HIDDEN_BANDS, BAND_BINS = 2, 20  # of a masked clip: how many bands, and the most bins that one has
HIDDEN_FRAMES, EVERY_FRAMES = 10, 50  # at most so many frames (0.2 s) in a row, once in so many (1 s)


@dataclass(frozen=True)
class Heard:
    """One hearing of a clip: what the decoder should make and what the encoder hears, mels [F, 128] of equal length."""

    target: np.ndarray  # [F, 128] what the decoder should make
    mel: np.ndarray  # [F, 128] what the encoder hears
    bandwidth: int  # bins of the target that hold signal
    changed: bool  # whether the speaker is another than the clip's


@dataclass(frozen=True)
class Hearing:
    """Draws how clips of `features` are heard."""

    features: Features
    config: MelConfig
    voices: float = 0.0  # probability of a clip at another pitch, faster or slower by as much
    damage: float = 0.0  # probability of a clip that the encoder hears damaged
    masks: float = 0.0  # probability of a clip that the encoder hears with gaps (`masked`)
    kind: str = ""  # of the damage, one of `damage.KINDS`; "": drawn anew each time

    def __post_init__(self) -> None:
        if self.kind and self.kind not in KINDS:
            raise InputError(f"data: damage is of kind {', '.join(KINDS)}, not {self.kind!r}")

    def __call__(self, clip: Clip, generator: torch.Generator) -> Heard:
        """One hearing of a clip. It draws from `generator` as much whatever comes of it, so that clips do not depend on
        each other."""
        other, worse, place = torch.rand(3, generator=generator).tolist()
        draw = np.random.default_rng(int(torch.randint(2**31, (1,), generator=generator)))
        heard = self.spoken(clip, other < self.voices, place, worse < self.damage, draw)
        return replace(heard, mel=masked(heard.mel, draw)) if draw.random() < self.masks else heard

    def spoken(self, clip: Clip, changed: bool, place: float, worse: bool, draw: np.random.Generator) -> Heard:
        """A clip without gaps. changed: at another pitch, which is higher with `place`, 0 to 1; worse: damaged."""
        if not changed and not worse:
            mel = self.features.mel(clip)
            return Heard(mel, mel, clip.bandwidth, False)
        wave = self.features.wave(clip, 0, clip.frames, self.config.hop_size)
        target, bandwidth = self.features.mel(clip), clip.bandwidth
        if changed:
            factor = LOWEST * (HIGHEST / LOWEST) ** place
            wave, bandwidth = padded(resampled(wave, factor), self.config.hop_size), self.moved(bandwidth, factor)
            target = self.mel(wave)
        suffer: Damage = KINDS.get(self.kind, damaged)
        heard = self.mel(suffer(wave, draw)) if worse else target
        return Heard(target, heard, bandwidth, changed)

    def mel(self, wave: np.ndarray) -> np.ndarray:
        """A wave [N] -> its mel [F, 128]."""
        with torch.no_grad():
            return self.spectrogram(torch.from_numpy(wave.astype(np.float32))[None])[0].numpy()

    def moved(self, bandwidth: int, factor: float) -> int:
        """How many mel bins hold signal where every frequency is `factor` times as high."""
        upper = mel_edges(self.config)[2:]
        return int((upper <= float(upper[bandwidth - 1]) * factor + 1e-6).sum()) if bandwidth else 0

    @cached_property
    def spectrogram(self) -> MelSpectrogram:
        """The spectrogram, made when it is first needed."""
        return MelSpectrogram(self.config)


def masked(mel: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """A mel [F, 128] with bands and moments replaced by each bin's mean (SpecAugment, Park et al. 2019): what is hidden
    has to be told from what stands around it, so that a few recorded speakers are not learned by heart."""
    mel, mean = mel.copy(), mel.mean(0)
    frames, bins = mel.shape
    for _ in range(HIDDEN_BANDS):
        first, size = int(draw.integers(bins)), int(draw.integers(BAND_BINS + 1))
        mel[:, first : first + size] = mean[first : first + size]
    for _ in range(frames // EVERY_FRAMES):
        first, size = int(draw.integers(frames)), int(draw.integers(HIDDEN_FRAMES + 1))
        mel[first : first + size] = mean
    return mel


def padded(wave: np.ndarray, hop: int) -> np.ndarray:
    """A wave [N] with zeros up to whole tokens."""
    return np.pad(wave, (0, -len(wave) % (hop * DOWN_SAMPLE_FACTOR)))
