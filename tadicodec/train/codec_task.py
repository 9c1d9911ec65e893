"""Training the codec end to end: flow matching on the mel, BSQ entropy, and optionally CTC on the codes."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from tadicodec.checkpoint import save_model
from tadicodec.config import CodecConfig, SolverConfig
from tadicodec.model.aligner import STEPS_PER_TOKEN
from tadicodec.model.autoencoder import Autoencoder
from tadicodec.model.vocoder import Vocoder
from tadicodec.train.codec_network import CodecNetwork
from tadicodec.train.codec_objective import CodecObjective
from tadicodec.train.ctc_loss import ctc_loss
from tadicodec.train.judged import judged
from tadicodec.train.task import Batch, Losses


class CodecTask:
    """The task of `recipes/codec`: one network, one optimiser."""

    ema = "codec"
    picture_solver = SolverConfig(steps=8, guidance=1.0)

    def __init__(self, config: CodecConfig, objective: CodecObjective) -> None:
        self.config, self.objective = config, objective
        self.networks: dict[str, nn.Module] = {"codec": CodecNetwork(config, objective)}

    def losses(self, batch: Batch, generator: torch.Generator) -> Losses:
        """Yields the loss of the codec once a step, as `Task.losses` says."""
        draws = self.draw(batch, generator)
        if "heard" in batch and self.objective.prompt_degrade > 0:
            batch = {**batch, "prompt": torch.where(draws["prompt_heard"], batch["heard"], batch["mel"])}
        terms = self.networks["codec"](batch, draws)
        parts = self.parts(batch, terms)
        loss = sum((weight * value for weight, value in parts.values()), torch.zeros(()))
        metrics = {name: value.detach() for name, (_, value) in parts.items()}
        if "codebook_entropy" in terms:
            metrics["codebook_entropy"] = terms["codebook_entropy"]
        if not self.networks["codec"].training:
            metrics |= judged(unwrapped(self.networks["codec"]), batch, draws)
        yield "codec", loss, metrics

    def parts(self, batch: Batch, terms: dict[str, Tensor]) -> dict[str, tuple[float, Tensor]]:
        """The parts of the loss that there are, by name: weight and value of each. terms: what the network gives."""
        rules, shape = self.objective, self.config.autoencoder
        weights = {
            "velocity": 1.0,
            "prior": rules.prior_weight,
            "heard": rules.hear_weight,
            "speaker": rules.speaker_weight,
            "voice": rules.voice_weight,
            "entropy": rules.entropy_weight,
        }
        parts = {name: (weight, terms[name]) for name, weight in weights.items() if name in terms}
        tokens = batch["lengths"] // shape.down_sample_factor
        written, spoken = (batch["text_ids"], batch["text_lengths"]), (batch["letters"], batch["letter_lengths"])
        heads = {
            "ctc": (tokens * STEPS_PER_TOKEN, written, rules.ctc_weight),
            "early": (shape.states(batch["lengths"]), spoken, rules.early_weight),
            "transcript": (shape.states(batch["lengths"]), spoken, rules.transcript_weight),
        }
        for name, (steps, text, weight) in heads.items():
            if weight > 0 and f"{name}_logits" in terms:
                parts[name] = weight, ctc_loss(terms[f"{name}_logits"], steps, *text)
        return parts

    def draw(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """Everything random about a step, drawn on the CPU so that it does not depend on the device."""
        mel, lengths, rules = batch["mel"], batch["lengths"].cpu(), self.objective
        uniform = torch.rand(8, mel.shape[0], generator=generator)
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
            "misread": uniform[7] < rules.misread,
            "keep_tokens": ((uniform[3] >= rules.token_drop) & (uniform[5] >= rules.both_drop)).float(),
            "keep_text": ((uniform[4] >= rules.text_drop) & (uniform[5] >= rules.both_drop)).float(),
        }
        return {name: value.to(mel.device) for name, value in draws.items()}

    @torch.no_grad()
    def sample(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """The first clip, decoded from its codes and text, beside its original."""
        codec: Autoencoder = unwrapped(self.networks["codec"]).codec
        frames, letters = int(batch["lengths"][0]), int(batch["text_lengths"][0])
        mel = batch["mel"][:1, :frames]
        noise = torch.randn(mel.shape, generator=generator).to(mel.device)
        decoded = codec.decode(codec.encode(mel), noise, self.picture_solver, text_ids=batch["text_ids"][:1, :letters])
        return {"original": mel[0].T, "decoded": decoded[0].T}

    def export(self, network: nn.Module, folder: Path) -> None:
        """Write a model folder that can be loaded.

        Its vocoder is what the recipe's configuration says, untrained, until `tools/bundle_model.py` puts the trained
        one in.
        """
        weights = {
            "model.safetensors": unwrapped(network).codec.state_dict(),
            "vocoder/model.safetensors": Vocoder(self.config.vocoder).state_dict(),
        }
        save_model(folder, self.config, weights, overwrite=True)


def unwrapped(network: nn.Module) -> CodecNetwork:
    """A network without the wrapper that several processes put around it."""
    inner = getattr(network, "module", network)
    assert isinstance(inner, CodecNetwork)
    return inner
