"""Teacher Intervention (Kim et al. 2023): in the first steps, signals of the float teacher replace the student's.

What follows a replaced signal trains on clean inputs instead of the errors of all layers before it. All of it is hooks
on the projections of attention blocks; the network knows nothing of it, and in evaluation nothing happens.

The softmax map follows from queries and keys alone, so replacing the map is replacing their projections' outputs, and
the context is what the output projection is given.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tadicodec.errors import InputError
from tadicodec.quant.observe import relative_error

MODES = ("output", "context", "map")


@dataclass(frozen=True)
class Projections:
    """The names of the projections in a block of attention."""

    query: str = "q_proj"
    key: str = "k_proj"
    value: str = "v_proj"
    output: str = "o_proj"


def mode_at(step: int, intervene: int, mode: str) -> str | None:
    """Which intervention a step has.

    For "gradual": output for a sixth of the `intervene` first steps, context for a sixth, then map. None afterwards.
    """
    if step >= intervene:
        return None
    if mode != "gradual":
        return mode
    return "output" if 6 * step < intervene else "context" if 3 * step < intervene else "map"


class Interventions(AbstractContextManager):
    """Hooks between a teacher and a student of the same structure. Open it as a context, run the teacher, then the
    student.

    mode: "output" replaces what attention adds to the residual stream (so that the feed-forward part trains on clean
    inputs), "context" what the output projection is given, "map" queries and keys; None replaces nothing. Projections
    in front of a replaced signal see detached inputs, so that their own errors do not reach earlier layers through
    them.

    Raises:
        InputError: the network has no such block.
    """

    def __init__(self, student: nn.Module, teacher: nn.Module, names: Projections = Projections()) -> None:
        self.student, self.teacher, self.names = student, teacher, names
        parts = (names.query, names.key, names.value, names.output)
        self.blocks = [
            name
            for name, module in teacher.named_modules()
            if all(isinstance(getattr(module, p, None), nn.Module) for p in parts)
        ]
        if not self.blocks:
            raise InputError(f"interventions: the network has no block with {', '.join(parts)}")
        self.mode: str | None = None
        self.taught: dict[tuple[str, str], Tensor] = {}
        self.errors: list[Tensor] = []
        self.handles: list[torch.utils.hooks.RemovableHandle] = []

    def __enter__(self) -> Interventions:
        for block in self.blocks:
            teacher, student = self.teacher.get_submodule(block), self.student.get_submodule(block)
            for part in (self.names.query, self.names.key, self.names.output):
                self.handles += [
                    getattr(teacher, part).register_forward_hook(self.teach(block, part)),
                    getattr(student, part).register_forward_hook(self.learn(block, part)),
                ]
            for part in (self.names.query, self.names.key, self.names.value):
                self.handles.append(getattr(student, part).register_forward_pre_hook(self.detach(part)))
            self.handles += [
                getattr(teacher, self.names.output).register_forward_pre_hook(self.teach_context(block)),
                getattr(student, self.names.output).register_forward_pre_hook(self.replace_context(block)),
            ]
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self.handles:
            handle.remove()
        self.handles = []
        self.start()

    def start(self) -> None:
        """Forget what was recorded of the last batch."""
        self.taught, self.errors = {}, []

    def loss(self) -> Tensor | float:
        """The mean error of the student's own signals in its last pass, each over the variance of the teacher's.

        The signals are queries and keys (which stand for the paper's attention scores) and the outputs of attention.
        """
        errors, self.errors = self.errors, []
        return sum(errors) / max(len(errors), 1) if errors else 0.0

    @property
    def intervening(self) -> bool:
        """Whether signals are replaced now: a mode is set, and the student trains."""
        return self.mode is not None and self.student.training

    # hooks ----------------------------------------------------------------------------------------------------------

    def teach(self, block: str, part: str) -> Callable[..., None]:
        """A hook that records what a projection of the teacher gives."""
        return lambda _, __, out: self.taught.update({(block, part): out.detach()})

    def teach_context(self, block: str) -> Callable[..., None]:
        """A hook that records what the teacher's output projection is given."""
        return lambda _, given: self.taught.update({(block, "context"): given[0].detach()})

    def learn(self, block: str, part: str) -> Callable[..., Tensor | None]:
        """A hook that records the student's error, and replaces its output where the mode says so."""

        def hook(_: nn.Module, __: tuple, out: Tensor) -> Tensor | None:
            if not self.student.training or (block, part) not in self.taught:
                return None
            clean = self.taught[block, part]
            self.errors.append(relative_error(out, clean))
            replaced = {"output": (self.names.output,), "map": (self.names.query, self.names.key)}
            return clean if part in replaced.get(self.mode or "", ()) else None

        return hook

    def detach(self, part: str) -> Callable[..., tuple[Tensor] | None]:
        """A hook that keeps gradients of a projection's own error from the layers before it."""

        def hook(_: nn.Module, given: tuple[Tensor]) -> tuple[Tensor] | None:
            live = self.mode == "map" and part == self.names.value
            return (given[0].detach(),) if self.intervening and not live else None

        return hook

    def replace_context(self, block: str) -> Callable[..., tuple[Tensor] | None]:
        """A hook that gives the student's output projection what the teacher's was given."""

        def hook(_: nn.Module, given: tuple[Tensor]) -> tuple[Tensor] | None:
            if not self.intervening or self.mode != "context" or (block, "context") not in self.taught:
                return None
            return (self.taught[block, "context"],)

        return hook
