"""What a model takes: every refusal of codes, prompts and texts that it could not decode."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from tadicodec.config import CodecConfig, SolverConfig
from tadicodec.errors import InputError
from tadicodec.guards import arguments
from tadicodec.pipeline.pieces import CONTINUE_TOKENS, Cutter, Script
from tadicodec.speech import FRAMES_PER_TOKEN, SAMPLES_PER_TOKEN, Prompt, Speech
from tadicodec.text.tokens import TextTokenizer

TOKEN_RATE = 6.25
AHEAD_TOKENS = 2  # a window of a long decode ends at least so many behind its cut
LONGEST_PIECE = 3600.0  # seconds


@dataclass(frozen=True)
class Limits:
    """What the model with this configuration, tokenizer, name and hash of its encoder takes."""

    config: CodecConfig
    tokenizer: TextTokenizer
    name: str
    weights: str

    @property
    def piece_tokens(self) -> int:
        """The number of tokens that the model takes at once."""
        return max(int(self.config.inference.piece_seconds * TOKEN_RATE), 2)

    def describe(self) -> dict[str, Any]:
        """What the model is, for people and for machines."""
        solver = self.config.inference.solver
        return {
            "name": self.name,
            "weights": self.weights,
            "sample_rate": self.config.mel.sample_rate,
            "token_rate": TOKEN_RATE,
            "codebook_size": self.config.autoencoder.codebook_size,
            "bits_per_second": TOKEN_RATE * self.config.autoencoder.vq_emb_dim,
            "steps": solver.steps,
            "guidance": solver.guidance,
            "text_tokenizer": self.config.text_tokenizer,
            "quantization": self.config.quantization.get("method", "none"),
        }

    def batch_tokens(self, device: torch.device) -> int:
        """The number of padded tokens that go through the network together on this device."""
        return self.piece_tokens * (4 if device.type == "cpu" else 32)

    def cutter(self, seconds: float = LONGEST_PIECE) -> Cutter:
        """What cuts recordings into pieces of at most so many seconds, and of what the model takes at once."""
        longest = min(max(int(min(seconds, LONGEST_PIECE) * TOKEN_RATE), 2), self.piece_tokens)
        search = max(min(longest // 2, CONTINUE_TOKENS), 1)
        return Cutter(longest, search, ahead=min(AHEAD_TOKENS, search))

    def solver(self, steps: int | None = None, guidance: float | None = None) -> SolverConfig:
        """The model's own way from noise to mel, with other steps or guidance where they are given.

        Raises:
            InputError: steps below 1, or guidance that is negative or not finite.
        """
        own = self.config.inference.solver
        steps = own.steps if steps is None else arguments.whole("steps", steps, 1, " (32 is usual)")
        if guidance is None:
            guidance = own.guidance
        guidance = arguments.number("guidance", guidance, 0, float("inf"), " (0 is none, 2 is usual)")
        return replace(own, steps=steps, guidance=guidance)

    def check(self, speech: Speech, prompts: Sequence[Prompt | None]) -> None:
        """Raise InputError unless this model can decode these codes with these prompts."""
        arguments.kind("what is decoded", speech, Speech, "a Speech (codec.encode, read_tokens or Speech.from_codes)")
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

    def check_one(self, speech: Speech, prompt: Prompt | None) -> Speech:
        """The same Speech; raise InputError unless it is one utterance that this model can decode with this prompt."""
        if len(speech) != 1:
            raise InputError(f"a stream is one utterance, not {len(speech)}; stream speech[i] one by one")
        self.check(speech, [prompt])
        return speech

    def check_codes(self, codes: Tensor) -> None:
        """Raise InputError unless all codes are in the model's codebook."""
        top = self.config.autoencoder.codebook_size
        if codes.numel() and not 0 <= int(codes.min()) <= int(codes.max()) < top:
            found = f"{int(codes.min())} to {int(codes.max())}"
            raise InputError(
                f"codes must be in 0..{top - 1}, these are {found}; are they still a language model's ids?"
            )

    def check_prompt(self, prompt: Prompt) -> None:
        """Raise InputError unless this model can use the prompt."""
        arguments.kind("a prompt", prompt, Prompt, "made by codec.prompt(wave, sample_rate)")
        shape = (len(prompt.codes) * FRAMES_PER_TOKEN, self.config.mel.num_mels)
        if not len(prompt.codes) or tuple(prompt.mel.shape) != shape or not bool(torch.isfinite(prompt.mel).all()):
            raise InputError("this speaker prompt is not of this model; make it again with codec.prompt or --prompt")
        if prompt.weights not in ("", self.weights):
            raise InputError(
                f"this speaker prompt is of another model (weights {prompt.weights!r}, this is {self.weights!r}); make "
                "it again with this one"
            )
        self.check_codes(prompt.codes)

    def check_text(self, text: str | None, samples: int) -> None:
        """Raise InputError for a text that could not be decoded with this many samples, so that it is never stored."""
        total, longest = -(-samples // SAMPLES_PER_TOKEN), self.piece_tokens
        script = Script(text, total)
        for start in range(0, total, longest):
            self.text_ids(script.between(start, start + longest), None)

    def join(self, *texts: str | None) -> str:
        """Texts that follow each other, as one. Published models join them without a space."""
        return (" " if self.config.text_tokenizer == "bytes" else "").join(text for text in texts if text)

    def text_ids(self, text: str | None, prompt: Prompt | None) -> Tensor:
        """Ids [L] of the prompt's text and the utterance's. Raises InputError where they are too many."""
        joined = self.join(prompt.text if prompt else "", text)
        ids = self.tokenizer.encode(joined) if joined.strip() else []
        most = self.config.inference.max_text_tokens
        if len(ids) > most:
            raise InputError(f"the text is {len(ids)} tokens long, the model takes {most} at once; shorten or split it")
        if ids and max(ids) >= self.config.autoencoder.text_vocab_size:
            raise InputError("the text tokenizer has more entries than the model's text_vocab_size: not its tokenizer")
        return torch.tensor(ids, dtype=torch.long)
