"""Training the codec end to end: flow matching on the mel, BSQ entropy, and optionally CTC on the codes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from tadicodec.checkpoint import save_model
from tadicodec.config import CodecConfig, SolverConfig, require_range
from tadicodec.errors import InputError
from tadicodec.model import flow, quantizer
from tadicodec.model.aligner import STEPS_PER_TOKEN, forced_alignment
from tadicodec.model.autoencoder import Autoencoder
from tadicodec.model.decoder import Conditioning
from tadicodec.model.lengths import valid
from tadicodec.model.vocoder import Vocoder
from tadicodec.train.ctc_loss import ctc_loss
from tadicodec.train.known_codes import KnownCodes
from tadicodec.train.resting import resting
from tadicodec.train.speaker_loss import SpeakerHead, patches, voice_error
from tadicodec.train.task import Batch, Losses

PARTS = {"all": ("ctc_weight", "transcript_weight"), "decoder": (), "transcriber": ("transcript_weight",)}


@dataclass(frozen=True)
class CodecObjective:
    """Weights and conditioning dropout; defaults are the published training's where it defines them."""

    entropy_weight: float = 1.0
    ctc_weight: float = 0.0  # characters from the quantized sequence (models with an aligner)
    transcript_weight: float = 0.0  # characters from the encoder's frames (models with a transcriber)
    prompt_probability: float = 0.8  # of an item starting with a clean prompt
    prompt_max: float = 0.4  # share of the frames
    prompt_min: int = 5  # frames
    token_drop: float = 0.2  # of an item decoding without its tokens
    text_drop: float = 0.0  # of an item decoding without its text
    both_drop: float = 0.0  # of an item decoding with neither, which is what guidance compares with
    prior_weight: float = 1.0  # of the prior's error (models with one)
    hear_weight: float = 0.0  # of how differently a resting encoder hears the prior's mel and the recording's
    speaker_weight: float = 0.0  # of not telling the corpus's speakers apart by the prompt's voice
    voice_weight: float = 0.0  # of how differently the voices of the prior's mel and of the recording are summed up
    prompt_degrade: float = 0.0  # probability of an item whose prompt is as the encoder hears it; what follows is clean
    part: str = "all"  # "decoder": encoder, quantizer and aligner stay as they are, so that codes stay valid ("decoder
    # continued training" of the paper); "transcriber": everything else does
    time_sampling: str = "uniform"  # "logit_normal"; "squared" (t = u^2) dwells on the noisy end, where codes and text
    # decide; the rest of the path is denoising, which is learned early

    def __post_init__(self) -> None:
        weights = ("entropy", "ctc", "transcript", "prior", "hear", "speaker", "voice")
        require_range("objective", self, 0, math.inf, "prompt_min", *(f"{name}_weight" for name in weights))
        shares = ("prompt_probability", "prompt_max", "prompt_degrade", "token_drop", "text_drop", "both_drop")
        require_range("objective", self, 0, 1, *shares)
        if self.part not in PARTS:
            raise InputError(f"objective: part is one of {', '.join(PARTS)}")
        for name in ("ctc_weight", "transcript_weight"):
            if getattr(self, name) > 0 and name not in PARTS[self.part]:
                raise InputError(f"objective: {name} has nothing to train where only the {self.part} learns")
        if self.voice_weight > 0 and self.speaker_weight == 0:
            raise InputError("objective: voice_weight compares what speaker_weight trains; give that, too")
        if self.time_sampling not in ("uniform", "logit_normal", "squared"):
            raise InputError("objective: time_sampling is 'uniform', 'logit_normal' or 'squared'")


