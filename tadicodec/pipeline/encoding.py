"""Waves of any length to codes and transcripts: cut at silences, pieces of all waves in batches of similar length."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from tadicodec.audio.level import Leveller
from tadicodec.audio.mel import MelSpectrogram
from tadicodec.entropy.letter_model import letter_model
from tadicodec.entropy.prefix_search import SearchConfig, prefix_search
from tadicodec.errors import InputError
from tadicodec.guards import arguments
from tadicodec.model.autoencoder import Autoencoder
from tadicodec.pipeline.limits import TOKEN_RATE, Limits
from tadicodec.pipeline.pieces import Cutter
from tadicodec.pipeline.waves import grouped, pad, to_samples
from tadicodec.speech import FRAMES_PER_TOKEN, SAMPLES_PER_TOKEN, Prompt, Speech
from tadicodec.text.normalize import from_letters

BINS_PER_TOKEN = 16  # loudness is looked at every 10 ms


class Part(NamedTuple):
    """A whole number of tokens of a wave: number `place` among the parts of wave number `owner`."""

    owner: int
    place: int
    samples: np.ndarray


def parts_of(blocks: Iterable[np.ndarray], cutter: Cutter) -> Iterator[np.ndarray]:
    """24 kHz samples in blocks of any size -> pieces of whole tokens, the last one zero-padded.

    Where it cuts depends on the samples alone. No more than two of the longest pieces and a block are held in memory.
    """
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


class Encoded(NamedTuple):
    """Codes [T] of a wave, the number of its 24 kHz samples, and the text that travels with them (None: unknown)."""

    codes: Tensor
    samples: int
    text: str | None


class Heard(NamedTuple):
    """Codes [T] of a part, and what the transcriber makes of it ("" where it was not asked)."""

    codes: Tensor
    text: str


class WaveEncoder:
    """Encoder, quantizer and transcriber on 24 kHz waves of any length."""

    def __init__(self, model: Autoencoder, spectrogram: MelSpectrogram, limits: Limits) -> None:
        self.model, self.spectrogram, self.limits = model, spectrogram, limits

    @property
    def transcribes(self) -> bool:
        """Whether this model can write down what it hears."""
        return self.model.config.transcriber_layers > 0

    def encode(self, waves: Sequence[np.ndarray], texts: Sequence[str | None]) -> Speech:
        """Waves [N_i] at 24 kHz to codes. Parts of similar length share a batch, which never changes a code.

        texts: what is said in each wave; None is what the transcriber hears, if the model has one.

        Raises:
            InputError: a text that is too long for the model.
        """
        for wave, text in zip(waves, texts, strict=True):
            self.limits.check_text(text, len(wave))
        parts = [
            Part(owner, place, samples)
            for owner, wave in enumerate(waves)
            for place, samples in enumerate(self.pieces([wave]))
        ]
        heard = self.by_owner(parts, writes=self.writes(*texts))
        return self.speech([self.joined(heard[i], len(wave), text) for i, (wave, text) in enumerate(zip(waves, texts))])

    def encode_blocks(self, blocks: Iterable[np.ndarray], text: str | None) -> Speech:
        """One wave in blocks [n] of any size, as they are read, in constant memory. Gives what `encode` gives for the
        whole.

        Raises:
            InputError: no samples, or a text that is too long for the model.
        """
        samples, heard, rate = 0, [], self.limits.config.mel.sample_rate

        def counted() -> Iterator[np.ndarray]:
            nonlocal samples
            for block in arguments.series("a wave in blocks", blocks):
                if not isinstance(block, np.ndarray) or len(block):
                    wave = to_samples(block, rate, rate)
                    samples += len(wave)
                    yield wave

        for part in self.pieces(counted()):
            heard += self.batch([part], writes=self.writes(text))
        if not heard:
            raise InputError("a wave has at least one sample")
        self.limits.check_text(text, samples)
        return self.speech([self.joined(heard, samples, text)])

    def prompt(self, wave: np.ndarray, text: str | None) -> Prompt:
        """A speaker prompt from a wave [N]; its end is cut to whole tokens, because a prompt must not end in padding.

        Raises:
            InputError: shorter than a token, longer than the model takes at once, or a text too long for it.
        """
        tokens, most = len(wave) // SAMPLES_PER_TOKEN, self.limits.piece_tokens
        if not 1 <= tokens <= most:
            seconds, limit = len(wave) / self.limits.config.mel.sample_rate, most / TOKEN_RATE
            raise InputError(f"a prompt of {seconds:.2f} s: give one between 0.16 and {limit:.0f} s")
        samples = self.leveller()(wave[: tokens * SAMPLES_PER_TOKEN])
        encoded = self.joined(self.batch([samples], writes=self.writes(text)), len(samples), text)
        self.limits.check_text(encoded.text, len(samples))
        mel = self.mel(torch.from_numpy(samples))[0].cpu()
        return Prompt(mel, encoded.codes, encoded.text or "", self.limits.weights)

    def mel(self, wave: Tensor) -> Tensor:
        """24 kHz wave [N] or [B, N] to normalised log-mel [B, F, 128], zero-padded to whole tokens."""
        wave = wave[None] if wave.ndim == 1 else wave
        padded = torch.nn.functional.pad(wave, (0, -wave.shape[1] % SAMPLES_PER_TOKEN))
        return self.spectrogram(padded.to(self.spectrogram.window.device))

    def speech(self, encoded: Sequence[Encoded]) -> Speech:
        """What was encoded, as a batch that names the model."""
        return Speech(
            codes=pad([item.codes for item in encoded]),
            lengths=torch.tensor([len(item.codes) for item in encoded]),
            samples=torch.tensor([item.samples for item in encoded]),
            text=tuple(item.text for item in encoded),
            model=self.limits.name,
            weights=self.limits.weights,
        )

    def writes(self, *texts: str | None) -> bool:
        """Whether the transcriber has to run: a text is missing and this model can hear it."""
        return self.transcribes and None in texts

    def leveller(self) -> Leveller:
        """A new `Leveller`, for the pieces of one recording."""
        return Leveller(self.limits.config.inference.level)

    def pieces(self, blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """One recording in blocks -> its parts of whole tokens, at the level of the training speech."""
        return map(self.leveller(), parts_of(blocks, self.limits.cutter()))

    def joined(self, heard: Sequence[Heard], samples: int, text: str | None) -> Encoded:
        """The parts of one wave in order, with the text that was given or else the transcriber's."""
        codes = torch.cat([part.codes for part in heard])
        if text is not None or not self.transcribes:
            return Encoded(codes, samples, text)
        written = " ".join(part.text for part in heard if part.text)
        try:
            self.limits.check_text(written, samples)
        except InputError:  # noise can make the transcriber write more than the decoder takes
            written = ""
        return Encoded(codes, samples, written)

    def by_owner(self, parts: Sequence[Part], writes: bool) -> dict[int, list[Heard]]:
        """What is heard in each wave's parts, in order, by the number of the wave; parts of similar length share a
        batch."""
        most = self.limits.batch_tokens(self.spectrogram.window.device)
        found: dict[tuple[int, int], Heard] = {}
        for group in grouped(parts, [len(part.samples) // SAMPLES_PER_TOKEN for part in parts], most):
            for part, heard in zip(group, self.batch([part.samples for part in group], writes), strict=True):
                found[part.owner, part.place] = heard
        owners: dict[int, list[Heard]] = {}
        for owner, place in sorted(found):
            owners.setdefault(owner, []).append(found[owner, place])
        return owners

    def batch(self, waves: Sequence[np.ndarray], writes: bool) -> list[Heard]:
        """Codes and transcripts of waves of whole tokens. Every mel is made alone, so padding cannot reach it."""
        device = self.spectrogram.window.device
        mels = [self.spectrogram(torch.from_numpy(np.ascontiguousarray(wave)).to(device)[None])[0] for wave in waves]
        lengths = torch.tensor([len(mel) for mel in mels], device=device)
        ragged = lengths if len({len(mel) for mel in mels}) > 1 else None
        if writes:
            codes, scores = self.model.listen(pad(mels), ragged)
            letters = [prefix_search(row.cpu().numpy(), letter_model(), SearchConfig()) for row in scores]
        else:
            codes, letters = self.model.encode(pad(mels), ragged), [[]] * len(mels)
        return [
            Heard(codes[i, : len(mel) // FRAMES_PER_TOKEN].cpu(), from_letters(letters[i]))
            for i, mel in enumerate(mels)
        ]
