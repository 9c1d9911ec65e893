"""Codes in, wave out, a window at a time: for audio longer than the model takes at once, and for codes still arriving.

Each window is decoded with the end of what came before as its prompt, and a little beyond its cut; that part is decoded
again, from the same noise, at the start of the next window and blended into it. Cuts are made where it is quiet. The
vocoder sees the frames on both sides of a cut, and the waves on both sides overlap.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tadicodec.errors import InputError
from tadicodec.model import quantizer
from tadicodec.model.aligner import STEPS_PER_TOKEN, forced_alignment
from tadicodec.model.flow import SolverConfig
from tadicodec.pipeline.decoding import Item, decode_batch, draw
from tadicodec.pipeline.pieces import Cutter, Script
from tadicodec.speech import FRAMES_PER_TOKEN, Prompt

if TYPE_CHECKING:
    from tadicodec.codec import Codec
    from tadicodec.model.autoencoder import Autoencoder

MOST_LETTERS = 4.0  # a token; 25 a second
CONTINUE_TOKENS = 19  # about 3 s of what came before serve as a window's prompt
BLEND_FRAMES = 8
FADE = 480  # samples over which waves of two windows are cross-faded, one frame


@dataclass(frozen=True)
class Utterance:
    """What is known before the codes come."""

    tokens: int
    samples: int
    text: str | None
    prompt: Prompt | None


@dataclass(frozen=True)
class Window:
    """mel [F, 128] is final; `ahead` [A, 128] comes after it and will be decoded again; `last`: nothing follows."""

    mel: Tensor
    ahead: Tensor
    last: bool


class Stream:
    """`feed` it the codes of an utterance as they come; it yields waves whose sum is as long as the utterance."""

    def __init__(
        self, codec: Codec, utterance: Utterance, solver: SolverConfig, generator: torch.Generator, cutter: Cutter
    ) -> None:
        self.codec, self.left = codec, utterance.samples
        self.mels = MelStream(codec, utterance, solver, generator, cutter)
        self.waves = WaveStream(codec)

    @torch.inference_mode()
    def feed(self, codes: Tensor) -> Iterator[Tensor]:
        """codes [n], any number of them -> waves [m] on the CPU, as far as they can be known."""
        self.mels.append(codes)
        while (window := self.mels.next()) is not None:
            wave = self.waves.push(window)[: self.left]
            self.left -= len(wave)
            if len(wave):
                yield wave


class MelStream:
    """Codes to final mel frames, window by window. Where it cuts does not depend on how the codes arrive."""

    def __init__(
        self, codec: Codec, utterance: Utterance, solver: SolverConfig, generator: torch.Generator, cutter: Cutter
    ) -> None:
        self.codec, self.utterance, self.cutter = codec, utterance, cutter
        self.solver, self.generator = solver, generator
        self.script = Script(utterance.text, utterance.tokens)
        bins = codec.config.mel.num_mels
        self.place = 0  # tokens whose mel is final
        self.codes = torch.zeros(0, dtype=torch.long)  # from `place` on
        self.noise, self.ahead = torch.zeros(0, bins), torch.zeros(0, bins)  # from `place` on, from the last window
        self.before = (torch.zeros(0, dtype=torch.long), torch.zeros(0, bins))  # codes and mel that end at `place`

    def append(self, codes: Tensor) -> None:
        self.codec.limits.check_codes(codes)
        self.codes = torch.cat([self.codes, codes.cpu()])
        if self.place + len(self.codes) > self.utterance.tokens:
            raise InputError(f"more codes than the {self.utterance.tokens} announced")

    def next(self) -> Window | None:
        """The next window, or None until more codes come or when all is done."""
        left = self.utterance.tokens - self.place
        taken = self.cutter.take(left)
        if not left or len(self.codes) < taken:
            return None
        mel = self.blend(self.decode(taken))
        cut = taken if taken == left else self.cutter.cut(mel.mean(1), taken)
        window = Window(mel[: cut * FRAMES_PER_TOKEN], mel[cut * FRAMES_PER_TOKEN :], cut == left)
        self.advance(window, cut)
        return window

    def decode(self, taken: int) -> Tensor:
        """`taken` tokens from `place` on -> mel [8 taken, 128]."""
        wanted = taken - len(self.noise) // FRAMES_PER_TOKEN
        if wanted > 0:
            self.noise = torch.cat([self.noise, draw(wanted, self.noise.shape[1], self.generator)])
        end: int | None = self.place + taken
        if end == self.utterance.tokens:
            end = None  # every word left is said in it
        elif self.codec.config.autoencoder.aligned:
            self.listen(taken)
        prompt, words = self.prompt(), self.script.between(self.place, end)
        noise = self.noise[: taken * FRAMES_PER_TOKEN]
        item = Item(self.codes[:taken], noise, self.codec.limits.text_ids(words, prompt), prompt)
        return decode_batch(self.codec.model, [item], self.solver)[0]

    def blend(self, mel: Tensor) -> Tensor:
        """The first frames pass over from what the window before made of them."""
        count = min(BLEND_FRAMES, len(self.ahead), len(mel))
        share = (torch.arange(count)[:, None] + 1) / (count + 1)
        return torch.cat([torch.lerp(self.ahead[:count], mel[:count], share), mel[count:]])

    def advance(self, window: Window, cut: int) -> None:
        codes, mel = (
            torch.cat([old, new]) for old, new in zip(self.before, (self.codes[:cut], window.mel), strict=True)
        )
        self.before = codes[-CONTINUE_TOKENS:], mel[-CONTINUE_TOKENS * FRAMES_PER_TOKEN :]
        self.place += cut
        self.codes, self.noise = self.codes[cut:], self.noise[cut * FRAMES_PER_TOKEN :]
        self.ahead = window.ahead

    def prompt(self) -> Prompt | None:
        """The speaker's prompt, if there is one, and the end of what came before."""
        given, (codes, mel) = self.utterance.prompt, self.before
        if not len(codes):
            return given
        words = self.script.between(self.place - len(codes), self.place) or ""
        if given is None:
            return Prompt(mel, codes, words)
        said = self.codec.limits.join(given.text, words)
        return Prompt(torch.cat([given.mel, mel]), torch.cat([given.codes, codes]), said)

    def listen(self, taken: int) -> None:
        """Find in the codes where the next words are said, as far as `taken` tokens reach."""
        indices = self.script.ahead(self.place, int(MOST_LETTERS * taken) + 20)
        words, encode = [self.script.words[index] for index in indices], self.codec.tokenizer.encode
        ids = encode("".join(words)) if words else []
        if not ids:
            return
        heard = torch.cat([self.before[0], self.codes[:taken]])
        times = spoken_at(self.codec.model, heard, len(self.before[0]), torch.tensor(ids))
        first = [len(encode("".join(words[:count]))) for count in range(len(words))]
        first = [min(letter + (letter > 0), len(ids) - 1) for letter in first]  # behind the space
        self.script.begin(indices, [self.place + times[letter] for letter in first])


