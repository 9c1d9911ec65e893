"""From what a caller names to a corpus: which kind it is, decided in one place."""

from __future__ import annotations

import json
from collections.abc import Iterable
from glob import glob
from pathlib import Path

from tadicodec.data.corpora.audio_folder import read_folder
from tadicodec.data.corpora.cuts import read_cuts
from tadicodec.data.corpora.datasets_table import TableOptions, read_table
from tadicodec.data.corpora.entry import Corpus, FileSound, Recording, with_splits
from tadicodec.data.corpora.tar_shards import read_tars
from tadicodec.data.manifest import read_manifest
from tadicodec.errors import InputError
from tadicodec.guards import arguments

HUB = "hf:"
VALID_EVERY = 20


def open_corpus(
    source: str | Path, options: TableOptions = TableOptions(), *, valid_every: int = VALID_EVERY
) -> Corpus:
    """The recordings of a corpus.

    source: a manifest (.jsonl), a manifest of lhotse cuts (.jsonl or .jsonl.gz), a folder of audio, WebDataset shards
    (.tar, a folder or a pattern of them), a folder that the datasets package saved or that holds parquet files, or
    `hf:` and a dataset's id on the Hugging Face hub. options: which part of a dataset. valid_every: in a corpus that
    knows no splits, each so-many-th recording is for validation; 0: none.

    Raises:
        InputError: none of these, no recording, or an id that appears twice.
    """
    name = str(source) if str(source).startswith(HUB) else str(arguments.path("a corpus", source))
    found = recordings_of(name, options)
    if options.stream:
        return Corpus(name, with_splits(found, valid_every), listed=False)
    listed = list(with_splits(found, valid_every))
    if not listed:
        raise InputError(f"{name}: no recordings")
    if valid_every and not any(item.split for item in found) and len(listed) < valid_every:
        listed = list(with_splits(found, len(listed)))
    seen: set[str] = set()
    for item in listed:
        if item.id in seen:
            raise InputError(f"{name}: id {item.id!r} appears twice")
        seen.add(item.id)
    return Corpus(name, listed)


def recordings_of(name: str, options: TableOptions) -> Iterable[Recording]:
    """The recordings of a corpus by its name. Raises InputError."""
    if name.startswith(HUB):
        return read_table(name.removeprefix(HUB), options)
    path = Path(name)
    if path.is_dir():
        return folder_of(path, options)
    if options.stream:
        raise InputError(f"{name}: only datasets can be streamed; leave --stream out")
    if path.name.endswith((".tar", ".tar.gz", ".tgz")) or "*" in name or "{" in name:
        return read_tars(shards_of(name))
    if path.is_file() and holds_cuts(path):
        return read_cuts(path)
    if path.is_file() or path.suffix == ".jsonl":
        return [
            Recording(item.id, FileSound(item.audio), item.text, item.speaker, item.seconds, item.split)
            for item in read_manifest(path)
        ]
    raise InputError(
        f"{name}: no such corpus; give a manifest, a folder, tar shards, or a dataset of the hub as hf:USER/NAME"
    )


def folder_of(path: Path, options: TableOptions) -> Iterable[Recording]:
    """What lies in a folder says what it is."""
    saved = (path / "dataset_info.json").is_file() or (path / "dataset_dict.json").is_file()
    if saved or any(path.glob("*.parquet")) or any(path.glob("data/*.parquet")):
        return read_table(str(path), options)
    if options.stream:
        raise InputError(f"{path}: only datasets can be streamed; leave --stream out")
    tars = sorted(path.glob("*.tar"))
    return read_tars(tars) if tars else read_folder(path)


def shards_of(name: str) -> list[Path]:
    """The files of a pattern, sorted; `{000..012}` is written out. Raises InputError."""
    before, brace, rest = name.partition("{")
    if brace:
        inside, _, after = rest.partition("}")
        first, dots, last = inside.partition("..")
        if not dots or not first.isdigit() or not last.isdigit():
            raise InputError(f"{name}: a pattern of shards is {{000..012}} or has an asterisk")
        paths = [Path(f"{before}{i:0{len(first)}d}{after}") for i in range(int(first), int(last) + 1)]
    else:
        paths = [Path(found) for found in sorted(glob(name))] if "*" in name else [Path(name)]
    missing = [path for path in paths if not path.is_file()]
    if missing or not paths:
        raise InputError(f"{missing[0] if missing else name}: no such shard; check the path")
    return paths


def holds_cuts(path: Path) -> bool:
    """Whether a file is a manifest of lhotse cuts: compressed, or with a type in its first line."""
    if path.name.endswith(".jsonl.gz"):
        return True
    try:
        with path.open("rb") as lines:
            first = json.loads(next((line for line in lines if line.strip()), b"{}"))
        return isinstance(first, dict) and str(first.get("type", "")).endswith("Cut")
    except (OSError, ValueError, RecursionError):
        return False
