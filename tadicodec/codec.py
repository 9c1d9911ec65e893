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
from tadicodec.audio.level import Leveller
from tadicodec.audio.mel import MelSpectrogram
from tadicodec.config import CodecConfig
from tadicodec.errors import InputError
from tadicodec.integers.layout import count_weights, restore
from tadicodec.model.autoencoder import Autoencoder
from tadicodec.model.field import run_blocks
from tadicodec.model.flow import SolverConfig
from tadicodec.model.fused import fuse
from tadicodec.model.vocoder import Vocoder, lower
from tadicodec.pipeline.decoding import Item, decode_items, draw
from tadicodec.pipeline.encoding import Ear, Part, joined, parts_of
from tadicodec.pipeline.limits import TOKEN_RATE, Limits
from tadicodec.pipeline.pieces import Cutter
from tadicodec.pipeline.streaming import CONTINUE_TOKENS, Stream, Utterance, WaveStream, Window
from tadicodec.pipeline.waves import Wave, each, grouped, items_of, pad, to_samples
from tadicodec.speech import FRAMES_PER_TOKEN, SAMPLES_PER_TOKEN, Prompt, Speech
from tadicodec.text.tokens import TextTokenizer, load_tokenizer

ENCODER = ("encoder.", "vq_in_linear.")  # the tensors that decide the codes
VOCODER_FRAMES = 1500  # the vocoder takes at once
AHEAD_TOKENS = 2  # a window of a long decode ends at least so many behind its cut
STREAM_SECONDS = 1.44  # 9 tokens
MOST_PATIENT = (0.64, 3600.0)
Text = str | None | Sequence[str | None]
Prompts = Prompt | None | Sequence[Prompt | None]
Generators = torch.Generator | None | Sequence[torch.Generator]


