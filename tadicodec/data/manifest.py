"""The manifest: one JSON object a line, one utterance each. It is the only thing training knows about a corpus."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator

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
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
                yield Utterance(
                    id=str(row["id"]),
                    audio=path.parent / row["audio"],
                    text=str(row["text"]),
                    speaker=str(row["speaker"]),
                    seconds=float(row["seconds"]),
                    sample_rate=int(row["sample_rate"]),
                    split=str(row.get("split", "train")),
                    source=str(row.get("source", "")),
                )
            except (ValueError, KeyError, TypeError) as error:
                raise InputError(f"{path}, line {number}: not an utterance ({error!r})") from error
