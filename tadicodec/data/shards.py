"""Token corpora: parquet shards of codes with their text, written by `tadicodec tokenize`, read by language models.

Columns: id, speaker, text, split (strings), codes (list of int32), seconds (double), codec (hash of the encoder
that made the codes), starts (list of float: the token at which each byte of the normalised text begins; null where the
codec cannot tell). Any parquet reader opens them; nothing is executable.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tadicodec.config import WIDEST_CODE
from tadicodec.errors import InputError, reason
from tadicodec.guards.extras import need

FINGERPRINT, SHARDS = b"tadicodec.fingerprint", b"tadicodec.shards"  # notes in a shard's metadata
CODEC_NAME, LEFT_OUT = b"tadicodec.codec", b"tadicodec.left_out"
COLUMNS = ("id", "speaker", "text", "split", "codes", "seconds", "codec", "starts")


def arrow() -> Any:
    """The package pyarrow. Raises InputError, which says what to install, where it is missing."""
    need("pyarrow", "a token corpus")
    import pyarrow.parquet

    return pyarrow


def schema() -> Any:
    """The columns of a shard and their types."""
    pa = arrow()
    kinds = {"codes": pa.list_(pa.int32()), "seconds": pa.float64(), "starts": pa.list_(pa.float32())}
    return pa.schema([pa.field(name, kinds.get(name, pa.string())) for name in COLUMNS])


@dataclass(frozen=True)
class ShardNotes:
    """What a shard says of its corpus.

    A hash of what it was made of, how many shards there are (0: it was not known yet), the name of the codec, and the
    recordings that could not be read, each with its id and the reason.
    """

    fingerprint: str
    shards: int = 0
    codec_name: str = ""
    left_out: tuple[dict[str, str], ...] = ()


def read_notes(path: Path) -> ShardNotes | None:
    """The notes of a shard; None for a file that is none or is not there."""
    pa = arrow()
    try:
        metadata = pa.parquet.read_schema(path).metadata or {}
        mark = metadata.get(FINGERPRINT, b"").decode()
        shards, bad = int(metadata.get(SHARDS, b"0")), json.loads(metadata.get(LEFT_OUT, b"[]"))
        left_out = tuple({"id": str(item["id"]), "reason": str(item["reason"])} for item in bad)
    except (OSError, ValueError, TypeError, KeyError, pa.ArrowException):
        return None
    return ShardNotes(mark, shards, metadata.get(CODEC_NAME, b"").decode(), left_out) if mark else None


def check_complete(folder: Path, paths: Sequence[Path]) -> ShardNotes:
    """The notes that all shards of a corpus share. Raises InputError where shards are missing or left over."""
    found = [read_notes(path) or ShardNotes("") for path in paths]
    totals = {notes.shards for notes in found} - {0}
    again = "run `tadicodec tokenize` again with the same corpus, it makes what is missing"
    if not totals:
        raise InputError(f"{folder}: not finished, its last shard is missing; {again}")
    if len(totals) > 1:
        raise InputError(f"{folder}: shards of {len(totals)} corpora; tokenize into an empty folder")
    (total,) = totals
    names = {path.name for path in paths}
    missing = [name for name in (f"{number:05d}.parquet" for number in range(total)) if name not in names]
    if missing:
        raise InputError(f"{folder}: {len(missing)} of {total} shards are missing, {missing[0]} first; {again}")
    if len(names) > total:
        raise InputError(f"{folder}: {len(names)} shards, the corpus has {total}; tokenize it into an empty folder")
    return found[0]


@dataclass(frozen=True)
class Spoken:
    """One utterance of a token corpus: codes [T] int64, and for each byte of the text the token at which it starts, or
    None."""

    id: str
    speaker: str
    text: str
    codes: np.ndarray
    starts: np.ndarray | None


class TokenCorpus:
    """The utterances of one split, from all shards of a folder, in file order; held as Arrow columns."""

    def __init__(self, folder: Path | str, split: str, *, min_tokens: int = 1, max_tokens: int = 10**9) -> None:
        pa = arrow()
        self.folder = Path(folder)
        paths = sorted(self.folder.glob("*.parquet"))
        if not paths:
            raise InputError(f"{self.folder}: no token shards; `tadicodec tokenize` makes them")
        tables = [read_shard(path) for path in paths]
        self.codec_name = check_complete(self.folder, paths).codec_name
        table = pa.concat_tables(tables).combine_chunks()
        found = table.column("codec").unique().to_pylist()
        if len(found) > 1:
            raise InputError(f"{self.folder}: codes of {len(found)} codecs; a corpus has one")
        self.codec: str = found[0] if found else ""
        counts = np.asarray(pa.compute.list_value_length(table.column("codes")))
        keep = (
            (counts >= min_tokens) & (counts <= max_tokens) & np.asarray(pa.compute.equal(table.column("split"), split))
        )
        self.table = table.filter(pa.array(keep))
        self.tokens: list[int] = counts[keep].tolist()
        if not self.tokens:
            raise InputError(
                f"{self.folder}: no utterance of split {split!r} between {min_tokens} and {max_tokens} tokens"
            )
        self.speakers: list[str] = self.table.column("speaker").to_pylist()

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, index: int) -> Spoken:
        row = self.table.slice(index, 1).to_pylist()[0]
        starts = None if row["starts"] is None else np.asarray(row["starts"], dtype=np.float32)
        codes = np.asarray(row["codes"], dtype=np.int64)
        return Spoken(row["id"], row["speaker"], row["text"], codes, starts)

    def top_code(self) -> int:
        """The largest code of the split."""
        return int(arrow().compute.max(self.table.column("codes").combine_chunks().flatten()).as_py() or 0)


def read_shard(path: Path) -> Any:
    """The table of one shard. Raises InputError for a file that is none."""
    pa = arrow()
    try:
        table = pa.parquet.read_table(path)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise InputError(f"{path}: not a readable token shard ({reason(error)})") from error
    try:
        table = table.select(list(COLUMNS)).cast(schema())
        table.validate(full=True)
    except (KeyError, ValueError, pa.ArrowException) as error:
        raise InputError(f"{path}: lacks a column of a token shard ({reason(error)})") from error
    check_values(table, path)
    return table


def check_values(table: Any, path: Path) -> None:
    """Raise InputError for values that no shard has: none at all, codes below 0, places that are no numbers."""
    compute = arrow().compute
    for name in COLUMNS:
        if name != "starts" and table.column(name).null_count:
            raise InputError(f"{path}: not a readable token shard (a {name} is missing)")
    codes, starts = (table.column(name).combine_chunks().flatten() for name in ("codes", "starts"))
    if codes.null_count or (
        len(codes) and not 0 <= compute.min(codes).as_py() <= compute.max(codes).as_py() < 1 << WIDEST_CODE
    ):
        raise InputError(f"{path}: not a readable token shard (codes are whole numbers from 0)")
    if starts.null_count or not all(
        compute.is_finite(column).to_numpy(False).all() for column in (starts, table.column("seconds").combine_chunks())
    ):
        raise InputError(f"{path}: not a readable token shard (starts and seconds are numbers)")
