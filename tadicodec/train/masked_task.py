"""Training the masked generative model: codes hidden in part, predicted from the rest, the text and a prompt."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tadicodec.errors import InputError
from tadicodec.model.lengths import valid
from tadicodec.train.task import Batch, Losses
from tadicodec.tts.duration import duration_loss, text_times
from tadicodec.tts.folder import save_tts
from tadicodec.tts.masked import MaskedNetwork, Words
from tadicodec.tts.model_config import TtsConfig


@dataclass(frozen=True)
class MaskedObjective:
    """What the training of a masked model weighs and hides; the defaults are the published training's where it defines
    them."""

    prompt_probability: float = 0.8  # of an item whose first codes are never hidden
    prompt_max: float = 0.4  # share of the codes
    prompt_min: int = 5  # tokens
    mask_min: float = 0.2  # probability of a code being hidden is sin(pi t / 2), at least this
    text_drop: float = 0.1  # of an item without text and prompt, which is what guidance compares with
    label_smoothing: float = 0.0
    duration_weight: float = 0.3  # models with a duration network

    def __post_init__(self) -> None:
        shares = (self.prompt_probability, self.prompt_max, self.mask_min, self.text_drop, self.label_smoothing)
        if not all(0 <= share <= 1 for share in shares) or min(self.prompt_min, self.duration_weight) < 0:
            raise InputError("objective: probabilities and shares are 0 to 1, prompt_min and duration_weight 0 or more")


class MaskedLearner(nn.Module):
    """The network as it is trained; `forward` is the whole loss."""

    def __init__(self, network: MaskedNetwork, objective: MaskedObjective) -> None:
        super().__init__()
        self.network, self.objective = network, objective

    def forward(self, batch: Batch, draws: dict[str, Tensor]) -> dict[str, Tensor]:
        """The loss terms of a batch, by name. draws: what is random about the step."""
        terms: dict[str, Tensor] = {}
        times = None
        if self.network.config.duration_size:
            predicted = self.network.duration(batch["text_ids"], batch["text_lengths"])
            terms["duration"] = duration_loss(predicted, batch["text_lengths"], batch["starts"], batch["lengths"])
            times = text_times(predicted, batch["starts"], batch["lengths"])
        words = Words(batch["text_ids"], batch["text_lengths"] * draws["keep_text"], times)
        x = self.network.embed(batch["codes"], draws["masked"])
        hidden = self.network.hidden(x, draws["time"], words, batch["lengths"])
        logits, wanted = self.network.logits(hidden[draws["masked"]]).float(), batch["codes"][draws["masked"]]
        terms["codes"] = F.cross_entropy(logits, wanted, label_smoothing=self.objective.label_smoothing)
        terms["accuracy"] = (logits.detach().argmax(-1) == wanted).float().mean()
        return terms


class MaskedTask:
    """The task of `recipes/tts_masked`: one network, one optimiser."""

    ema = "mgm"

    def __init__(
        self, config: TtsConfig, network: MaskedNetwork, objective: MaskedObjective, tokenizer: Path | None = None
    ) -> None:
        self.config, self.objective, self.tokenizer = config, objective, tokenizer
        self.networks: dict[str, nn.Module] = {"mgm": MaskedLearner(network, objective)}

    def losses(self, batch: Batch, generator: torch.Generator) -> Losses:
        """Yields the loss of the network once a step, as `Task.losses` says."""
        terms = self.networks["mgm"](batch, self.draw(batch, generator))
        loss = terms["codes"]
        if "duration" in terms:
            loss = loss + self.objective.duration_weight * terms["duration"]
        yield "mgm", loss, {name: value.detach() for name, value in terms.items()}

    def draw(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """Everything random about a step, drawn on the CPU so that it does not depend on the device."""
        codes, lengths, rules = batch["codes"], batch["lengths"].cpu(), self.objective
        time, place, prompted, dropped = torch.rand(4, len(codes), generator=generator)
        keep = dropped >= rules.text_drop
        longest, shortest = lengths * rules.prompt_max, (lengths / 4).clamp(max=rules.prompt_min)
        prompt = (shortest + place * (longest - shortest).clamp(min=0)).long() * (prompted < rules.prompt_probability)
        prompt = torch.where(batch["prompts"].cpu() > 0, batch["prompts"].cpu(), prompt) * keep
        share = (time * (math.pi / 2)).sin().clamp(min=rules.mask_min)
        target = valid(lengths, codes.shape[1]) & ~valid(prompt, codes.shape[1])
        chances = torch.rand(codes.shape, generator=generator).masked_fill(~target, 2.0)
        masked = chances < share[:, None]
        masked |= (chances == chances.min(1, keepdim=True).values) & target  # at least one
        draws = {"time": time, "masked": masked, "keep_text": keep.long()}
        return {name: value.to(codes.device) for name, value in draws.items()}

    def sample(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """Nothing: codes have no picture."""
        return {}

    def export(self, network: nn.Module, folder: Path) -> None:
        """Write a folder that `Speaker.from_pretrained` loads."""
        save_tts(folder, self.config, cast(MaskedLearner, network).network, tokenizer=self.tokenizer, overwrite=True)
