"""lhotse's cut manifests, if lhotse is installed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tadicodec.data.corpora.entry import Recording
from tadicodec.errors import InputError
from tadicodec.guards.extras import need


@dataclass(frozen=True)
class CutSound:
    """A cut of lhotse: part of a recording, wherever lhotse finds that."""

    cut: Any
    place: Path  # relative paths in a manifest start here

    @property
    def name(self) -> str:
        """What messages call it."""
        return f"cut {self.cut.id}"

    def size(self) -> int:
        """Bytes (or samples) that it takes, as `Sound.size` says."""
        return int(self.cut.num_samples)

    def seconds(self) -> float:
        """Its length in seconds, as `Sound.seconds` says."""
        return float(self.cut.duration)

    def read(self, sample_rate: int) -> np.ndarray:
        """Its samples [N] float32 at this rate. Raises InputError."""
        from tadicodec.pipeline.waves import to_samples

        cut = self.cut
        try:
            wave = cut.load_audio()
            if wave is None and not Path(cut.recording.sources[0].source).is_absolute():
                wave = cut.with_recording_path_prefix(self.place).load_audio()
        except Exception as error:  # each of lhotse's ways to audio raises errors of its own
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise InputError(f"{self.name} cannot be read ({reason})") from error
        if wave is None:
            raise InputError(f"{self.name} has no audio")
        return to_samples(wave.mean(axis=0), int(cut.sampling_rate), sample_rate)


def read_cuts(path: Path) -> list[Recording]:
    """The cuts of a manifest (.jsonl or .jsonl.gz) in its order; text and speaker are those of their supervisions.

    Raises:
        InputError: lhotse is missing, or the file is no cut manifest.
    """
    need("lhotse", "a manifest of lhotse cuts")
    from lhotse import CutSet

    try:
        return [recording_of(cut, path.parent) for cut in CutSet.from_file(path)]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, AssertionError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(f"{path}: no manifest of lhotse cuts ({reason})") from error


def recording_of(cut: Any, place: Path) -> Recording:
    """A cut as a recording; paths that are relative begin at `place`."""
    said = [item.text for item in cut.supervisions if item.text]
    speaker = next((item.speaker for item in cut.supervisions if item.speaker), "")
    split = str((cut.custom or {}).get("split", "")) if hasattr(cut, "custom") else ""
    return Recording(cut.id, CutSound(cut, place), " ".join(said) or None, speaker, float(cut.duration), split)
