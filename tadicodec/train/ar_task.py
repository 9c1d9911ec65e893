"""Training a causal language model to speak: cross-entropy on codes and their end, given the text."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tadicodec.data.collate import pad
from tadicodec.entropy.payload import BIN_TOKENS
from tadicodec.errors import InputError
from tadicodec.model.lengths import valid
from tadicodec.train.task import Batch, Losses
from tadicodec.tts.autoregressive import ExtendedLM, SpeechLM, lay_out
from tadicodec.tts.duration import duration_loss, in_bins, text_times
from tadicodec.tts.folder import save_transformers, save_tts
from tadicodec.tts.model_config import TtsConfig


@dataclass(frozen=True)
class ArObjective:
    """What the training of an autoregressive model weighs and hides."""

    code_drop: float = 0.1  # of a code being hidden as input: against learning short corpora by heart
    label_smoothing: float = 0.0
    time_rounding: float = 0.0  # of a text's times being known only as roughly as squeezed files tell them
    duration_weight: float = 0.3  # models with a duration network
    embedding_gradient: float = 1.0  # share of the gradient that reaches the input vectors; GLM-130B: 0.1

    def __post_init__(self) -> None:
        if not (0 <= self.code_drop < 1 and 0 <= self.label_smoothing < 1 and self.duration_weight >= 0):
            raise InputError("objective: code_drop and label_smoothing are 0 to below 1, duration_weight 0 or more")
        if not (0 <= self.embedding_gradient <= 1 and 0 <= self.time_rounding <= 1):
            raise InputError("objective: embedding_gradient and time_rounding are 0 to 1")


class ArLearner(nn.Module):
    """The language model as it is trained; `forward` is the whole loss."""

    def __init__(self, network: SpeechLM | ExtendedLM, objective: ArObjective) -> None:
        super().__init__()
        self.network, self.objective = network, objective
        if objective.embedding_gradient != 1 and not isinstance(network, SpeechLM):
            raise InputError("objective: embedding_gradient is for models from scratch; pretrained ones keep theirs")
        network.embedding_gradient = objective.embedding_gradient

    def forward(self, batch: Batch, kept: Tensor, bins: Tensor | None = None) -> dict[str, Tensor]:
        """The loss terms of a batch, by name. kept bool [B, T]: the codes that the model may read. bins [B]: in bins of
        how many tokens the times of a text are known (0: exactly)."""
        terms: dict[str, Tensor] = {}
        times = None
        if isinstance(self.network, SpeechLM):
            predicted = self.network.duration(batch["text_ids"], batch["text_lengths"])
            terms["duration"] = duration_loss(predicted, batch["text_lengths"], batch["starts"], batch["lengths"])
            times = text_times(predicted, batch["starts"], batch["lengths"])
            if bins is not None:
                times = in_bins(times, batch["text_lengths"], bins)
        given, wanted = self.sequences(batch, times, kept)
        logits = self.network(**given).float()
        terms["codes"] = F.cross_entropy(logits, wanted, label_smoothing=self.objective.label_smoothing)
        terms["accuracy"] = (logits.detach().argmax(-1) == wanted).float().mean()
        return terms

    def sequences(self, batch: Batch, times: Tensor | None, kept: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """What the network reads and what it should say.

        The network's arguments [B, S] by name, and what follows each spoken place [n]: codes, then the end, which in
        the numbering of the logits comes after the last code.
        """
        device, end = batch["codes"].device, len(self.network.vocabulary.codes)
        letters, tokens = batch["text_lengths"].tolist(), batch["lengths"].tolist()
        rows, wanted = [], []
        for i, (text, count) in enumerate(zip(letters, tokens)):
            codes = batch["codes"][i, :count].cpu()
            starts = None if times is None else times[i, :text].cpu()
            rows.append(lay_out(self.network.vocabulary, batch["text_ids"][i, :text].cpu(), codes, starts))
            wanted.append(torch.cat([codes, torch.tensor([end])]))
        place = torch.arange(max(len(ids) for ids, _ in rows), device=device)[None]
        first, last = batch["text_lengths"][:, None], (batch["text_lengths"] + batch["lengths"])[:, None]
        hidden = (place > first) & ~kept.gather(1, (place - first - 1).clamp(0, kept.shape[1] - 1))
        given = {
            "ids": pad([ids for ids, _ in rows]).to(device),
            "positions": pad([positions for _, positions in rows]).to(device),
            "mask": valid(last[:, 0] + 1, place.shape[1]),
            "spoken": (place >= first) & (place <= last),
            "blank": hidden & (place <= last),
        }
        return given, torch.cat(wanted).to(device)


class ArTask:
    """The task of `recipes/tts_ar`: one network, one optimiser."""

    ema = "lm"

    def __init__(
        self, config: TtsConfig, network: SpeechLM | ExtendedLM, objective: ArObjective, tokenizer: Any = None
    ) -> None:
        self.config, self.objective, self.tokenizer = config, objective, tokenizer
        self.networks: dict[str, nn.Module] = {"lm": ArLearner(network, objective)}

    def losses(self, batch: Batch, generator: torch.Generator) -> Losses:
        """Yields the loss of the language model once a step, as `Task.losses` says."""
        shape = batch["codes"].shape
        kept = torch.rand(shape, generator=generator) >= self.objective.code_drop * torch.is_grad_enabled()
        bins = self.bins(shape[0], generator) * torch.is_grad_enabled()
        terms = self.networks["lm"](batch, kept.to(batch["codes"].device), bins)
        loss = terms["codes"]
        if "duration" in terms:
            loss = loss + self.objective.duration_weight * terms["duration"]
        yield "lm", loss, {name: value.detach() for name, value in terms.items()}

    def bins(self, count: int, generator: torch.Generator) -> Tensor:
        """In bins of how many tokens the times of each of `count` texts are known, [count]: 0, or as many as those of
        squeezed files have."""
        sizes = torch.tensor(sorted(BIN_TOKENS.values()))
        chosen = torch.rand(count, generator=generator) < self.objective.time_rounding
        return sizes[torch.randint(len(sizes), (count,), generator=generator)] * chosen

    def sample(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """Nothing: codes have no picture."""
        return {}

    def export(self, network: nn.Module, folder: Path) -> None:
        """Write a folder that `Speaker.from_pretrained` loads. Models from a pretrained folder stay in transformers'
        layout."""
        learnt = cast(ArLearner, network).network
        if self.tokenizer is None:
            save_tts(folder, self.config, learnt, overwrite=True)
        else:
            save_transformers(folder, self.config, learnt.lm, self.tokenizer)
