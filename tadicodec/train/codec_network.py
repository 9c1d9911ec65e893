"""The codec as it is trained: the autoencoder with heads that only training needs, and every term of the loss."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from tadicodec.config import CodecConfig
from tadicodec.errors import InputError
from tadicodec.model import flow, quantizer
from tadicodec.model.aligner import STEPS_PER_TOKEN, forced_alignment
from tadicodec.model.autoencoder import Autoencoder
from tadicodec.model.decoder import Conditioning
from tadicodec.model.lengths import valid
from tadicodec.model.transcriber import CHARACTERS
from tadicodec.pipeline.reading import BYTES
from tadicodec.train.codec_objective import ALONE, CodecObjective
from tadicodec.train.known_codes import KnownCodes
from tadicodec.train.resting import resting
from tadicodec.train.speaker_loss import SpeakerHead, patches, voice_error
from tadicodec.train.task import Batch


class CodecNetwork(nn.Module):
    """The autoencoder with the heads that only training needs; `forward` is the whole loss."""

    def __init__(self, config: CodecConfig, objective: CodecObjective) -> None:
        super().__init__()
        shape = config.autoencoder
        self.codec = Autoencoder(shape)
        self.objective = objective
        if objective.ctc_weight > 0 and not shape.aligned:
            raise InputError("objective: ctc_weight trains the aligner; give the model prior_layers")
        if objective.misread > 0 and not (shape.aligned and shape.text_vocab_size == BYTES):
            raise InputError("objective: misread needs an aligner that writes bytes; give the model prior_layers")
        if objective.hear_weight > 0 and not shape.prior_layers:
            raise InputError("objective: hear_weight judges the prior's mel; give the model prior_layers")
        if objective.speaker_weight > 0 and not shape.voice_size:
            raise InputError("objective: speaker_weight trains the prompt's voice; give the model voice_size")
        if objective.transcript_weight > 0 and not shape.transcriber_layers:
            raise InputError("objective: transcript_weight trains the transcriber; give the model transcriber_layers")
        if objective.speaker_weight > 0:
            self.speakers = SpeakerHead(shape.voice_size)
        if objective.early_weight > 0:
            self.early = nn.Linear(shape.hidden_size, CHARACTERS + 1)
            nn.init.zeros_(self.early.weight)
        self.known = KnownCodes(self.codec)
        for name, module in self.codec.named_children():
            if not self.learns(name):
                module.requires_grad_(False)

    def learns(self, name: str) -> bool:
        """Whether a part of the autoencoder is trained by this objective."""
        if name == "transcriber":
            return self.objective.transcript_weight > 0
        part = self.objective.part
        return part in ("all", name) or part == "decoder" and name in ("text_emb", "vq_out_linear")

    def forward(self, batch: Batch, draws: dict[str, Tensor]) -> dict[str, Tensor]:
        """The loss terms of a batch, by name: scalars, and logits [B, S, V + 1] for the CTC losses. draws: what is
        random about the step."""
        tokens = batch["lengths"] // self.codec.config.down_sample_factor
        terms: dict[str, Tensor] = {}
        if self.objective.part in ALONE:
            return self.listen(batch, tokens)
        if self.objective.part == "decoder":
            batch, quantized, times = self.remembered(batch, draws)
        else:
            early: list[Tensor] | None = [] if self.objective.early_weight > 0 else None
            hidden = self.codec.encoder(given_mel(batch, "heard"), batch["lengths"], early)
            if early:
                terms["early_logits"] = self.early(early[0])
            if self.objective.transcript_weight > 0:
                terms["transcript_logits"] = self.transcribe(hidden, batch)
            quantized, times = self.quantize(hidden, batch, tokens, terms)
        self.flow(batch, draws, self.prepare(batch, draws, self.codec.condition(quantized, tokens), times), terms)
        return terms

    def remembered(self, batch: Batch, draws: dict[str, Tensor]) -> tuple[Batch, Tensor, Tensor | None]:
        """A batch, some of its texts misread, with its quantized vectors [B, T, 14] and the frames [B, L] where
        characters begin."""
        if self.objective.misread > 0:
            batch = self.known.misread(batch, draws["misread"])
        return batch, *self.known(batch)

    def listen(self, batch: Batch, tokens: Tensor) -> dict[str, Tensor]:
        """The logits of the transcriber or the aligner, whichever learns alone behind an encoder that rests."""
        with torch.no_grad():
            hidden = self.codec.encoder(given_mel(batch, "heard"), batch["lengths"])
            quantized = quantizer.quantize(self.codec.project(hidden, batch["lengths"]))
        if self.objective.part == "aligner":
            return {"ctc_logits": self.codec.aligner(quantized, tokens)}
        return {"transcript_logits": self.transcribe(hidden, batch)}

    def transcribe(self, hidden: Tensor, batch: Batch) -> Tensor:
        """What the transcriber makes of encoder states [B, S, H]: logits [B, S, 29]."""
        return self.codec.transcriber(hidden, self.codec.config.states(batch["lengths"]))

    def flow(self, batch: Batch, draws: dict[str, Tensor], given: Conditioning, terms: dict[str, Tensor]) -> None:
        """Add the errors of the decoder and of its prior to the terms."""
        error = self.velocity_error(batch, draws, given)
        if given.mel is not None:
            terms["prior"] = mean_error((given.mel.float() - batch["mel"]).abs(), batch, draws["prompt"])
            if self.objective.hear_weight > 0:
                ear = resting(self.codec.encoder, "codec.encoder.", batch)
                terms["heard"] = heard_error(ear, given.mel, batch, draws["prompt"])
            if self.objective.speaker_weight > 0:
                self.voices(batch, given.mel, draws["prompt"], terms)
            # The error of the mel that the velocity leads to: otherwise late times, which divide it by 1 - t, outweigh
            # the noisy ones where words are decided.
            error = error * (1 - draws["time"])[:, None, None]
        terms["velocity"] = mean_error(error, batch, draws["prompt"])

    def voices(self, batch: Batch, made: Tensor, prompt: Tensor, terms: dict[str, Tensor]) -> None:
        """Add to the terms how well speakers are told apart by what sums up a prompt, and how alike that finds the
        prior's mel [B, F, 128] and the recording.

        The prompt may be damaged, so the whole clip is as the encoder hears it.
        """
        prior, patch = self.codec.decoder.prior, self.codec.config.patch_size
        assert prior is not None, "only a prior has a voice"
        voice = prior.prompt_voice
        summary = voice.embed(*patches(given_mel(batch, "heard"), batch["lengths"], patch))
        terms["speaker"] = self.speakers(summary, batch["speaker"])
        if self.objective.voice_weight > 0:
            name = "codec.decoder.prior.prompt_voice."
            terms["voice"] = voice_error(resting(voice, name, batch, "embed"), made, batch, prompt, patch)

    def quantize(
        self, hidden: Tensor, batch: Batch, tokens: Tensor, terms: dict[str, Tensor]
    ) -> tuple[Tensor, Tensor | None]:
        """Quantized vectors [B, T, 14] and, with an aligner, the frames [B, L] where characters begin."""
        latents = self.codec.project(hidden, batch["lengths"])
        quantized = quantizer.quantize(latents)
        sure, even = quantizer.entropies(latents, valid(tokens, latents.shape[1]))
        terms["entropy"], terms["codebook_entropy"] = sure - even, even.detach()
        if not self.codec.config.aligned or batch["text_ids"].shape[1] == 0:
            return quantized, None
        logits = terms["ctc_logits"] = self.codec.aligner(quantized, tokens)
        times = forced_alignment(logits, tokens * STEPS_PER_TOKEN, batch["text_ids"], batch["text_lengths"])
        return quantized, times * (self.codec.config.down_sample_factor / STEPS_PER_TOKEN)

    def prepare(
        self, batch: Batch, draws: dict[str, Tensor], condition: Tensor, text_times: Tensor | None
    ) -> Conditioning:
        """What the decoder is told: codes and text where the draws keep them, the times of the characters, and the
        prompt."""
        return self.codec.decoder.prepare(
            condition * draws["keep_tokens"][:, None, None],
            self.codec.text_emb(batch["text_ids"]) if self.reads(batch) else None,
            lengths=batch["lengths"],
            text_lengths=batch["text_lengths"] * draws["keep_text"].long(),
            text_times=text_times,
            prompt=given_mel(batch, "prompt"),
            prompt_lengths=draws["prompt"],
        )

    def velocity_error(self, batch: Batch, draws: dict[str, Tensor], given: Conditioning) -> Tensor:
        """Absolute error [B, F, 128] at each item's time, its prompt clean."""
        mel = batch["mel"]
        noisy, target = flow.noisy(mel, draws["noise"], draws["time"], self.codec.config.sigma)
        held = valid(draws["prompt"], mel.shape[1])[..., None]
        noisy = torch.where(held, given_mel(batch, "prompt"), noisy)
        return (self.codec.decoder(noisy, draws["time"], given).float() - target).abs()

    def reads(self, batch: Batch) -> bool:
        """Whether there is any text in the batch, and a model that uses it."""
        return self.codec.config.use_text_cond and batch["text_ids"].shape[1] > 0


