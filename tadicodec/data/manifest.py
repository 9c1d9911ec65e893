"""The manifest: one JSON object a line, one utterance each. It is the only thing training knows about a corpus."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tadicodec.errors import InputError


@dataclass(frozen=True)
class Utterance:
    """One line of a manifest. `audio` is resolved against the manifest's folder; sample_rate is the original's, so
    content ends at half of it even if the file was resampled since."""

    id: str
    audio: Path
    text: str
    speaker: str
    seconds: float
    sample_rate: int
    split: str = "train"
    source: str = ""


LOWEST_RATE, HIGHEST_RATE = 1000, 768_000  # Hz, as for audio files
REQUIRED = ("id", "audio", "text", "speaker", "seconds", "sample_rate")


def read_manifest(path: Path | str, split: str | None = None) -> list[Utterance]:
    """All utterances (of one split, if named), in file order.

    Raises:
        InputError: no such file, a line that is not an utterance, an id that appears twice, nothing left.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such manifest; give a JSONL file with {', '.join(REQUIRED)} on every line")
    found = [item for item in parse_lines(path) if split in (None, item.split)]
    if not found:
        raise InputError(f"{path}: no utterance" + (f" of split {split!r}" if split else ""))
    seen: set[str] = set()
    for item in found:
        if item.id in seen:
            raise InputError(f"{path}: id {item.id!r} appears twice")
        seen.add(item.id)
    return found


def parse_lines(path: Path) -> Iterator[Utterance]:
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                yield parse_utterance(json.loads(line.decode("utf-8")), path.parent)
            except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
                reason = str(error) if isinstance(error, InputError) else repr(error)
                raise InputError(f"{path}, line {number}: not an utterance ({reason})") from error


def parse_utterance(row: dict[str, Any], folder: Path) -> Utterance:
    """One object of a manifest in `folder`. Raises InputError for figures that no recording has."""
    item = Utterance(
        id=str(row["id"]),
        audio=folder / row["audio"],
        text=str(row["text"]),
        speaker=str(row["speaker"]),
        seconds=float(row["seconds"]),
        sample_rate=int(row["sample_rate"]),
        split=str(row.get("split", "train")),
        source=str(row.get("source", "")),
    )
    if not 0 < item.seconds < math.inf:
        raise InputError(f"seconds is {item.seconds}; it must be above 0 and finite")
    if not LOWEST_RATE <= item.sample_rate <= HIGHEST_RATE:
        raise InputError(f"sample_rate is {item.sample_rate}; it must be {LOWEST_RATE} to {HIGHEST_RATE} Hz")
    return item
