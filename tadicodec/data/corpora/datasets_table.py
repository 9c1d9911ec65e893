"""Hugging Face datasets with an Audio column: saved on disk, in parquet files, or on the hub, read or streamed.

Only their data is read, never a script: the datasets package has run none since its version 4.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tadicodec.data.corpora.entry import BytesSound, FileSound, Recording, Sound
from tadicodec.errors import InputError
from tadicodec.guards.extras import need

NAMES = {  # what columns are usually called, best first
    "text": ("text", "transcript", "transcription", "sentence", "normalized_text", "raw_text"),
    "speaker": ("speaker", "speaker_id", "client_id", "speaker_name"),
    "id": ("id", "utt_id", "segment_id", "file"),
}


@dataclass(frozen=True)
class TableOptions:
    """What of a dataset to read. columns: the dataset's own names for text, speaker, id and audio."""

    config: str | None = None
    split: str | None = None  # None: all
    stream: bool = False
    columns: dict[str, str] | None = None


@dataclass(frozen=True)
class RowSound:
    """The audio of a row of a dataset that lies on this machine, or on a disk that all machines see."""

    table: Any  # a datasets.Dataset with this one column; pickled, it is the names of its files
    column: str
    row: int
    name: str
    count: int

    def size(self) -> int:
        """Bytes (or samples) that it takes, as `Sound.size` says."""
        return self.count

    def seconds(self) -> float:
        """Its length in seconds, as `Sound.seconds` says."""
        return self.sound().seconds()

    def read(self, sample_rate: int) -> np.ndarray:
        """Its samples [N] float32 at this rate. Raises InputError."""
        return self.sound().read(sample_rate)

    def sound(self) -> BytesSound | FileSound:
        """The audio of the row."""
        return sound_of(self.table[self.row][self.column], self.name)


def read_table(source: str, options: TableOptions) -> Iterable[Recording]:
    """Recordings of a dataset folder or hub id: a list, or an iterator where it is streamed.

    Raises:
        InputError: no such dataset, one without an Audio column, or a column that was asked for and is not there.
    """
    tables = load(source, options)
    if options.stream:
        return streamed(source, tables, options)
    return [item for split, table in tables.items() for item in rows(split, table, options)]


def streamed(source: str, tables: dict[str, Any], options: TableOptions) -> Iterator[Recording]:
    """The recordings of a streamed dataset. Raises InputError where the stream breaks off, because a corpus that just
    ended there would look finished."""
    try:
        for split, table in tables.items():
            yield from rows(split, table, options)
    except (InputError, GeneratorExit):
        raise
    except Exception as error:  # networks, archives and file formats raise anything
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(f"{source}: the stream broke off ({reason}); start the same command again") from error


def load(source: str, options: TableOptions) -> dict[str, Any]:
    """The tables of a dataset by the names of their splits. Raises InputError."""
    need("datasets", "a Hugging Face dataset")
    import datasets

    folder = Path(source)
    try:
        if (folder / "dataset_dict.json").is_file() or (folder / "dataset_info.json").is_file():
            found = datasets.load_from_disk(source)
            found = found.to_iterable_dataset() if options.stream and hasattr(found, "to_iterable_dataset") else found
        else:
            found = datasets.load_dataset(source, options.config, split=options.split, streaming=options.stream)
    except Exception as error:  # the hub, file systems and builders raise anything
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(f"{source}: no dataset that can be read ({reason})") from error
    if not isinstance(found, dict):
        return {options.split or str(getattr(found, "split", None) or ""): found}
    if options.split is None:
        return dict(found)
    if options.split not in found:
        raise InputError(f"{source}: no split {options.split!r}; there are {', '.join(found)}")
    return {options.split: found[options.split]}


def rows(split: str, table: Any, options: TableOptions) -> Iterator[Recording]:
    """The recordings of one split. Raises InputError where it has no column of audio."""
    import datasets

    features = table.features or {}
    audio = (options.columns or {}).get("audio") or next(
        (name for name, kind in features.items() if isinstance(kind, datasets.Audio)), None
    )
    if audio is None or audio not in features:
        raise InputError(f"the dataset has no Audio column; it has {', '.join(features) or 'unknown ones'}")
    table = table.cast_column(audio, datasets.Audio(decode=False))
    named = {role: column(role, features, options) for role in NAMES}
    alone = None if options.stream else table.select_columns([audio])
    for number, row in enumerate(table):
        known = {role: None if name is None or row[name] is None else str(row[name]) for role, name in named.items()}
        name = str(known["id"] or (f"{split}-{number}" if split else number))
        here = sound_of(row[audio], name)
        sound: Sound = here if alone is None else RowSound(alone, audio, number, name, here.size())
        text = None if known["text"] is None else " ".join(known["text"].split())
        yield Recording(name, sound, text, known["speaker"] or "", here.seconds(), split)


def column(role: str, features: dict[str, Any], options: TableOptions) -> str | None:
    """The column of a role: the one asked for, or a usual name. Raises InputError."""
    asked = (options.columns or {}).get(role)
    if asked is None:
        return next((name for name in NAMES[role] if name in features), None)
    if asked not in features:
        raise InputError(f"the dataset has no column {asked!r} for {role}; it has {', '.join(features)}")
    return asked


def sound_of(value: Any, name: str) -> BytesSound | FileSound:
    """What an Audio column holds undecoded: the bytes of a file, or its path."""
    value = value or {}
    if value.get("bytes") is not None:
        return BytesSound(name, value["bytes"])
    path = value.get("path")
    if path and "://" in path:
        import fsspec

        try:
            with fsspec.open(path, "rb") as file:
                return BytesSound(name, file.read())
        except (OSError, ValueError):
            return BytesSound(f"{name} ({path} cannot be read)", b"")
    return FileSound(Path(path)) if path else BytesSound(name, b"")
