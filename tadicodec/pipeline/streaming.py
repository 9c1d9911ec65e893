"""Codes in, wave out, a window at a time: for audio longer than the model takes at once, and for codes still arriving.

Each window is decoded with the end of what came before as its prompt, and a little beyond its cut. That part is decoded
again, from the same noise, at the start of the next window, and blended into it. Cuts are made where it is quiet. The
vocoder sees the frames on both sides of a cut, and the waves on both sides overlap.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tadicodec.config import SolverConfig
from tadicodec.errors import InputError
from tadicodec.guards import arguments
from tadicodec.pipeline.decoding import Item, Renderer, decode_batch, draw
from tadicodec.pipeline.limits import LONGEST_PIECE
from tadicodec.pipeline.pieces import CONTINUE_TOKENS, Cutter, Script
from tadicodec.pipeline.reading import MOST_LETTERS, read, read_window, word_starts
from tadicodec.pipeline.vocoding import WaveStream, Window
from tadicodec.pipeline.waves import generator_of
from tadicodec.speech import FRAMES_PER_TOKEN, Prompt, Speech

BLEND_FRAMES = 8
STREAM_SECONDS = 1.44  # 9 tokens a window
SHORTEST_WINDOW = 0.64  # seconds


@dataclass(frozen=True)
class Utterance:
    """What is known before the codes come: how many tokens and 24 kHz samples there will be, what is said, and in whose
    voice."""

    tokens: int
    samples: int
    text: str | None
    prompt: Prompt | None

    @classmethod
    def of(cls, speech: Speech, prompt: Prompt | None) -> Utterance:
        """What a Speech that holds one utterance announces."""
        return cls(int(speech.lengths[0]), int(speech.samples[0]), speech.text[0], prompt)


class Stream:
    """Turns the codes of one utterance into waves while they come: `feed` it codes. All waves together are as long as
    the utterance."""

    def __init__(
        self, renderer: Renderer, utterance: Utterance, solver: SolverConfig, generator: torch.Generator, cutter: Cutter
    ) -> None:
        self.left = utterance.samples
        self.mels = MelStream(renderer, utterance, solver, generator, cutter)
        self.waves = WaveStream(renderer.vocoder, renderer.config)

    @torch.inference_mode()
    def feed(self, codes: Tensor) -> Iterator[Tensor]:
        """The next codes [n], any number of them -> waves [m] on the CPU, as far as they can be known."""
        self.mels.append(codes)
        while (window := self.mels.next()) is not None:
            wave = self.waves.push(window)[: self.left]
            self.left -= len(wave)
            if len(wave):
                yield wave


class MelStream:
    """Turns codes into final mel frames, window by window. Where it cuts does not depend on how the codes arrive."""

    def __init__(
        self, renderer: Renderer, utterance: Utterance, solver: SolverConfig, generator: torch.Generator, cutter: Cutter
    ) -> None:
        self.renderer = renderer
        self.model, self.limits, self.config = renderer.model, renderer.limits, renderer.config
        self.utterance, self.cutter = utterance, cutter
        self.solver, self.generator = solver, generator
        self.script = Script(utterance.text, utterance.tokens)
        bins = self.config.mel.num_mels
        self.place = 0  # tokens whose mel is final
        self.codes = torch.zeros(0, dtype=torch.long)  # from `place` on
        self.noise, self.ahead = torch.zeros(0, bins), torch.zeros(0, bins)  # from `place` on, from the last window
        self.before = (torch.zeros(0, dtype=torch.long), torch.zeros(0, bins))  # codes and mel that end at `place`

    def append(self, codes: Tensor) -> None:
        """Take the next codes [n]. Raises InputError for codes that cannot be, or more of them than were announced."""
        self.limits.check_codes(codes)
        self.codes = torch.cat([self.codes, codes.cpu()])
        if self.place + len(self.codes) > self.utterance.tokens:
            raise InputError(f"more codes than the {self.utterance.tokens} announced")

    def next(self) -> Window | None:
        """The next window; None until more codes come, and when all is done."""
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
        """The next `taken` tokens -> mel [8 taken, 128]."""
        wanted = taken - len(self.noise) // FRAMES_PER_TOKEN
        if wanted > 0:
            self.noise = torch.cat([self.noise, draw(wanted, self.noise.shape[1], self.generator)])
        end: int | None = self.place + taken
        if end == self.utterance.tokens:
            end = None  # every word left is said in it
        self.find(taken, end is None)
        prompt, words = self.prompt(), self.script.between(self.place, end)
        noise = self.noise[: taken * FRAMES_PER_TOKEN]
        item = Item(self.codes[:taken], noise, self.limits.text_ids(words, prompt), prompt)
        return decode_batch(self.model, [item], self.solver)[0]

    def blend(self, mel: Tensor) -> Tensor:
        """Fade the start of a mel [F, 128] in over what the window before made of the same frames."""
        count = min(BLEND_FRAMES, len(self.ahead), len(mel))
        share = (torch.arange(count)[:, None] + 1) / (count + 1)
        return torch.cat([torch.lerp(self.ahead[:count], mel[:count], share), mel[count:]])

    def advance(self, window: Window, cut: int) -> None:
        """Go on behind the first `cut` tokens of a window."""
        codes, mel = (
            torch.cat([old, new]) for old, new in zip(self.before, (self.codes[:cut], window.mel), strict=True)
        )
        self.before = codes[-CONTINUE_TOKENS:], mel[-CONTINUE_TOKENS * FRAMES_PER_TOKEN :]
        self.place += cut
        self.codes, self.noise = self.codes[cut:], self.noise[cut * FRAMES_PER_TOKEN :]
        self.ahead = window.ahead

    def prompt(self) -> Prompt | None:
        """The speaker's prompt, if there is one, followed by the end of what came before."""
        given, (codes, mel) = self.utterance.prompt, self.before
        if not len(codes):
            return given
        words = self.script.between(self.place - len(codes), self.place) or ""
        if given is None:
            return Prompt(mel, codes, words)
        said = self.limits.join(given.text, words)
        return Prompt(torch.cat([given.mel, mel]), torch.cat([given.codes, codes]), said)

    def find(self, taken: int, last: bool) -> None:
        """Find out what is said in the next `taken` tokens, the `last` ones or not: read it, where nobody gave a text;
        or else see where the next words of the text begin."""
        heard, before = torch.cat([self.before[0], self.codes[:taken]]), len(self.before[0])
        if not self.script.given:
            read_window(self.renderer, self.script, heard, self.place, before, self.prompt())
        elif not last and self.config.autoencoder.aligned:
            indices = self.script.ahead(self.place, int(MOST_LETTERS * taken) + 20)
            starts = word_starts(self.renderer, [self.script.words[index] for index in indices], heard, before)
            if starts:
                self.script.begin(indices, [self.place + start for start in starts])


