"""Token corpora: parquet shards of codes with their text, written by `tadicodec tokenize`, read by language models.

Columns: id, speaker, text, split (strings), codes (list of int32), seconds (double), codec (hash of the encoder
that made the codes), starts (list of float: the token at which each byte of the normalised text begins; null where the
codec cannot tell). Any parquet reader opens them; nothing is executable.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tadicodec.config import WIDEST_CODE
from tadicodec.errors import InputError, reason

COLUMNS = ("id", "speaker", "text", "split", "codes", "seconds", "codec", "starts")


def arrow() -> Any:
    """pyarrow. Raises InputError saying what to install."""
    try:
        import pyarrow.parquet
    except (ImportError, OSError) as error:
        raise InputError('token corpora need pyarrow: pip install "tadicodec[train]"') from error
    return pyarrow


def schema() -> Any:
    pa = arrow()
    kinds = {"codes": pa.list_(pa.int32()), "seconds": pa.float64(), "starts": pa.list_(pa.float32())}
    return pa.schema([pa.field(name, kinds.get(name, pa.string())) for name in COLUMNS])


@dataclass(frozen=True)
class Spoken:
    """One utterance of a token corpus: codes [T] int64, starts one a byte of the text (in tokens), or None."""

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
        table = pa.concat_tables([read_shard(path) for path in paths]).combine_chunks()
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
    """One shard's table. Raises InputError for a file that is none."""
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
    """Raises InputError for values that no shard has: none at all, codes below 0, places that are no numbers."""
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