class CodecNetwork(nn.Module):
    """The autoencoder with its training-only head; forward is the whole loss."""

    def __init__(self, config: CodecConfig, objective: CodecObjective) -> None:
        super().__init__()
        shape = config.autoencoder
        self.codec = Autoencoder(shape)
        self.objective = objective
        if objective.ctc_weight > 0 and not shape.aligned:
            raise InputError("objective: ctc_weight trains the aligner; give the model prior_layers")
        if objective.hear_weight > 0 and not shape.prior_layers:
            raise InputError("objective: hear_weight judges the prior's mel; give the model prior_layers")
        if objective.speaker_weight > 0 and not shape.voice_size:
            raise InputError("objective: speaker_weight trains the prompt's voice; give the model voice_size")
        if objective.transcript_weight > 0 and not shape.transcriber_layers:
            raise InputError("objective: transcript_weight trains the transcriber; give the model transcriber_layers")
        if objective.part == "transcriber" and objective.transcript_weight == 0:
            raise InputError("objective: training the transcriber needs a transcript_weight; 1 will do")
        if objective.speaker_weight > 0:
            self.speakers = SpeakerHead(shape.voice_size)
        self.known = KnownCodes(self.codec)
        for name, module in self.codec.named_children():
            if not self.learns(name):
                module.requires_grad_(False)

    def learns(self, name: str) -> bool:
        """Whether a part of the autoencoder is trained by this objective."""
        if name == "transcriber":
            return self.objective.transcript_weight > 0
        return {
            "all": True,
            "decoder": name in ("decoder", "text_emb", "vq_out_linear"),
            "transcriber": False,
        }[self.objective.part]

    def forward(self, batch: Batch, draws: dict[str, Tensor]) -> dict[str, Tensor]:
        """Loss terms: scalars, and logits [B, S, V + 1] for the CTC losses."""
        tokens = batch["lengths"] // self.codec.config.down_sample_factor
        terms: dict[str, Tensor] = {}
        if self.objective.part == "decoder":
            quantized, times = self.known(batch)
        else:
            with torch.set_grad_enabled(torch.is_grad_enabled() and self.objective.part == "all"):
                hidden = self.codec.encoder(batch.get("heard", batch["mel"]), batch["lengths"])
            if self.objective.transcript_weight > 0:
                terms["transcript_logits"] = self.codec.transcriber(hidden, self.codec.config.states(batch["lengths"]))
            if self.objective.part == "transcriber":
                return terms
            quantized, times = self.quantize(hidden, batch, tokens, terms)
        self.flow(batch, draws, self.prepare(batch, draws, self.codec.condition(quantized, tokens), times), terms)
        return terms

    def flow(self, batch: Batch, draws: dict[str, Tensor], given: Conditioning, terms: dict[str, Tensor]) -> None:
        """Errors of the decoder and of its prior."""
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
        """How well speakers are told apart by what sums up a prompt, and how alike it finds the prior's mel
        [B, F, 128] and the recording. The prompt may be damaged, so the whole clip is as the encoder hears it."""
        voice, patch = self.codec.decoder.prior.prompt_voice, self.codec.config.patch_size
        summary = voice.embed(*patches(batch.get("heard", batch["mel"]), batch["lengths"], patch))
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
        return self.codec.decoder.prepare(
            condition * draws["keep_tokens"][:, None, None],
            self.codec.text_emb(batch["text_ids"]) if self.reads(batch) else None,
            lengths=batch["lengths"],
            text_lengths=batch["text_lengths"] * draws["keep_text"].long(),
            text_times=text_times,
            prompt=batch.get("prompt", batch["mel"]),
            prompt_lengths=draws["prompt"],
        )

    def velocity_error(self, batch: Batch, draws: dict[str, Tensor], given: Conditioning) -> Tensor:
        """Absolute error [B, F, 128] at each item's time, its prompt clean."""
        mel = batch["mel"]
        noisy, target = flow.noisy(mel, draws["noise"], draws["time"], self.codec.config.sigma)
        held = valid(draws["prompt"], mel.shape[1])[..., None]
        noisy = torch.where(held, batch.get("prompt", mel), noisy)
        return (self.codec.decoder(noisy, draws["time"], given).float() - target).abs()

    def reads(self, batch: Batch) -> bool:
        """Whether there is any text in the batch, and a model that uses it."""
        return self.codec.config.use_text_cond and batch["text_ids"].shape[1] > 0


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