def spoken_at(model: Autoencoder, codes: Tensor, skip: int, text_ids: Tensor, *, whole: bool = False) -> list[float]:
    """Tokens after the first `skip` of codes [T] at which each of text_ids [L] begins; infinity for what comes after
    them, unless the whole text is said in them."""
    device = model.vq_in_linear.bias.device
    logits = model.aligner(quantizer.from_codes(codes[None].to(device), model.config.vq_emb_dim))
    logits = logits[:, skip * STEPS_PER_TOKEN :]
    steps, letters = torch.tensor([logits.shape[1]], device=device), torch.tensor([len(text_ids)], device=device)
    times = forced_alignment(logits, steps, text_ids[None].to(device), letters, whole=whole)[0].cpu()
    return torch.where(times < logits.shape[1], times / STEPS_PER_TOKEN, torch.inf).tolist()


class WaveStream:
    """Mel windows to waves that sound as if made at once: the vocoder sees a finite number of frames on either side."""

    def __init__(self, codec: Codec) -> None:
        config = codec.config
        self.vocoder, self.device, self.hop = codec.vocoder, codec.device, config.mel.hop_size
        self.context = 3 * (config.vocoder.num_layers + 1) + config.mel.n_fft // self.hop  # frames it sees on a side
        self.mel = torch.zeros(0, config.mel.num_mels)  # frames already made, as context, and those still waiting
        self.made = 0  # of these frames
        self.end = torch.zeros(0)  # held back for the cross-fade

    def push(self, window: Window) -> Tensor:
        """Wave [n] of the frames whose right context is there: `window.ahead`, or later frames where that is empty."""
        self.mel = torch.cat([self.mel, window.mel])
        waits = 0 if window.last or len(window.ahead) else self.context
        stop = len(self.mel) - waits
        if stop <= self.made:
            return torch.zeros(0)
        first = max(self.made - self.context - 1, 0)
        seen = torch.cat([self.mel[first:], window.ahead[: self.context]])
        wave = self.vocoder(seen[None].to(self.device))[0].cpu()
        wave = self.crossfade(wave[self.made * self.hop - first * self.hop - len(self.end) : (stop - first) * self.hop])
        keep = max(stop - self.context - 1, 0)
        self.mel, self.made = self.mel[keep:], stop - keep
        held = 0 if window.last else FADE
        self.end = wave[len(wave) - held :]
        return wave[: len(wave) - held]

    def crossfade(self, wave: Tensor) -> Tensor:
        count = len(self.end)
        share = (torch.arange(count) + 0.5) / max(count, 1)
        return torch.cat([torch.lerp(self.end, wave[:count], share), wave[count:]])
