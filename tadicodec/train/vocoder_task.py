"""Training the vocoder: mel to wave by reconstruction, then also against discriminators."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn import functional as F

from tadicodec.audio.mel import MelSpectrogram
from tadicodec.checkpoint import to_dtype
from tadicodec.config import MelConfig, VocoderConfig
from tadicodec.errors import InputError
from tadicodec.guards.fields import require_range
from tadicodec.model.vocoder import Vocoder
from tadicodec.outputs import write_bytes
from tadicodec.train.discriminators import DiscriminatorConfig, Discriminators
from tadicodec.train.spectral_loss import SpectralLoss, low_pass
from tadicodec.train.task import Batch, Losses


@dataclass(frozen=True)
class VocoderObjective(DiscriminatorConfig):
    """Weights of the losses, damage to the input, and the sizes of the discriminators."""

    mel_weight: float = 45.0
    short_weight: float = 15.0  # mean over the shorter windows
    adversarial_weight: float = 1.0
    matching_weight: float = 1.0
    adversarial_start: int = 0  # steps with reconstruction alone before it
    critic_steps: int = 0  # from there on, in which new discriminators learn alone, so that they do no harm later
    adversarial_frames: int = 0  # frames of each crop that the discriminators see; 0: all
    noise_share: float = 0.0  # of the items whose input mel gets Gaussian noise
    noise_level: float = 0.2  # its largest standard deviation, in normalised mel units
    smooth_share: float = 0.0  # of the items whose input mel is smoothed along time and frequency

    def __post_init__(self) -> None:
        super().__post_init__()
        weights = ("mel_weight", "short_weight", "adversarial_weight", "matching_weight")
        require_range("objective", self, 0, math.inf, *weights)
        if not (0 <= self.noise_share <= 1 and 0 <= self.smooth_share <= 1):
            raise InputError("objective: noise_share and smooth_share are shares, 0 to 1")
        counts = ("adversarial_frames", "adversarial_start", "critic_steps")
        require_range("objective", self, 0, math.inf, *counts, "noise_level")


class VocoderTask:
    """The task of `recipes/vocoder`: a generator and its discriminators, each with its optimiser."""

    ema = "generator"

    def __init__(self, config: VocoderConfig, mel: MelConfig, objective: VocoderObjective) -> None:
        self.config, self.mel, self.objective = config, mel, objective
        self.networks: dict[str, nn.Module] = {
            "discriminator": Discriminators(objective),
            "generator": Vocoder(config),
        }
        self.reconstruction = SpectralLoss(mel)

    def losses(self, batch: Batch, generator: torch.Generator) -> Losses:
        """Yields the discriminators' loss, once they are used, and then the generator's but while they learn alone, as
        `Task.losses` says."""
        rules, critics_for = self.objective, int(batch["step"]) - self.objective.adversarial_start
        draws = self.draw(batch, generator)
        alone = 0 <= critics_for < rules.critic_steps
        with torch.set_grad_enabled(torch.is_grad_enabled() and not alone):
            fake = self.networks["generator"](damage(batch["mel"], draws)).float()
        with torch.autocast(fake.device.type, enabled=False):
            reconstruction = self.reconstruction.to(fake.device)
            limit = reconstruction.limit(batch["bandwidth"])
            fake, real = (low_pass(wave, limit, self.mel.sample_rate) for wave in (fake, batch["wave"]))
            terms = {} if alone else reconstruction(fake, real, batch["bandwidth"])
        if critics_for >= 0:
            seen = slice(draws["first"], draws["first"] + draws["samples"])
            real, fake = real[:, seen], fake[:, seen]
            hinge = self.networks["discriminator"](real, fake)
            yield "discriminator", hinge, {"discriminator": hinge.detach()}
        if alone:
            return
        loss = rules.mel_weight * terms["mel"] + rules.short_weight * terms["short"]
        if critics_for >= 0:
            # Past any wrapper, which would wait for the discriminators' gradients: this pass makes none.
            critics = getattr(self.networks["discriminator"], "module", self.networks["discriminator"])
            terms |= cast(Discriminators, critics).judge(real, fake)
            loss = loss + rules.adversarial_weight * terms["adversarial"] + rules.matching_weight * terms["matching"]
        yield "generator", loss, {name: term.detach() for name, term in terms.items()}

    def draw(self, batch: Batch, generator: torch.Generator) -> dict[str, Any]:
        """Everything random about a step, drawn on the CPU so that it does not depend on the device."""
        mel, rules = batch["mel"], self.objective
        uniform = torch.rand(5, len(mel), 1, 1, generator=generator)
        draws = {
            "noise": torch.randn(mel.shape, generator=generator)
            * (uniform[0] < rules.noise_share)
            * (uniform[1] * rules.noise_level),
            "smooth": (uniform[2] < rules.smooth_share) * uniform[3],
        }
        frames = min(rules.adversarial_frames or mel.shape[1], mel.shape[1])
        first = int(uniform[4, 0] * (mel.shape[1] - frames + 1))  # one window for the whole batch
        hop = self.mel.hop_size
        return {name: value.to(mel.device) for name, value in draws.items()} | {
            "first": first * hop,
            "samples": frames * hop,
        }

    @torch.no_grad()
    def sample(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """The mel of the first crop, as recorded and as the vocoder makes it."""
        spectrogram = MelSpectrogram(self.mel).to(batch["mel"].device)
        fake = self.networks["generator"](batch["mel"][:1]).float()
        with torch.autocast(fake.device.type, enabled=False):
            return {"original": batch["mel"][0].T, "vocoded": spectrogram(fake)[0].T}

    def export(self, network: nn.Module, folder: Path) -> None:
        """Write vocoder.safetensors (half precision) and vocoder.json; `tools/bundle_model.py` reads them."""
        weights = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
        document = {**asdict(self.config), "preprocess": asdict(self.mel)}
        for name, data in (
            ("vocoder.safetensors", save(to_dtype(weights, torch.float16))),
            ("vocoder.json", json.dumps(document, indent=1).encode() + b"\n"),
        ):
            write_bytes(folder / name, data, overwrite=True)


def damage(mel: Tensor, draws: dict[str, Any]) -> Tensor:
    """Make true mels [B, F, bins] as imperfect as a decoder's: softened by a 3 x 3 kernel, and noisy. draws: which of
    them, and how much."""
    soft = F.avg_pool2d(mel[:, None], 3, stride=1, padding=1, count_include_pad=False)[:, 0]
    return mel + draws["smooth"] * (soft - mel) + draws["noise"]
