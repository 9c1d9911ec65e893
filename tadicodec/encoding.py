"""Waves of any length to codes: cut at silences, pieces of all waves in batches of similar length."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from tadicodec.audio.mel import MelSpectrogram
from tadicodec.model.autoencoder import Autoencoder
from tadicodec.pieces import Cutter
from tadicodec.speech import FRAMES_PER_TOKEN, SAMPLES_PER_TOKEN
from tadicodec.waves import grouped, pad

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


def encode_parts(
    parts: Sequence[Part], model: Autoencoder, spectrogram: MelSpectrogram, most: int
) -> dict[tuple[int, int], Tensor]:
    """Codes [T] of each part by (owner, place), at most `most` padded tokens at once (or one part)."""
    found: dict[tuple[int, int], Tensor] = {}
    for group in grouped(parts, [len(part.samples) // SAMPLES_PER_TOKEN for part in parts], most):
        for part, codes in zip(group, encode_batch([part.samples for part in group], model, spectrogram), strict=True):
            found[part.owner, part.place] = codes
    return found


def encode_batch(waves: Sequence[np.ndarray], model: Autoencoder, spectrogram: MelSpectrogram) -> list[Tensor]:
    """Whole-token waves -> codes [T_i] each; every mel is made alone, so padding cannot reach it."""
    device = spectrogram.window.device
    mels = [spectrogram(torch.from_numpy(np.ascontiguousarray(wave)).to(device)[None])[0] for wave in waves]
    lengths = torch.tensor([len(mel) for mel in mels], device=device)
    ragged = len({len(mel) for mel in mels}) > 1
    codes = model.encode(pad(mels), lengths if ragged else None).cpu()
    return [codes[i, : len(mel) // FRAMES_PER_TOKEN] for i, mel in enumerate(mels)]
