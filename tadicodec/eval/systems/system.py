"""Where the waves of the table come from. A system is one class with an entry in `SYSTEMS`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

from tadicodec.eval.utterances.bitrate import Bits

if TYPE_CHECKING:
    import numpy as np

    from tadicodec.codec import Codec
    from tadicodec.eval.utterances.cases import Case, EvaluationSet
    from tadicodec.eval.utterances.recordings import Recordings

SYSTEMS = {  # by name, so that listing them imports nothing
    "reconstruct": ("tadicodec.eval.systems.reconstruction", "Reconstruct"),
    "speak": ("tadicodec.eval.systems.speech_models", "Speak"),
    "folder": ("tadicodec.eval.systems.generated", "Generated"),
}


@dataclass(frozen=True)
class Setup:
    """What a system may use.

    `conditions` names those asked for (None: all there are). steps and guidance None are the model's own. `generated`
    is a folder of waves.
    """

    chosen: EvaluationSet
    recordings: Recordings
    load_codec: Callable[[], Codec]
    conditions: tuple[str, ...] | None = None
    steps: int | None = None
    guidance: float | None = None
    generated: str | None = None


@dataclass(frozen=True)
class Rendering:
    """What a row makes of one utterance: wave [N] at `sample_rate`. Times are in seconds, one utterance at a time."""

    wave: np.ndarray
    sample_rate: int
    bits: Bits | None = None
    encode_seconds: float | None = None
    decode_seconds: float | None = None
    codes: tuple[int, ...] = ()


class Row(Protocol):
    """One row of the table.

    kind      "reference" (recordings, vocoder), "system" or "baseline"
    seeded    whether its waves depend on the seed; others are made once
    prompted  whether it needs a prompt; utterances without one are then not part of the row
    """

    name: str
    kind: str
    seeded: bool
    prompted: bool

    def render(self, case: Case, seed: int) -> Rendering:
        """The wave of one utterance; whatever it raises makes the utterance a failure of this row."""


class System(Protocol):
    """Where the waves of an evaluation come from. It is made from a `Setup` and checks that all it needs is there.

    Raises:
        InputError: something is missing.
    """

    def __init__(self, setup: Setup) -> None: ...

    def rows(self) -> list[Row]:
        """Its rows; the first of kind "system" is the one whose worst utterances the report plays."""

    def settings(self) -> dict[str, Any]:
        """All that its waves depend on; results of other settings are not mixed with these."""


def load_system(name: str, setup: Setup) -> System:
    """The system of this name in `SYSTEMS`. Raises InputError where something that it needs is missing."""
    module, kind = SYSTEMS[name]
    return getattr(import_module(module), kind)(setup)


class RecordingRow:
    """The recordings as they are, beside which all else is judged."""

    name, kind, seeded, prompted = "recordings", "reference", False, False

    def __init__(self, recordings: Recordings) -> None:
        self.recordings = recordings

    def render(self, case: Case, seed: int) -> Rendering:
        """The wave of one utterance, as `Row.render` says."""
        return Rendering(*self.recordings.read(case.audio))
