"""Waves of any length to codes and transcripts: cut at silences, pieces of all waves in batches of similar length."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from tadicodec.audio.mel import MelSpectrogram
from tadicodec.model.autoencoder import Autoencoder
from tadicodec.pipeline.pieces import Cutter
from tadicodec.pipeline.waves import grouped, pad
from tadicodec.speech import FRAMES_PER_TOKEN, SAMPLES_PER_TOKEN
from tadicodec.text.normalize import from_letters

BINS_PER_TOKEN = 16  # loudness is looked at every 10 ms


class Part(NamedTuple):
    """A whole number of tokens of a wave."""

    owner: int
    place: int
    samples: np.ndarray


def parts_of(blocks: Iterable[np.ndarray], cutter: Cutter) -> Iterator[np.ndarray]:
    """24 kHz samples in blocks of any size -> pieces of whole tokens, the last one zero-padded; no more than two of the
    longest and a block are held. Where it cuts depends on the samples alone."""
    held, size = np.zeros(0, np.float32), SAMPLES_PER_TOKEN
    for block in blocks:
        held = np.concatenate([held, block])
        while len(held) >= 2 * cutter.longest * size:
            stop = boundary(held, 2 * cutter.longest, cutter)
            yield held[:stop]
            held = held[stop:]
    held = np.pad(held, (0, -len(held) % size))
    while len(held):
        stop = boundary(held, len(held) // size, cutter)
        yield held[:stop]
        held = held[stop:]


def boundary(samples: np.ndarray, left: int, cutter: Cutter) -> int:
    """Where the next piece ends, in samples, when at least `left` tokens remain."""
    taken = cutter.take(left)
    if taken == left:
        return taken * SAMPLES_PER_TOKEN
    bins = samples[: taken * SAMPLES_PER_TOKEN].reshape(taken * BINS_PER_TOKEN, -1)
    return cutter.cut(torch.from_numpy(np.square(bins).mean(1)), taken) * SAMPLES_PER_TOKEN


class Heard(NamedTuple):
    """Codes [T] of a part, and what the transcriber makes of it ("" where it was not asked)."""

    codes: Tensor
    text: str


def joined(heard: Sequence[Heard]) -> tuple[Tensor, str]:
    """The parts of one wave in order -> its codes and its transcript."""
    return torch.cat([part.codes for part in heard]), " ".join(part.text for part in heard if part.text)


class Ear:
    """Encoder, quantizer and, where asked, transcriber on parts of waves."""

    def __init__(self, model: Autoencoder, spectrogram: MelSpectrogram, writes: bool) -> None:
        self.model, self.spectrogram, self.writes = model, spectrogram, writes

    def parts(self, parts: Sequence[Part], most: int) -> dict[int, list[Heard]]:
        """Each owner's parts in order, at most `most` padded tokens at once (or one part)."""
        found: dict[tuple[int, int], Heard] = {}
        for group in grouped(parts, [len(part.samples) // SAMPLES_PER_TOKEN for part in parts], most):
            for part, heard in zip(group, self.batch([part.samples for part in group]), strict=True):
                found[part.owner, part.place] = heard
        owners: dict[int, list[Heard]] = {}
        for owner, place in sorted(found):
            owners.setdefault(owner, []).append(found[owner, place])
        return owners

    def batch(self, waves: Sequence[np.ndarray]) -> list[Heard]:
        """Whole-token waves, heard together; every mel is made alone, so padding cannot reach it."""
        device = self.spectrogram.window.device
        mels = [self.spectrogram(torch.from_numpy(np.ascontiguousarray(wave)).to(device)[None])[0] for wave in waves]
        lengths = torch.tensor([len(mel) for mel in mels], device=device)
        ragged = lengths if len({len(mel) for mel in mels}) > 1 else None
        if self.writes:
            codes, letters = self.model.listen(pad(mels), ragged)
        else:
            codes, letters = self.model.encode(pad(mels), ragged), [[]] * len(mels)
        return [
            Heard(codes[i, : len(mel) // FRAMES_PER_TOKEN].cpu(), from_letters(letters[i]))
            for i, mel in enumerate(mels)
        ]