def open_stream(
    renderer: Renderer,
    utterance: Utterance,
    solver: SolverConfig,
    generator: torch.Generator | None = None,
    seconds: float = STREAM_SECONDS,
) -> Stream:
    """A stream for codes that are still to come: `feed` them to it. generator: None is seed 0.

    Raises:
        InputError: windows of so many seconds cannot be, or the prompt is of another model.
    """
    seconds = arguments.number("windows of", seconds, SHORTEST_WINDOW, LONGEST_PIECE, " of seconds")
    if utterance.prompt is not None:
        renderer.limits.check_prompt(utterance.prompt)
    generator = generator_of(generator)
    return Stream(renderer, utterance, solver, generator, renderer.limits.cutter(seconds))


def render_all(
    renderer: Renderer,
    speech: Speech,
    prompts: Sequence[Prompt | None],
    solver: SolverConfig,
    generators: Sequence[torch.Generator],
) -> list[Tensor]:
    """Waves [N_i] on the CPU of a batch of utterances: short ones together, those longer than the model takes at once
    in windows."""
    limits = renderer.limits
    waves: dict[int, Tensor] = {}
    items: dict[int, Item] = {}
    for i, (prompt, generator) in enumerate(zip(prompts, generators, strict=True)):
        one = speech[i]
        if int(one.lengths[0]) > limits.piece_tokens:
            stream = Stream(renderer, Utterance.of(one, prompt), solver, generator, limits.cutter())
            waves[i] = torch.cat(list(stream.feed(one.codes[0])))
        else:
            noise, text = draw(int(one.lengths[0]), renderer.config.mel.num_mels, generator), one.text[0]
            text = read(renderer, one.codes[0], prompt) if text is None else text
            items[i] = Item(one.codes[0].cpu(), noise, limits.text_ids(text, prompt), prompt)
    waves |= zip(items, renderer.render(list(items.values()), solver), strict=True)
    return [waves[i][: int(samples)] for i, samples in enumerate(speech.samples)]
