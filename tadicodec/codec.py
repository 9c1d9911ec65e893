"""The codec: waves to codes and back. The tour of the package starts here.

Vocabulary, used everywhere: `wave` [B, N] 24 kHz · `mel` [B, F, 128] normalised log-mel, 50 Hz · `latents` [B, T, 14]
before quantization, 6.25 Hz · `codes` [B, T] int64 in 0..16383 · `velocity` [B, F, 128] · `prompt` a speaker's clean
mel with its codes and text · `text_ids` [B, L] · `lengths` [B] beside every padded tensor. N = 480 F = 3840 T: a wave
is zero-padded to whole tokens at the door and trimmed to its own sample count at the exit, so that nothing depends on
what else is in the batch.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tadicodec import checkpoint
from tadicodec.audio.mel import MelSpectrogram
from tadicodec.config import CodecConfig
from tadicodec.errors import InputError
from tadicodec.guards import arguments
from tadicodec.integers.layout import count_weights
from tadicodec.model.autoencoder import Autoencoder
from tadicodec.model.field import run_blocks
from tadicodec.model.fused import fuse
from tadicodec.model.vocoder import Vocoder, lower
from tadicodec.pipeline import waves
from tadicodec.pipeline.decoding import Renderer
from tadicodec.pipeline.encoding import WaveEncoder
from tadicodec.pipeline.limits import TOKEN_RATE, Limits
from tadicodec.pipeline.reading import read_all, reads
from tadicodec.pipeline.streaming import STREAM_SECONDS, Utterance, open_stream, render_all
from tadicodec.pipeline.vocoding import vocode
from tadicodec.pipeline.waves import Generators, Prompts, Texts, Wave
from tadicodec.pipeline.word_times import byte_times, word_times
from tadicodec.runtime.backend import TORCH, on_cpu, runtime_renderer
from tadicodec.runtime.encoding import runtime_encoder
from tadicodec.speech import Codes, Prompt, Speech, to_speech
from tadicodec.text.captions import Word
from tadicodec.text.tokens import TextTokenizer, load_tokenizer


class Codec:
    """A loaded model. Make one with `Codec.from_pretrained()`."""

    sample_rate, token_rate, backend, encode_backend = 24000, TOKEN_RATE, TORCH, TORCH

    def __init__(
        self, config: CodecConfig, model: Autoencoder, vocoder: Vocoder, tokenizer: TextTokenizer, *, name: str = ""
    ) -> None:
        self.config, self.tokenizer = config, tokenizer
        self.model, self.vocoder = model.eval().requires_grad_(False), vocoder.eval().requires_grad_(False)
        self.spectrogram, self.name = MelSpectrogram(config.mel), config.name or name
        self.weights = checkpoint.content_hash(model, checkpoint.ENCODER)
        self.limits = Limits(config, tokenizer, self.name, self.weights)
        self.folder: Path | None = None
        self.to("cpu", torch.float32)

    @classmethod
    def from_pretrained(
        cls,
        name: str | os.PathLike | None = None,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
        *,
        backend: str = TORCH,
        encode_backend: str = TORCH,
    ) -> Codec:
        """Load the bundled model (None), a model folder, or a Hugging Face id such as "amphion/TaDiCodec".

        dtype is the precision of the decoder's and the vocoder's wide products; codes are always computed in float32,
        so that they do not depend on it. backend: "torch"; "onnx" decodes in ONNX Runtime what is faster there on this
        machine; "onnx-int8" the same with numbers of 8 bits, which changes the sound but no code. encode_backend:
        "onnx" encodes in ONNX Runtime, in float32, if that is faster and 99.9 % of the codes stay torch's. Loading is
        strict: raises InputError for no such model, and for files that do not fit together."""
        folder = checkpoint.find_model(name)
        config = checkpoint.load_config(folder)
        model, vocoder = checkpoint.load_networks(folder, config)
        codec = cls(config, model, vocoder, load_tokenizer(config, folder), name=str(name or checkpoint.BUNDLED))
        codec.folder, codec.backend, codec.encode_backend = folder, backend, encode_backend
        return codec.to(device, dtype)

    def to(self, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32) -> Codec:
        """Move to a device and choose the precision of decoder and vocoder; codes are always computed in float32.
        Backends are chosen anew. Raises InputError for a device that they do not know."""
        self.dtype = checkpoint.check_dtype(dtype)
        for backend in {self.backend, self.encode_backend} - {TORCH}:  # before anything moves
            on_cpu(device, f"backend {backend}")
        self.device = checkpoint.move(device, self.model, self.vocoder, self.spectrogram)
        fuse(self.model, torch.float32)
        if dtype != torch.float32:
            fuse(self.model.decoder, dtype)
        lower(self.vocoder, dtype)
        self.renderer = runtime_renderer(Renderer(self.model, self.vocoder, self.limits), self.backend)
        self.encoder = runtime_encoder(WaveEncoder(self.model, self.spectrogram, self.limits), self.encode_backend)
        return self

    def compile(self, **options: Any) -> Codec:
        """Compile decoder and vocoder with `torch.compile(**options)`: the first calls take minutes, later ones are
        faster. Worth it where many are decoded, and on GPUs (mode="reduce-overhead"). Raises InputError where ONNX
        Runtime decodes."""
        if self.backend != TORCH:
            raise InputError(f"compile() is for the backend torch, and this codec has {self.backend}")
        options.setdefault("dynamic", True)
        self.model.run = torch.compile(run_blocks, **options)
        self.vocoder.backbone.compile(**options)
        return self

    def save_pretrained(
        self, folder: str | os.PathLike, *, dtype: torch.dtype | None = None, overwrite: bool = False
    ) -> None:
        """Write config.json, model.safetensors and vocoder/model.safetensors; nothing executable. Loading gives back
        what was stored in dtype (None: as it is). Raises InputError where it cannot write."""
        tokenizer = self.folder and self.folder / "text_tokenizer"
        networks = {"model.safetensors": self.model, "vocoder/model.safetensors": self.vocoder}
        weights = {file: checkpoint.to_dtype(network.state_dict(), dtype) for file, network in networks.items()}
        target = arguments.path("a model folder", folder)
        checkpoint.save_model(target, self.config, weights, tokenizer=tokenizer, overwrite=overwrite)

    @torch.inference_mode()
    def encode(self, wave: Wave | Sequence[Wave], sample_rate: int, text: Texts = None) -> Speech:
        """Waves to codes.

        wave: one [N], a batch [B, N], or a list of [N_i] of different lengths; float samples in [-1, 1] at any sample
        rate. text: what is said, one string each; it travels with the codes and does not change them. None: what the
        model's own transcriber hears, if it has one; "": nothing.

        Raises:
            InputError: no samples, samples that are not finite, not one text a wave, a text too long for the model.
        """
        samples = [waves.to_samples(item, sample_rate, self.sample_rate) for item in waves.items_of(wave)]
        return self.encoder.encode(samples, arguments.texts(text, len(samples)))

    @property
    def transcribes(self) -> bool:
        """Whether this model can write down what it hears."""
        return self.encoder.transcribes

    @torch.inference_mode()
    def transcribe(self, wave: Wave, sample_rate: int) -> str:
        """What the model's transcriber hears in a wave [N]: lower-case words without punctuation. Raises InputError as
        `encode`, and for a model without a transcriber, such as the published ones."""
        if not self.transcribes:
            raise InputError(f"{self.name} has no transcriber; give the text, or an ASR model with --asr")
        return self.encode(wave, sample_rate).text[0] or ""

    @torch.inference_mode()
    def encode_blocks(self, blocks: Iterable[np.ndarray], text: str | None = None) -> Speech:
        """24 kHz samples [n] block by block, as they are read, to what `encode` gives, in constant memory."""
        return self.encoder.encode_blocks(blocks, *arguments.texts(text, 1))

    @torch.inference_mode()
    def prompt(self, wave: Wave, sample_rate: int, text: str | None = None) -> Prompt:
        """A speaker prompt from a few seconds of speech [N] and what is said in them (None: as in `encode`), cut to
        whole tokens (0.16 s), because a prompt must not end in padding.

        Raises:
            InputError: shorter than one token, or longer than a piece.
        """
        return self.encoder.prompt(waves.to_samples(wave, sample_rate, self.sample_rate), *arguments.texts(text, 1))

    @torch.inference_mode()
    def decode(
        self,
        speech: Speech | Codes,
        prompt: Prompts = None,
        steps: int | None = None,
        guidance: float | None = None,
        generator: Generators = None,
        *,
        text: Texts = None,
        lengths: Tensor | np.ndarray | Sequence[int] | None = None,
    ) -> Tensor:
        """Codes (and text, and a speaker prompt) to waves [B, N] float32 on the CPU, zeros behind each item's samples.

        speech: what `encode` gives, or codes alone, as a language model makes them: integers [T] or [B, T], or a list
        of [T_i]; then text is what they say, and lengths [B] how many codes of each row count. prompt: one for all
        items or one an item. steps, guidance: None takes the model's own. generator: one (its numbers are drawn item by
        item, so a batch gets what single items get in turn), one an item, or None for seed 0.

        Where a text is None, the model reads it in the codes, if it can (`read`); "" is for codes that say nothing.

        Raises:
            InputError: codes outside the codebook or no integers, a text too long for the model, steps below 1.
        """
        speech = to_speech(speech, text, lengths)
        prompts = waves.each(prompt, len(speech))
        self.limits.check(speech, prompts)
        generators = waves.generators_of(generator, len(speech))
        return waves.pad(render_all(self.renderer, speech, prompts, self.limits.solver(steps, guidance), generators))

    def stream(
        self,
        speech: Speech | Codes,
        prompt: Prompt | None = None,
        steps: int | None = None,
        guidance: float | None = None,
        generator: torch.Generator | None = None,
        *,
        seconds: float = STREAM_SECONDS,
        text: str | None = None,
    ) -> Iterator[Tensor]:
        """One utterance (or codes [T] alone, and the text they say) as waves [n], each as soon as `seconds` of codes
        are there to make it from.

        With 1.44 s, a listener who starts when the first wave comes never waits, as long as decoding is faster than
        speech. Longer windows sound better and cost less; from the model's own piece length on, the waves together are
        those of `decode`.

        Raises:
            InputError: as `decode`, or more than one utterance.
        """
        speech = self.limits.check_one(to_speech(speech, text), prompt)
        solver = self.limits.solver(steps, guidance)
        stream = open_stream(self.renderer, Utterance.of(speech, prompt), solver, generator, seconds)
        yield from stream.feed(speech.codes[0, : int(speech.lengths[0])])

    def read(self, speech: Speech | Codes) -> tuple[str, ...]:
        """What codes say, by the codes alone: one text an utterance, lower-case words without punctuation. The model's
        aligner hears letters in them, its text model knows English. What `encode` heard in the wave is far better.

        Raises:
            InputError: as `decode`, and for a model that cannot read, such as the published ones.
        """
        speech = to_speech(speech)
        self.limits.check(speech, [])
        if not reads(self.limits):
            raise InputError(f"{self.name} has no aligner of letters, so it cannot read codes")
        return tuple(read_all(self.renderer, row[:length]) for row, length in zip(speech.codes, speech.lengths))

    def words(self, speech: Speech) -> list[Word]:
        """The words of one utterance's text and when each is said, in seconds: found in codes and text alone. Raises
        InputError for more than one utterance, and for models without an aligner, such as the published ones."""
        return word_times(self.renderer, speech)

    def byte_times(self, speech: Speech, text: bytes) -> np.ndarray | None:
        """The token at which each byte of a text [n] begins in one utterance, [n] float64; None without an aligner."""
        return byte_times(self.renderer, speech, text)

    @torch.inference_mode()
    def vocode(self, mel: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Mel [B, F, 128], lengths [B] frames (None: no padding) to waves [B, 480 F] on the CPU. Raises InputError for
        numbers of another shape."""
        return vocode(self.vocoder, self.config, mel, lengths)

    @torch.inference_mode()
    def mel(self, wave: Wave) -> Tensor:
        """24 kHz wave [N] or [B, N] of one length -> normalised log-mel [B, F, 128], padded to whole tokens."""
        return self.encoder.mel(waves.floats("a wave", wave, (1, 2))).cpu()

    def reconstruct(
        self,
        wave: Wave | Sequence[Wave],
        sample_rate: int,
        text: Texts = None,
        prompt: Prompts = None,
        *,
        steps: int | None = None,
        guidance: float | None = None,
        generator: Generators = None,
    ) -> Tensor:
        """`decode(encode(wave))`: what a listener on the other end hears. Takes and raises what these two do."""
        return self.decode(self.encode(wave, sample_rate, text), prompt, steps, guidance, generator)

    def info(self) -> dict[str, Any]:
        """What this model is, for people and for machines."""
        whole = self.model
        parts = {"codec": whole, "encoder": whole.encoder, "decoder": whole.decoder, "vocoder": self.vocoder}
        return {**self.limits.describe(), "parameters": {name: count_weights(part) for name, part in parts.items()}}
