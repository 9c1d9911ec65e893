"""Text to speech in a prompt's voice. Follow `Speaker.speak` down: sentences, script, codes, wave."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor

from tadicodec.checkpoint import find_model
from tadicodec.codec import Codec
from tadicodec.errors import InputError
from tadicodec.guards import arguments
from tadicodec.pipeline.waves import Wave, generator_of, to_samples
from tadicodec.speech import SAMPLES_PER_TOKEN, Prompt, Speech
from tadicodec.text.clean import clean
from tadicodec.tts.engines import Engine, load_engine
from tadicodec.tts.folder import find_tts_model
from tadicodec.tts.script import USUAL, Script
from tadicodec.tts.sentences import split_sentences
from tadicodec.tts.text_reader import BYTES
from tadicodec.tts.wording import as_said

LONGEST_SENTENCE = 12.0  # seconds; speech language models are trained on sentences
QUIET = 1e-3  # a prompt whose loudest sample is below this holds no voice


@dataclass(frozen=True)
class Options:
    """What a caller may choose about how a text is said; None is the model's own choice."""

    seconds: float | None = None  # of the whole text
    steps: int | None = None  # of the codec's decoder
    guidance: float | None = None


class Speaker:
    """A speech language model with the codec whose codes it speaks. Make one with `Speaker.from_pretrained()`."""

    def __init__(self, codec: Codec, engine: Engine) -> None:
        arguments.kind("a Speaker's codec", codec, Codec, "loaded by Codec.from_pretrained")
        self.codec, self.engine = codec, engine
        made_for, size = engine.config.codec, codec.config.autoencoder.codebook_size
        if made_for and made_for != codec.weights:
            named = f"{engine.config.codec_name!r} ({made_for})" if engine.config.codec_name else made_for
            raise InputError(
                f"this model speaks the codes of codec {named}, not of {codec.name!r} ({codec.weights}); give the one "
                "its corpus was tokenized with as --model (codec=...)"
            )
        if not made_for and engine.config.text != BYTES and codec.folder == find_model(None):
            raise InputError(
                "this model does not say whose codes it speaks; name its codec with --model (such as amphion/TaDiCodec)"
            )
        if engine.codebook_size != size:
            raise InputError(f"this model speaks {engine.codebook_size} codes, the codec {codec.name!r} has {size}")

    @classmethod
    def from_pretrained(
        cls,
        name: str | os.PathLike | None = None,
        *,
        engine: str | None = None,
        codec: Codec | str | os.PathLike | None = None,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> Speaker:
        """Load a speech language model and its codec.

        name: None for the bundled model of an engine, a folder, or a Hugging Face id such as
        "amphion/TaDiCodec-TTS-MGM". engine: "ar" or "masked"; None is the better one. codec: the codec itself, or what
        `Codec.from_pretrained` takes. An autoregressive model runs in the codec's backend.

        Raises:
            InputError: no such model, or one that speaks another codec's codes.
        """
        folder = find_tts_model(name, engine)
        if not isinstance(codec, Codec):
            codec = Codec.from_pretrained(codec, device, dtype)
        return cls(codec, load_engine(folder, codec.device, dtype, codec.backend))

    def prompt(self, wave: Wave, sample_rate: int, text: str | None = None) -> Prompt:
        """A voice from a few seconds of speech [N], at any sample rate, and what is said in them.

        text None: the codec's own transcript.

        Raises:
            InputError: silent, too short or too long, or no text where the codec has no transcriber.
        """
        wave, sample_rate = to_samples(wave, sample_rate, self.codec.sample_rate), self.codec.sample_rate
        if float(abs(wave).max()) < QUIET:
            raise InputError("the prompt is silent; give a few seconds of speech")
        if text is None and not self.codec.transcribes:
            raise InputError("this codec cannot transcribe the prompt; say what it says with --prompt-text (text=...)")
        prompt = self.codec.prompt(wave, sample_rate, text)
        if text is None and not prompt.text.strip():
            raise InputError("no words were recognised in the prompt; say what it says with --prompt-text (text=...)")
        return prompt

    def speak(
        self,
        text: str,
        prompt: Prompt,
        options: Options = Options(),
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Say a text of any length in a prompt's voice: a wave [N] float32 at 24 kHz.

        generator: where random numbers come from; None is seed 0, so that the result repeats.

        Raises:
            InputError: nothing to say, or a prompt or a length that cannot be.
        """
        return torch.cat(list(self.stream(text, prompt, options, generator)))

    def stream(
        self,
        text: str,
        prompt: Prompt,
        options: Options = Options(),
        generator: torch.Generator | None = None,
    ) -> Iterator[Tensor]:
        """As `speak`, sentence by sentence: the first wave is there after the first sentence."""
        generator = generator_of(generator)
        for speech in self.codes(text, prompt, options, generator):
            yield self.decode(speech, prompt, options, generator)

    def codes(
        self, text: str, prompt: Prompt, options: Options = Options(), generator: torch.Generator | None = None
    ) -> Iterator[Speech]:
        """The language model's part of `speak` alone: one Speech for each sentence."""
        generator = generator_of(generator)
        self.codec.limits.check_prompt(prompt)
        arguments.kind("a text", text, str, "a string")
        arguments.kind("options", options, Options, "an Options of tadicodec.tts.synthesize")
        for sentence, script in self.plan(text, prompt, options):
            codes = self.engine.sample(script, prompt, generator)[None]
            length = torch.tensor([codes.shape[1]])
            samples = length * SAMPLES_PER_TOKEN
            yield Speech(codes, length, samples, (sentence,), model=self.codec.name, weights=self.codec.weights)

    def plan(self, text: str, prompt: Prompt, options: Options) -> list[tuple[str, Script]]:
        """The sentences of a text and how they are to be said. A length chosen for the whole text is shared out among
        them."""
        text = clean(text)
        if self.engine.config.text == BYTES:
            text = as_said(text)  # numbers and abbreviations in words, so that their length counts
        sentences = split_sentences(text, self.longest(prompt))
        scripts = [self.engine.script(sentence, prompt) for sentence in sentences]
        most = self.codec.limits.piece_tokens
        lengths: list[int | None] = [most if script.tokens > most else None for script in scripts]
        if options.seconds is not None:
            chosen = shares(self.tokens(options.seconds), [script.tokens for script in scripts])
            lengths = [*chosen]
            if max(chosen) > most:
                limit = most / self.codec.token_rate
                raise InputError(
                    f"{options.seconds} s makes a sentence longer than {limit:.0f} s; shorten it or split the text"
                )
        return [
            (one, script if length is None else self.engine.script(one, prompt, length))
            for one, script, length in zip(sentences, scripts, lengths)
        ]

    def longest(self, prompt: Prompt) -> int:
        """How many UTF-8 bytes a sentence may have, for the decoder's sake and its own. Raises InputError where a
        prompt leaves no room."""
        seconds = min(LONGEST_SENTENCE, 0.8 * self.codec.limits.piece_tokens / self.codec.token_rate)
        spoken = int(seconds * self.codec.token_rate / USUAL)
        room = self.codec.config.inference.max_text_tokens - len(prompt.text.encode()) - 1
        if room < 8:
            raise InputError("the prompt's text leaves no room for another; give a shorter prompt")
        return min(spoken, room)

    def tokens(self, seconds: float) -> int:
        """So many seconds in tokens. Raises InputError for a length that no speech has."""
        seconds = arguments.number("seconds", seconds, 0.01, 3600, ", the length of the speech")
        return max(round(seconds * self.codec.token_rate), 1)

    def decode(self, speech: Speech, prompt: Prompt, options: Options, generator: torch.Generator) -> Tensor:
        """The codes of one sentence -> its wave [N]."""
        own, steps, guidance = self.engine.config.decoding, options.steps, options.guidance
        if own is not None:
            steps = own.steps if steps is None else steps
            guidance = own.guidance if guidance is None else guidance
        return self.codec.decode(speech, prompt, steps, guidance, generator)[0]


def shares(total: int, usual: list[int]) -> list[int]:
    """So many tokens shared out in proportion to the usual lengths, at least one to each."""
    ends = [round(total * end / sum(usual)) for end in accumulate(usual, initial=0)]
    return [max(b - a, 1) for a, b in zip(ends, ends[1:])]
