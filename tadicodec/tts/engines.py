"""The two ways from a text and a prompt to codes, behind one interface."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol, cast

import torch
from torch import Tensor

from tadicodec.errors import InputError
from tadicodec.runtime.backend import TORCH
from tadicodec.speech import Prompt
from tadicodec.tts.ar_sampler import ArSampling, generate_codes
from tadicodec.tts.autoregressive import ExtendedLM, SpeechLM
from tadicodec.tts.duration import Durations
from tadicodec.tts.folder import load_tts
from tadicodec.tts.mask_sampler import MaskSampling, sample_masked
from tadicodec.tts.masked import MaskedNetwork, Words
from tadicodec.tts.model_config import AR, MASKED, TtsConfig
from tadicodec.tts.runtime_llama import runtime_speaker
from tadicodec.tts.script import Script, chat_script, timed_script
from tadicodec.tts.text_reader import GLUE, TextReader, load_reader

Write = Callable[[str, Prompt, int | None], Script]


class Engine(Protocol):
    """A speech language model with what it reads and how it samples."""

    config: TtsConfig
    codebook_size: int

    def script(self, text: str, prompt: Prompt, tokens: int | None = None) -> Script:
        """What will be said in a prompt's voice, and for how long; `tokens` sets the length, None leaves it to the
        model."""

    def sample(self, script: Script, prompt: Prompt, generator: torch.Generator) -> Tensor:
        """New codes [T] for a script, without the prompt's."""


class MaskedEngine(Engine):
    """Speaks with a masked model."""

    def __init__(self, config: TtsConfig, network: MaskedNetwork, reader: TextReader) -> None:
        self.config, self.network, self.reader = config, network, reader
        self.codebook_size = network.config.cond_codebook_size
        if reader.vocab_size > network.config.phone_vocab_size:
            raise InputError("the tokenizer has more entries than the model's phone_vocab_size: not its tokenizer")

    def script(self, text: str, prompt: Prompt, tokens: int | None = None) -> Script:
        durations: Durations | None = getattr(self.network, "duration", None)
        return write(self.reader, durations, GLUE[MASKED], text, prompt, tokens)

    def sample(self, script: Script, prompt: Prompt, generator: torch.Generator) -> Tensor:
        device = self.network.mask_emb.weight.device
        times = None if script.starts is None else script.starts[None].to(device)
        words = Words(script.ids[None].to(device), torch.tensor([len(script.ids)], device=device), times)
        sampling = cast(MaskSampling, self.config.sampling)
        return sample_masked(self.network, prompt.codes, script.tokens, words, sampling, generator)


class ArEngine(Engine):
    """Speaks with an autoregressive model."""

    def __init__(
        self, config: TtsConfig, network: SpeechLM | ExtendedLM, reader: TextReader, backend: str = TORCH
    ) -> None:
        self.config, self.reader = config, reader
        self.vocabulary, self.lm = network.vocabulary, runtime_speaker(network, backend) or network.expanded()
        self.durations: Durations | None = getattr(network, "duration", None)
        self.codebook_size = len(self.vocabulary.codes)

    def script(self, text: str, prompt: Prompt, tokens: int | None = None) -> Script:
        return write(self.reader, self.durations, GLUE[AR], text, prompt, tokens)

    def sample(self, script: Script, prompt: Prompt, generator: torch.Generator) -> Tensor:
        sampling = cast(ArSampling, self.config.sampling)
        return generate_codes(self.lm, self.vocabulary, script, prompt.codes, sampling, generator)


def write(
    reader: TextReader, durations: Durations | None, glue: str, text: str, prompt: Prompt, tokens: int | None
) -> Script:
    """The script of a text in a prompt's voice. glue: what published models of a kind have between the prompt's text
    and the new one."""
    if durations is not None:
        return timed_script(durations, reader.encode(text), reader.encode(prompt.text), len(prompt.codes), tokens)
    ids = reader.encode(glue.join(part for part in (prompt.text, text) if part))
    return chat_script(ids, text, prompt.text, len(prompt.codes), tokens)


def load_engine(
    folder: Path,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    backend: str = TORCH,
) -> Engine:
    """The engine of a model folder, on this device, in this precision, and in this backend where it has one. Raises
    InputError where files do not fit together."""
    config, network = load_tts(folder, dtype)
    ours = folder / "text_tokenizer"
    place = ours if ours.is_dir() else folder  # published models keep it beside the weights
    reader = load_reader(config.text, place, alone=config.shape is not None)
    return engine_of(config, network.to(device), reader, backend)


def engine_of(config: TtsConfig, network: torch.nn.Module, reader: TextReader, backend: str = TORCH) -> Engine:
    """The engine of a network that is loaded."""
    if isinstance(network, MaskedNetwork):
        return MaskedEngine(config, network, reader)
    return ArEngine(config, cast(SpeechLM | ExtendedLM, network), reader, backend)
