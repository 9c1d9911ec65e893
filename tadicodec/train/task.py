"""What the loop asks of a task."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

Batch = dict[str, Any]
Losses = Iterator[tuple[str, Tensor, dict[str, Tensor]]]


class Task(Protocol):
    networks: dict[str, nn.Module]  # one optimiser each; the loop may replace a network by its accelerate wrapper
    ema: str  # the network whose moving average is validated and exported

    def losses(self, batch: Batch, generator: torch.Generator) -> Losses:
        """Yield (network name, scalar loss, metrics). The loop steps that network's optimiser, then resumes the
        generator: an adversarial task yields its discriminator's loss, then its generator's. `batch["step"]` is the
        step number. All randomness comes from `generator` (CPU)."""

    def sample(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """Pictures for the log: name -> [bins, frames]."""

    def export(self, network: nn.Module, folder: Path) -> None:
        """Write the (averaged) network in the form the package loads."""
