"""What the training loop asks of a task."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

Batch = dict[str, Any]
Losses = Iterator[tuple[str, Tensor, dict[str, Tensor]]]


class Task(Protocol):
    """What is trained: networks with their losses. The loop knows nothing else of them."""

    networks: dict[str, nn.Module]  # one optimiser each; the loop may replace a network by its accelerate wrapper
    ema: str  # the network whose moving average is validated and exported

    def losses(self, batch: Batch, generator: torch.Generator) -> Losses:
        """Yield (name of a network, scalar loss, metrics).

        The loop steps that network's optimiser, then resumes the generator: an adversarial task yields its
        discriminators' loss, then its generator's. `batch["step"]` is the number of the step. All randomness comes from
        `generator`, which is on the CPU.
        """

    def sample(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """Pictures [bins, frames] for the log, by name."""

    def export(self, network: nn.Module, folder: Path) -> None:
        """Write the (averaged) network into a folder, in the form that the package loads."""