class CodecTask:
    """`recipes/codec`: one network, one optimiser."""

    ema = "codec"
    picture_solver = SolverConfig(steps=8, guidance=1.0)

    def __init__(self, config: CodecConfig, objective: CodecObjective) -> None:
        self.config, self.objective = config, objective
        self.networks: dict[str, nn.Module] = {"codec": CodecNetwork(config, objective)}

    def losses(self, batch: Batch, generator: torch.Generator) -> Losses:
        draws = self.draw(batch, generator)
        if "heard" in batch and self.objective.prompt_degrade > 0:
            batch = {**batch, "prompt": torch.where(draws["prompt_heard"], batch["heard"], batch["mel"])}
        terms = self.networks["codec"](batch, draws)
        weights = {
            "velocity": 1.0,
            "prior": self.objective.prior_weight,
            "heard": self.objective.hear_weight,
            "speaker": self.objective.speaker_weight,
            "voice": self.objective.voice_weight,
            "entropy": self.objective.entropy_weight,
        }
        loss = sum((weight * terms[name] for name, weight in weights.items() if name in terms), torch.zeros(()))
        metrics = {name: terms[name].detach() for name in (*weights, "codebook_entropy") if name in terms}
        tokens = batch["lengths"] // self.config.autoencoder.down_sample_factor
        written, spoken = (batch["text_ids"], batch["text_lengths"]), (batch["letters"], batch["letter_lengths"])
        heads = {
            "ctc": (tokens * STEPS_PER_TOKEN, written, self.objective.ctc_weight),
            "transcript": (self.config.autoencoder.states(batch["lengths"]), spoken, self.objective.transcript_weight),
        }
        for name, (steps, text, weight) in heads.items():
            if weight > 0 and f"{name}_logits" in terms:
                ctc = ctc_loss(terms[f"{name}_logits"], steps, *text)
                loss, metrics[name] = loss + weight * ctc, ctc.detach()
        yield "codec", loss, metrics

    def draw(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """Everything random about a step, drawn on the CPU so that it does not depend on the device."""
        mel, lengths, rules = batch["mel"], batch["lengths"].cpu(), self.objective
        uniform = torch.rand(7, mel.shape[0], generator=generator)
        time = uniform[0] * (1 - 1e-5) + 1e-5
        if rules.time_sampling == "logit_normal":
            time = torch.randn(mel.shape[0], generator=generator).sigmoid()
        elif rules.time_sampling == "squared":
            time = time.square()
        longest = (lengths * rules.prompt_max).clamp(min=1)
        shortest = (lengths / 4).clamp(max=rules.prompt_min)
        prompt = (shortest + uniform[1] * (longest - shortest).clamp(min=0)).long()
        draws = {
            "time": time,
            "noise": torch.randn(mel.shape, generator=generator),
            "prompt": prompt * (uniform[2] < rules.prompt_probability),
            "prompt_heard": (uniform[6] < rules.prompt_degrade)[:, None, None],
            "keep_tokens": ((uniform[3] >= rules.token_drop) & (uniform[5] >= rules.both_drop)).float(),
            "keep_text": ((uniform[4] >= rules.text_drop) & (uniform[5] >= rules.both_drop)).float(),
        }
        return {name: value.to(mel.device) for name, value in draws.items()}

    @torch.no_grad()
    def sample(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """The first clip, decoded from its codes and text, beside its original."""
        network = self.networks["codec"]
        codec: Autoencoder = getattr(network, "module", network).codec
        frames, letters = int(batch["lengths"][0]), int(batch["text_lengths"][0])
        mel = batch["mel"][:1, :frames]
        noise = torch.randn(mel.shape, generator=generator).to(mel.device)
        decoded = codec.decode(codec.encode(mel), noise, self.picture_solver, text_ids=batch["text_ids"][:1, :letters])
        return {"original": mel[0].T, "decoded": decoded[0].T}

    def export(self, network: nn.Module, folder: Path) -> None:
        """A loadable model folder; its vocoder is whatever the recipe's configuration says, untrained, until
        `tools/bundle_model.py` puts the trained one in."""
        weights = {
            "model.safetensors": network.codec.state_dict(),
            "vocoder/model.safetensors": Vocoder(self.config.vocoder).state_dict(),
        }
        save_model(folder, self.config, weights, overwrite=True)