class Codec:
    """A loaded model. Make one with `Codec.from_pretrained()`."""

    sample_rate = 24000
    token_rate = TOKEN_RATE

    def __init__(
        self, config: CodecConfig, model: Autoencoder, vocoder: Vocoder, tokenizer: TextTokenizer, *, name: str = ""
    ) -> None:
        self.config, self.tokenizer = config, tokenizer
        self.model, self.vocoder = model.eval().requires_grad_(False), vocoder.eval().requires_grad_(False)
        self.spectrogram = MelSpectrogram(config.mel)
        self.name = config.name or name
        self.weights = checkpoint.content_hash(model, ENCODER)
        self.limits = Limits(config, tokenizer, self.name, self.weights)
        self.folder: Path | None = None
        self.to("cpu", torch.float32)

    @classmethod
    def from_pretrained(
        cls,
        name: str | os.PathLike | None = None,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> Codec:
        """Load the bundled model (None), a model folder, or a Hugging Face id such as "amphion/TaDiCodec".

        dtype is the precision of the decoder's and the vocoder's wide products; codes are always computed in float32,
        so that they do not depend on it.

        Raises:
            InputError: no such model, or files that do not fit together. Loading is strict.
        """
        folder = checkpoint.find_model(name)
        config = checkpoint.load_config(folder)
        with checkpoint.unfilled():
            model, vocoder = Autoencoder(config.autoencoder), Vocoder(config.vocoder)
        restore(model, config.quantization.get("model", []))
        restore(vocoder, config.quantization.get("vocoder", []))
        checkpoint.load_weights(model, folder / "model.safetensors")
        checkpoint.load_weights(vocoder, checkpoint.vocoder_file(folder))
        codec = cls(config, model, vocoder, load_tokenizer(config, folder), name=str(name or "bundled"))
        codec.folder = folder
        return codec.to(device, dtype)

    @property
    def bundled(self) -> bool:
        """Whether this is the model that comes with the package."""
        return self.folder is not None and self.folder == checkpoint.find_model(None)

    def to(self, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32) -> Codec:
        """Move to a device and choose the precision of decoder and vocoder; codes are always computed in float32."""
        try:
            target = torch.device(device)
            if target.type == "meta":
                raise RuntimeError("it computes nothing")
            for module in (self.model, self.vocoder, self.spectrogram):
                module.to(target)
        except (RuntimeError, AssertionError) as error:
            raise InputError(f"device {str(device)!r} cannot be used: {str(error).splitlines()[0]}") from error
        fuse(self.model, torch.float32)
        if dtype != torch.float32:
            fuse(self.model.decoder, dtype)
        lower(self.vocoder, dtype)
        self.device, self.dtype = target, dtype
        return self

    def compile(self, **options: Any) -> Codec:
        """Compile decoder and vocoder with `torch.compile(**options)`: the first calls take minutes, later ones are
        faster. Worth it where many are decoded, and on GPUs (mode="reduce-overhead")."""
        options = {"dynamic": True, **options}
        self.model.run = torch.compile(run_blocks, **options)
        self.vocoder.backbone.compile(**options)
        return self

    def save_pretrained(
        self, folder: str | os.PathLike, *, dtype: torch.dtype | None = None, overwrite: bool = False
    ) -> None:
        """Write config.json, model.safetensors and vocoder/model.safetensors (nothing executable).

        dtype stores the weights in another precision; loading gives back float32 of what was stored.
        """
        weights = {"model.safetensors": self.model.state_dict(), "vocoder/model.safetensors": self.vocoder.state_dict()}
        if dtype is not None:
            weights = {file: checkpoint.to_dtype(tensors, dtype) for file, tensors in weights.items()}
        tokenizer = None
        if self.folder is not None and (self.folder / "text_tokenizer").is_dir():
            tokenizer = self.folder / "text_tokenizer"
        checkpoint.save_model(Path(folder), self.config, weights, tokenizer=tokenizer, overwrite=overwrite)

    # wave -> codes --------------------------------------------------------------------------------------------------

    @torch.inference_mode()
    def encode(self, wave: Wave | Sequence[Wave], sample_rate: int, text: Text = None) -> Speech:
        """Waves to codes.

        wave: one [N], a batch [B, N], or a list of [N_i] of different lengths; float samples in [-1, 1] at any sample
        rate. text: what is said, one string each; it travels with the codes and does not change them. None: what the
        model's own transcriber hears, if it has one; "": nothing.

        Raises:
            InputError: no samples, samples that are not finite, not one text a wave, a text too long for the model.
        """
        waves = [to_samples(item, sample_rate, self.sample_rate) for item in items_of(wave)]
        texts = (text,) * len(waves) if text is None or isinstance(text, str) else tuple(text)
        if len(texts) != len(waves):
            raise InputError(f"{len(waves)} waves but {len(texts)} texts; give one text for each")
        for samples, words in zip(waves, texts):
            self.limits.check_text(words, len(samples))
        parts = [
            Part(owner, place, samples)
            for owner, item in enumerate(waves)
            for place, samples in enumerate(map(self.leveller(), parts_of([item], self.cutter())))
        ]
        heard = self.ear(*texts).parts(parts, self.batch_tokens())
        codes, written = zip(*(joined(heard[owner]) for owner in range(len(waves))), strict=True)
        sizes = [len(item) for item in waves]
        return self.speech(codes, sizes, tuple(map(self.text_or, texts, written, sizes)))

    def ear(self, *texts: str | None) -> Ear:
        """An encoder that also transcribes, if a text is missing and this model can."""
        return Ear(self.model, self.spectrogram, writes=self.transcribes and None in texts)

    def leveller(self) -> Leveller:
        """For the pieces of one recording."""
        return Leveller(self.config.inference.level)

    @property
    def transcribes(self) -> bool:
        """Whether this model can write down what it hears."""
        return self.config.autoencoder.transcriber_layers > 0

    def text_or(self, given: str | None, written: str, samples: int) -> str | None:
        """The text that was given, or else the transcriber's; noise may make it write more than the decoder takes."""
        if given is not None or not self.transcribes:
            return given
        try:
            self.limits.check_text(written, samples)
        except InputError:
            return ""
        return written

    @torch.inference_mode()
    def transcribe(self, wave: Wave, sample_rate: int) -> str:
        """What the model's transcriber hears in a wave [N]: lower-case words without punctuation.

        Raises:
            InputError: as `encode`, or a model without a transcriber, such as the published ones.
        """
        if not self.transcribes:
            raise InputError(f"{self.name} has no transcriber; give the text, or an ASR model with --asr")
        return self.encode(wave, sample_rate).text[0] or ""

    @torch.inference_mode()
    def encode_blocks(self, blocks: Iterable[np.ndarray], text: str | None = None) -> Speech:
        """24 kHz samples [n] block by block, as they are read -> the codes of `encode`, in constant memory.

        Raises:
            InputError: as `encode`.
        """
        samples, heard = 0, []

        def counted() -> Iterator[np.ndarray]:
            nonlocal samples
            for block in filter(len, blocks):
                samples += len(block)
                yield to_samples(block, self.sample_rate, self.sample_rate)

        ear = self.ear(text)
        for part in map(self.leveller(), parts_of(counted(), self.cutter())):
            heard += ear.batch([part])
        if not heard:
            raise InputError("a wave has at least one sample")
        self.limits.check_text(text, samples)
        codes, written = joined(heard)
        return self.speech([codes], [samples], (self.text_or(text, written, samples),))

    def speech(self, codes: Sequence[Tensor], samples: Sequence[int], texts: tuple[str | None, ...]) -> Speech:
        return Speech(
            codes=pad(codes),
            lengths=torch.tensor([len(item) for item in codes]),
            samples=torch.tensor(samples),
            text=texts,
            model=self.name,
            weights=self.weights,
        )

    @torch.inference_mode()
    def prompt(self, wave: Wave, sample_rate: int, text: str | None = None) -> Prompt:
        """A speaker prompt from a few seconds of speech [N] and what is said in them (None: as in `encode`).

        The end is cut to whole tokens (0.16 s), because a prompt must not end in padding.

        Raises:
            InputError: shorter than one token, or longer than a piece.
        """
        samples = to_samples(wave, sample_rate, self.sample_rate)
        tokens = len(samples) // SAMPLES_PER_TOKEN
        limit = self.piece_tokens()
        if not 1 <= tokens <= limit:
            seconds, most = len(samples) / self.sample_rate, limit / self.token_rate
            raise InputError(f"a prompt of {seconds:.2f} s: give one between 0.16 and {most:.0f} s")
        trimmed = self.leveller()(samples[: tokens * SAMPLES_PER_TOKEN])
        heard = self.ear(text).batch([trimmed])[0]
        words = self.text_or(text, heard.text, len(trimmed)) or ""
        self.limits.check_text(words, len(trimmed))
        return Prompt(self.mel(trimmed)[0], heard.codes, words, self.weights)

    # codes -> wave --------------------------------------------------------------------------------------------------

    @torch.inference_mode()
    def decode(
        self,
        speech: Speech,
        prompt: Prompts = None,
        steps: int | None = None,
        guidance: float | None = None,
        generator: Generators = None,
    ) -> Tensor:
        """Codes (and text, and a speaker prompt) to waves [B, N] float32 on the CPU, zeros behind each item's samples.

        prompt: one for all items or one an item. steps, guidance: None takes the model's own. generator: one (its
        numbers are drawn item by item, so a batch gets what single items get in turn), one an item, or None for seed 0.

        Raises:
            InputError: codes outside the codebook, a text too long for the model, steps below 1.
        """
        prompts = each(prompt, len(speech))
        self.limits.check(speech, prompts)
        solver = self.solver(steps, guidance)
        generators = each(torch.Generator().manual_seed(0) if generator is None else generator, len(speech))
        waves: dict[int, Tensor] = {}
        items: dict[int, Item] = {}
        for i, (own, noise) in enumerate(zip(prompts, generators, strict=True)):
            if int(speech.lengths[i]) > self.piece_tokens():
                stream = Stream(self, utterance(speech[i], own), solver, noise, self.cutter())
                waves[i] = torch.cat(list(stream.feed(speech[i].codes[0])))
            else:
                items[i] = self.item(speech[i], own, noise)
        waves |= zip(items, self.decode_short(list(items.values()), solver), strict=True)
        return pad([waves[i][: int(samples)] for i, samples in enumerate(speech.samples)])

    def item(self, speech: Speech, prompt: Prompt | None, generator: torch.Generator) -> Item:
        noise = draw(int(speech.lengths[0]), self.config.mel.num_mels, generator)
        return Item(speech.codes[0].cpu(), noise, self.limits.text_ids(speech.text[0], prompt), prompt)

    def decode_short(self, items: Sequence[Item], solver: SolverConfig) -> list[Tensor]:
        """Waves [480 F_i] of items that the model takes at once."""
        mels = decode_items(self.model, items, solver, self.batch_tokens())
        waves: dict[int, Tensor] = {}
        for group in grouped(range(len(mels)), [len(mel) for mel in mels], self.batch_tokens() * FRAMES_PER_TOKEN):
            lengths = torch.tensor([len(mels[index]) for index in group])
            waves |= zip(group, self.vocode(pad([mels[index] for index in group]), lengths), strict=True)
        return [waves[index] for index in range(len(mels))]

    def stream(
        self,
        speech: Speech,
        prompt: Prompt | None = None,
        steps: int | None = None,
        guidance: float | None = None,
        generator: torch.Generator | None = None,
        *,
        seconds: float = STREAM_SECONDS,
    ) -> Iterator[Tensor]:
        """One utterance as waves [n], each as soon as `seconds` of codes are there to make it from.

        With 1.44 s, a listener who starts when the first wave comes never waits, as long as decoding is faster than
        speech. Longer windows sound better and cost less; from the model's own piece length on, the waves together are
        those of `decode`.

        Raises:
            InputError: as `decode`, or more than one utterance.
        """
        if len(speech) != 1:
            raise InputError(f"a stream is one utterance, not {len(speech)}; stream speech[i] one by one")
        self.limits.check(speech, [prompt])
        stream = self.receive(utterance(speech, prompt), steps, guidance, generator, seconds=seconds)
        yield from stream.feed(speech.codes[0, : int(speech.lengths[0])])

    def receive(
        self,
        utterance: Utterance,
        steps: int | None = None,
        guidance: float | None = None,
        generator: torch.Generator | None = None,
        *,
        seconds: float = STREAM_SECONDS,
    ) -> Stream:
        """As `stream`, for codes that are not there yet: `feed` them to the result.

        Raises:
            InputError: steps, guidance or seconds out of range, a prompt of another model.
        """
        if not MOST_PATIENT[0] <= seconds <= MOST_PATIENT[1]:
            raise InputError(f"windows of {seconds} s: give {MOST_PATIENT[0]} to {MOST_PATIENT[1]:.0f} s")
        if utterance.prompt is not None:
            self.limits.check_prompt(utterance.prompt)
        generator = torch.Generator().manual_seed(0) if generator is None else generator
        return Stream(self, utterance, self.solver(steps, guidance), generator, self.cutter(seconds))

    @torch.inference_mode()
    def vocode(self, mel: Tensor, lengths: Tensor | None = None) -> Tensor:
        """mel [B, F, 128], lengths [B] frames (None: no padding) -> wave [B, 480 F] on the CPU."""
        mel = mel.float()
        if mel.shape[1] > VOCODER_FRAMES:
            counts = [mel.shape[1]] * len(mel) if lengths is None else lengths.tolist()
            return pad([self.vocode_long(item[:count]) for item, count in zip(mel, counts, strict=True)])
        if lengths is not None and bool((lengths == mel.shape[1]).all()):
            lengths = None
        return self.vocoder(mel.to(self.device), None if lengths is None else lengths.to(self.device)).cpu()

    def vocode_long(self, mel: Tensor) -> Tensor:
        """mel [F, 128] -> wave [480 F], in pieces with all the context the vocoder sees: the same wave as whole."""
        stream, blocks = WaveStream(self), mel.cpu().split(VOCODER_FRAMES)
        windows = [Window(block, block[:0], index + 1 == len(blocks)) for index, block in enumerate(blocks)]
        return torch.cat([stream.push(window) for window in windows])

    @torch.inference_mode()
    def mel(self, wave: Wave) -> Tensor:
        """24 kHz wave [N] or [B, N] of one length -> normalised log-mel [B, F, 128], padded to whole tokens."""
        samples = torch.as_tensor(wave, dtype=torch.float32)
        samples = samples[None] if samples.ndim == 1 else samples
        padded = torch.nn.functional.pad(samples, (0, -samples.shape[1] % SAMPLES_PER_TOKEN))
        return self.spectrogram(padded.to(self.device)).cpu()

    def reconstruct(
        self,
        wave: Wave | Sequence[Wave],
        sample_rate: int,
        text: Text = None,
        prompt: Prompts = None,
        *,
        steps: int | None = None,
        guidance: float | None = None,
        generator: Generators = None,
    ) -> Tensor:
        """`decode(encode(wave))`: what a listener on the other end hears."""
        return self.decode(self.encode(wave, sample_rate, text), prompt, steps, guidance, generator)

    # the small print ------------------------------------------------------------------------------------------------

    def info(self) -> dict[str, Any]:
        """What this model is, for people and for machines."""
        count = {
            "codec": self.model,
            "encoder": self.model.encoder,
            "decoder": self.model.decoder,
            "vocoder": self.vocoder,
        }
        return {
            "name": self.name,
            "weights": self.weights,
            "sample_rate": self.sample_rate,
            "token_rate": self.token_rate,
            "codebook_size": self.config.autoencoder.codebook_size,
            "bits_per_second": self.token_rate * self.config.autoencoder.vq_emb_dim,
            "steps": self.config.inference.steps,
            "guidance": self.config.inference.guidance,
            "text_tokenizer": self.config.text_tokenizer,
            "parameters": {name: count_weights(module) for name, module in count.items()},
            "quantization": self.config.quantization.get("method", "none"),
        }

    def piece_tokens(self) -> int:
        """Tokens the model takes at once."""
        return self.limits.piece_tokens

    def batch_tokens(self) -> int:
        """Padded tokens of a batch."""
        return self.piece_tokens() * (4 if self.device.type == "cpu" else 32)

    def cutter(self, seconds: float = float("inf")) -> Cutter:
        """Cuts into pieces of at most so long, and of what the model takes."""
        longest = min(max(int(min(seconds, 3600.0) * self.token_rate), 2), self.piece_tokens())
        search = max(min(longest // 2, CONTINUE_TOKENS), 1)
        return Cutter(longest, search, ahead=min(AHEAD_TOKENS, search))

    def solver(self, steps: int | None = None, guidance: float | None = None) -> SolverConfig:
        defaults = self.config.inference
        steps = defaults.steps if steps is None else steps
        guidance = defaults.guidance if guidance is None else guidance
        if steps < 1:
            raise InputError(f"steps {steps}: give at least 1 (32 is usual)")
        if not 0 <= guidance < float("inf"):
            raise InputError(f"guidance {guidance}: give 0 (none) or a positive number (2 is usual)")
        return SolverConfig(
            steps,
            guidance,
            defaults.rescale,
            defaults.method,
            defaults.sway,
            defaults.guidance_from,
            defaults.guidance_to,
            defaults.temperature,
        )


def utterance(speech: Speech, prompt: Prompt | None) -> Utterance:
    """Of a batch of one."""
    return Utterance(int(speech.lengths[0]), int(speech.samples[0]), speech.text[0], prompt)
