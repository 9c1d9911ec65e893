"""The codec: waves to codes and back. The tour of the package starts here.

Vocabulary, used everywhere: `wave` [B, N] 24 kHz · `mel` [B, F, 128] normalised log-mel, 50 Hz · `latents` [B, T, 14]
before quantization, 6.25 Hz · `codes` [B, T] int64 in 0..16383 · `velocity` [B, F, 128] · `prompt` a speaker's clean
mel with its codes and text · `text_ids` [B, L] · `lengths` [B] beside every padded tensor. N = 480 F = 3840 T: a wave
is zero-padded to whole tokens at the door and trimmed to its own sample count at the exit, so that nothing depends on
what else is in the batch.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tadicodec import checkpoint
from tadicodec.audio.mel import MelSpectrogram
from tadicodec.config import CodecConfig
from tadicodec.errors import InputError
from tadicodec.model.autoencoder import Autoencoder
from tadicodec.model.flow import SolverConfig
from tadicodec.model.vocoder import Vocoder
from tadicodec.pieces import Piece, cut, tail
from tadicodec.quant.layout import restore
from tadicodec.speech import SAMPLES_PER_TOKEN, Prompt, Speech
from tadicodec.text.tokens import TextTokenizer, load_tokenizer
from tadicodec.waves import Wave, batched, each, items_of, pad, to_samples

ENCODER = ("encoder.", "vq_in_linear.")  # the tensors that decide the codes
FRAMES_PER_TOKEN = 8
VOCODER_FRAMES = 1500  # the vocoder takes at once
Text = str | None | Sequence[str | None]
Prompts = Prompt | None | Sequence[Prompt | None]
Generators = torch.Generator | None | Sequence[torch.Generator]


class Codec:
    """A loaded model. Make one with `Codec.from_pretrained()`."""

    sample_rate = 24000
    token_rate = 6.25

    def __init__(
        self, config: CodecConfig, model: Autoencoder, vocoder: Vocoder, tokenizer: TextTokenizer, *, name: str = ""
    ) -> None:
        self.config, self.tokenizer = config, tokenizer
        self.model, self.vocoder = model.eval().requires_grad_(False), vocoder.eval().requires_grad_(False)
        self.spectrogram = MelSpectrogram(config.mel)
        self.name = config.name or name
        self.weights = checkpoint.content_hash(model, ENCODER)
        self.device, self.dtype = torch.device("cpu"), torch.float32
        self.folder: Path | None = None

    @classmethod
    def from_pretrained(
        cls,
        name: str | os.PathLike | None = None,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> Codec:
        """Load the bundled model (None), a model folder, or a Hugging Face id such as "amphion/TaDiCodec".

        dtype is the precision the decoder computes in (autocast); codes are always computed in float32, so that they
        do not depend on it.

        Raises:
            InputError: no such model, or files that do not fit together. Loading is strict.
        """
        folder = checkpoint.find_model(name)
        config = checkpoint.load_config(folder)
        with torch.device("meta"):
            model, vocoder = Autoencoder(config.autoencoder), Vocoder(config.vocoder)
        restore(model, config.quantization.get("model", []))
        restore(vocoder, config.quantization.get("vocoder", []))
        model, vocoder = model.to_empty(device="cpu"), vocoder.to_empty(device="cpu")
        checkpoint.load_weights(model, folder / "model.safetensors")
        checkpoint.load_weights(vocoder, checkpoint.vocoder_file(folder))
        codec = cls(config, model, vocoder, load_tokenizer(config, folder), name=str(name or "bundled"))
        codec.folder = folder
        return codec.to(device, dtype)

    def to(self, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32) -> Codec:
        """Move to a device and choose the decoder's precision."""
        try:
            target = torch.device(device)
            if target.type == "meta":
                raise RuntimeError("it computes nothing")
            for module in (self.model, self.vocoder, self.spectrogram):
                module.to(target)
        except (RuntimeError, AssertionError) as error:
            raise InputError(f"device {str(device)!r} cannot be used: {str(error).splitlines()[0]}") from error
        self.device, self.dtype = target, dtype
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
        rate. text: what is said, one string each (None: unknown); it travels with the codes and does not change them.

        Raises:
            InputError: no samples, samples that are not finite, not one text a wave, a text too long for the model.
        """
        waves = [to_samples(item, sample_rate, self.sample_rate) for item in items_of(wave)]
        texts = (text,) * len(waves) if text is None or isinstance(text, str) else tuple(text)
        if len(texts) != len(waves):
            raise InputError(f"{len(waves)} waves but {len(texts)} texts; give one text for each")
        for samples, words in zip(waves, texts):  # a text that cannot be decoded must not be stored
            for piece in cut(-(-len(samples) // SAMPLES_PER_TOKEN), self.piece_tokens()):
                self.text_ids(piece.words(words), None)
        codes = self.encode_items(waves)
        return Speech(
            codes=pad(codes),
            lengths=torch.tensor([len(item) for item in codes]),
            samples=torch.tensor([len(item) for item in waves]),
            text=texts,
            model=self.name,
            weights=self.weights,
        )

    def encode_items(self, waves: Sequence[np.ndarray]) -> list[Tensor]:
        """24 kHz waves -> codes [T_i] each. Pieces of all waves share batches of similar length."""
        pieces = []  # (wave, place in it, samples)
        for owner, wave in enumerate(waves):
            padded = np.pad(wave, (0, -len(wave) % SAMPLES_PER_TOKEN))
            for piece in cut(len(padded) // SAMPLES_PER_TOKEN, self.piece_tokens()):
                pieces.append((owner, piece, padded[piece.start * SAMPLES_PER_TOKEN : piece.stop * SAMPLES_PER_TOKEN]))
        found: dict[tuple[int, int], Tensor] = {}
        for batch in batched(sorted(pieces, key=lambda item: len(item[2])), self.piece_tokens()):
            for (owner, piece, _), result in zip(batch, self.encode_batch([item[2] for item in batch])):
                found[owner, piece.start] = result
        return [torch.cat([found[key] for key in sorted(found) if key[0] == owner]) for owner in range(len(waves))]

    def encode_batch(self, waves: Sequence[np.ndarray]) -> list[Tensor]:
        """Whole-token waves -> codes [T_i] each; every mel is made alone, so padding cannot reach it."""
        mels = [self.spectrogram(torch.from_numpy(wave).to(self.device)[None])[0] for wave in waves]
        lengths = torch.tensor([len(mel) for mel in mels], device=self.device)
        ragged = bool((lengths != lengths[0]).any())
        codes = self.model.encode(pad(mels), lengths if ragged else None).cpu()
        return [codes[i, : len(mel) // FRAMES_PER_TOKEN] for i, mel in enumerate(mels)]

    @torch.inference_mode()
    def prompt(self, wave: Wave, sample_rate: int, text: str = "") -> Prompt:
        """A speaker prompt from a few seconds of speech [N] and, if known, what is said in them.

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
        trimmed = torch.from_numpy(samples[: tokens * SAMPLES_PER_TOKEN])[None].to(self.device)
        mel = self.spectrogram(trimmed)
        return Prompt(mel[0].cpu(), self.model.encode(mel)[0].cpu(), text)

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
        self.check(speech, prompts)
        solver = self.solver(steps, guidance)
        generators = each(torch.Generator().manual_seed(0) if generator is None else generator, len(speech))
        short = all(int(length) <= self.piece_tokens() for length in speech.lengths)
        if short:
            pieces = [Piece(0, int(length)) for length in speech.lengths]
            mels = self.decode_batch(speech, pieces, solver, prompts, generators)
        else:
            mels = [self.decode_long(speech[i], solver, prompts[i], generators[i]) for i in range(len(speech))]
        waves = self.vocode(pad(mels), torch.tensor([len(mel) for mel in mels]))
        waves = waves[:, : int(speech.samples.max())]
        keep = torch.arange(waves.shape[1])[None] < speech.samples[:, None]
        return waves * keep

    def decode_batch(
        self,
        speech: Speech,
        pieces: Sequence[Piece],
        solver: SolverConfig,
        prompts: Sequence[Prompt | None],
        generators: Sequence[torch.Generator],
    ) -> list[Tensor]:
        """One piece of every item -> their mels [F_i, 128], prompts cut off."""
        codes, given, texts = [], [], []
        for i, (piece, prompt, generator) in enumerate(zip(pieces, prompts, generators)):
            own = speech.codes[i, piece.start : piece.stop].cpu()
            held = prompt.mel if prompt is not None else torch.zeros(0, self.config.mel.num_mels)
            codes.append(own if prompt is None else torch.cat([prompt.codes, own]))
            noise = torch.randn(len(own) * FRAMES_PER_TOKEN, held.shape[1], generator=generator)
            given.append(torch.cat([held, noise]))
            texts.append(self.text_ids(piece.words(speech.text[i]), prompt))
        held_frames = torch.tensor([0 if prompt is None else len(prompt.mel) for prompt in prompts])
        lengths = torch.tensor([len(item) for item in codes])
        mels = self.solve(pad(codes), pad(given), pad(texts), lengths, held_frames, solver, [len(t) for t in texts])
        return [mels[i, held_frames[i] : lengths[i] * FRAMES_PER_TOKEN] for i in range(len(codes))]

    def solve(
        self,
        codes: Tensor,
        given: Tensor,
        text_ids: Tensor,
        lengths: Tensor,
        held: Tensor,
        solver: SolverConfig,
        letters: Sequence[int],
    ) -> Tensor:
        """Padded tensors through the decoder; masks only where something is padded."""
        ragged = bool((lengths != codes.shape[1]).any())
        ragged_text = any(count != text_ids.shape[1] for count in letters)
        device = self.device
        with torch.autocast(device.type, self.dtype, enabled=self.dtype != torch.float32):
            mels = self.model.decode(
                codes.to(device),
                given.to(device),
                solver,
                lengths=lengths.to(device) if ragged else None,
                text_ids=text_ids.to(device),
                text_lengths=torch.tensor(letters, device=device) if ragged_text else None,
                prompt=given.to(device) if int(held.max()) else None,
                prompt_lengths=held.to(device) if int(held.max()) else None,
            )
        return mels.float()

    def decode_long(
        self, speech: Speech, solver: SolverConfig, prompt: Prompt | None, generator: torch.Generator
    ) -> Tensor:
        """One item longer than a piece -> mel [F, 128]. Without a prompt, each piece continues the voice of the one
        before, whose last seconds are its prompt."""
        mels: list[Tensor] = []
        before: Prompt | None = None
        for piece in cut(int(speech.lengths[0]), self.piece_tokens()):
            (mel,) = self.decode_batch(speech, [piece], solver, [prompt or before], [generator])
            mels.append(mel)
            before = tail(piece, mel, speech.codes[0], speech.text[0])
        return torch.cat(mels)

    @torch.inference_mode()
    def vocode(self, mel: Tensor, lengths: Tensor | None = None) -> Tensor:
        """mel [B, F, 128], lengths [B] frames (None: no padding) -> wave [B, 480 F] on the CPU, always in float32."""
        mel = mel.float()
        if mel.shape[1] > VOCODER_FRAMES:
            counts = [mel.shape[1]] * len(mel) if lengths is None else lengths.tolist()
            return pad([self.vocode_long(item[:count]) for item, count in zip(mel, counts, strict=True)])
        if lengths is not None and bool((lengths == mel.shape[1]).all()):
            lengths = None
        return self.vocoder(mel.to(self.device), None if lengths is None else lengths.to(self.device)).cpu()

    def vocode_long(self, mel: Tensor) -> Tensor:
        """mel [F, 128] -> wave [480 F], in pieces with all the context the vocoder sees: the same wave as whole."""
        context = 3 * (self.config.vocoder.num_layers + 1) + self.config.mel.n_fft // self.config.mel.hop_size
        waves = []
        for start in range(0, len(mel), VOCODER_FRAMES):
            stop = min(start + VOCODER_FRAMES, len(mel))
            first, last = max(start - context, 0), min(stop + context, len(mel))
            wave = self.vocoder(mel[None, first:last].to(self.device))[0].cpu()
            waves.append(
                wave[(start - first) * self.config.mel.hop_size :][: (stop - start) * self.config.mel.hop_size]
            )
        return torch.cat(waves)

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
            "parameters": {name: sum(p.numel() for p in module.parameters()) for name, module in count.items()},
        }

    def piece_tokens(self) -> int:
        return max(int(self.config.inference.piece_seconds * self.token_rate), 2)

    def solver(self, steps: int | None, guidance: float | None) -> SolverConfig:
        defaults = self.config.inference
        steps = defaults.steps if steps is None else steps
        guidance = defaults.guidance if guidance is None else guidance
        if steps < 1:
            raise InputError(f"steps {steps}: give at least 1 (32 is usual)")
        if not 0 <= guidance < float("inf"):
            raise InputError(f"guidance {guidance}: give 0 (none) or a positive number (2 is usual)")
        return SolverConfig(steps, guidance, defaults.rescale)

    def check(self, speech: Speech, prompts: Sequence[Prompt | None]) -> None:
        """Raise InputError unless this model can decode these codes with these prompts."""
        if not len(speech) or int(speech.lengths.min()) < 1:
            raise InputError("nothing to decode: no codes")
        if speech.weights and speech.weights != self.weights:
            raise InputError(
                f"the codes were made by model {speech.model!r} (weights {speech.weights}), this is {self.name!r} "
                f"({self.weights}); load the model that made them"
            )
        if int(speech.lengths.max()) > speech.codes.shape[1] or not len(speech.text) == len(speech.samples) == len(
            speech
        ):
            raise InputError("codes, lengths, samples and text of this Speech do not belong together")
        self.check_codes(speech.codes)
        for prompt in prompts:
            if prompt is not None:
                self.check_prompt(prompt)

    def check_codes(self, codes: Tensor) -> None:
        top = self.config.autoencoder.codebook_size
        if codes.numel() and not 0 <= int(codes.min()) <= int(codes.max()) < top:
            raise InputError(f"codes must be in 0..{top - 1}")

    def check_prompt(self, prompt: Prompt) -> None:
        shape = (len(prompt.codes) * FRAMES_PER_TOKEN, self.config.mel.num_mels)
        if not len(prompt.codes) or tuple(prompt.mel.shape) != shape or not bool(torch.isfinite(prompt.mel).all()):
            raise InputError("this speaker prompt is not of this model; make it again with codec.prompt or --prompt")
        self.check_codes(prompt.codes)

    def text_ids(self, text: str | None, prompt: Prompt | None) -> Tensor:
        """Ids of the prompt's text and the target's, [L]; published models join them without a space."""
        parts = [part for part in (prompt.text if prompt else "", text or "") if part]
        joined = (" " if self.config.text_tokenizer == "bytes" else "").join(parts)
        ids = self.tokenizer.encode(joined) if joined.strip() else []
        most = self.config.inference.max_text_tokens
        if len(ids) > most:
            raise InputError(f"the text is {len(ids)} tokens long, the model takes {most} at once; shorten or split it")
        if ids and max(ids) >= self.config.autoencoder.text_vocab_size:
            raise InputError("the text tokenizer has more entries than the model's text_vocab_size: not its tokenizer")
        return torch.tensor(ids, dtype=torch.long)