def given_mel(batch: Batch, name: str) -> Tensor:
    """Mels [B, F, 128] as they are "heard" by the encoder or as a "prompt": the recordings' own where none differ."""
    found = batch.get(name)
    return batch["mel"] if found is None else found


def mean_error(error: Tensor, batch: Batch, prompt: Tensor) -> Tensor:
    """Mean of error [B, F, 128] over frames that are neither prompt nor padding, and bins the recording can fill."""
    frames = valid(batch["lengths"], error.shape[1]) & ~valid(prompt, error.shape[1])
    bins = valid(batch["bandwidth"], error.shape[2])[:, None].float()
    error = (error * bins).sum(-1) / bins.sum(-1).clamp(min=1)
    return (error * frames).sum() / frames.sum().clamp(min=1)


def heard_error(encoder: Callable[[Tensor, Tensor], Tensor], mel: Tensor, batch: Batch, prompt: Tensor) -> Tensor:
    """Mean difference of what a resting encoder makes of mel [B, F, 128] and of the recording, where neither prompt nor
    padding is: its states tell speech sounds apart whose mels are close (a perceptual loss, Johnson et al. 2016). Bins
    that the recording cannot fill, and the prompt, are the recording's own."""
    frames = valid(batch["lengths"], mel.shape[1]) & ~valid(prompt, mel.shape[1])
    bins = valid(batch["bandwidth"], mel.shape[2])[:, None]
    with torch.no_grad():
        states = encoder(batch["mel"], batch["lengths"])
    made = torch.where(frames[..., None] & bins, mel.float(), batch["mel"])
    error = (encoder(made, batch["lengths"]).float() - states.float()).abs().mean(-1)
    frames = frames[:, :: -(-frames.shape[1] // error.shape[1])]  # of several that share a state, the first counts
    return (error * frames).sum() / frames.sum().clamp(min=1)
