"""One shard of a token corpus: recordings to rows to a parquet file, which is there whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tadicodec.data.corpora.entry import Recording
from tadicodec.data.shards import CODEC_NAME, FINGERPRINT, LEFT_OUT, SHARDS, arrow, schema
from tadicodec.errors import InputError
from tadicodec.outputs import writing

if TYPE_CHECKING:
    import numpy as np

    from tadicodec.codec import Codec

BATCH = 32  # utterances encoded together, neighbours in length


@dataclass(frozen=True)
class Bad:
    """A recording that was left out of a corpus, and why."""

    id: str
    reason: str


@dataclass(frozen=True)
class Mark:
    """What a shard knows of its corpus. shards: how many there are, 0 where that is not known yet."""

    fingerprint: str
    shards: int = 0
    codec_name: str = ""


def fingerprint(recordings: Sequence[Recording], weights: str) -> str:
    """A hash of what a shard is made of: the codec, what is known of each recording, and its size.

    The place of the files does not count, so that a corpus may move.
    """
    lines = [[item.id, item.sound.size(), item.text, item.speaker, item.split] for item in recordings]
    return hashlib.sha256(json.dumps([weights, lines]).encode()).hexdigest()[:16]


def make_shard(
    path: Path,
    recordings: Sequence[Recording],
    codec: Codec,
    mark: Mark,
    *,
    strict: bool = False,
    advance: Callable[[int], object] = lambda count: None,
) -> list[Bad]:
    """Encode recordings and write them to `path`; returns those that could not be read, which the shard lists too.

    Raises:
        InputError: the shard cannot be written; with strict, the first recording that cannot be read.
    """
    rows, bad = encode_shard(recordings, codec, strict=strict, advance=advance)
    write_shard(path, rows, mark, bad)
    return bad


def encode_shard(
    recordings: Sequence[Recording], codec: Codec, *, strict: bool, advance: Callable[[int], object]
) -> tuple[list[dict[str, Any]], list[Bad]]:
    """Rows in the corpus's order, encoded in batches of neighbours in length; and what is wrong with the others."""
    rows: dict[int, dict[str, Any]] = {}
    bad: dict[int, Bad] = {}
    order = sorted(range(len(recordings)), key=lambda i: recordings[i].seconds)
    for batch in chunks(order, BATCH):
        waves: dict[int, np.ndarray] = {}
        for i in batch:
            try:
                waves[i] = load(recordings[i], codec.sample_rate)
            except InputError as error:
                if strict:
                    raise
                bad[i] = Bad(recordings[i].id, str(error))
        if waves:
            rows |= encode_batch(recordings, waves, codec)
        advance(len(batch))
    return [rows[i] for i in sorted(rows)], [bad[i] for i in sorted(bad)]


def load(item: Recording, sample_rate: int) -> np.ndarray:
    """The samples [N] of a recording. Raises InputError for one that cannot be read, or whose words cannot be
    stored."""
    try:
        "".join((item.id, item.text or "", item.speaker, item.split)).encode()
    except UnicodeEncodeError:
        raise InputError(f"{item.sound.name}: its text, id or speaker is not valid Unicode") from None
    return item.sound.read(sample_rate)


def encode_batch(recordings: Sequence[Recording], waves: dict[int, np.ndarray], codec: Codec) -> dict[int, dict]:
    """A row for each wave [N], by its number. A batch gives each what it would get alone."""
    given = [recordings[i].text for i in waves]
    texts = ["" if text is not None or not codec.transcribes else None for text in given]
    speech = codec.encode(list(waves.values()), codec.sample_rate, text=texts)
    rows = {}
    for place, (i, wave) in enumerate(waves.items()):
        item, codes = recordings[i], speech[place].codes[0]
        text = item.text if item.text is not None else speech.text[place] or ""
        rows[i] = {
            "id": item.id,
            "speaker": item.speaker,
            "text": text,
            "split": item.split,
            "codes": codes.tolist(),
            "seconds": len(wave) / codec.sample_rate,
            "codec": codec.weights,
            "starts": text_starts(codec, codes, text),
        }
    return rows


def chunks(items: list[int], size: int) -> Iterator[list[int]]:
    """A list in parts of `size`."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def text_starts(codec: Codec, codes: Any, text: str) -> list[float] | None:
    """The token at which each byte of the normalised text begins; None where the codec cannot tell."""
    import torch

    from tadicodec.model.quantizer import from_codes

    shape = codec.config.autoencoder
    if not shape.aligned or codec.config.text_tokenizer != "bytes":
        return None
    ids = codec.tokenizer.encode(text)
    if not ids:
        return []
    with torch.inference_mode():
        quantized = from_codes(codes[None].to(codec.device), shape.vq_emb_dim)
        times = codec.model.text_times(quantized, torch.tensor([ids], device=codec.device), None, None)
    return (times[0] / shape.down_sample_factor).clamp(max=len(codes)).tolist()


def write_shard(path: Path, rows: list[dict[str, Any]], mark: Mark, bad: Sequence[Bad] = ()) -> None:
    """Write a shard, whole or not at all. Raises InputError where it cannot be written."""
    pa = arrow()
    notes = {
        FINGERPRINT: mark.fingerprint.encode(),
        SHARDS: str(mark.shards).encode(),
        CODEC_NAME: mark.codec_name.encode(),
        LEFT_OUT: json.dumps([asdict(item) for item in bad]).encode(),
    }
    table = pa.Table.from_pylist(rows, schema=schema().with_metadata(notes))
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    for left in path.parent.glob(f".{path.name}.*.tmp"):  # by a killed run
        left.unlink(missing_ok=True)
    try:
        with writing(path, "; make room and start the same command again: the shards that are there stay"):
            pa.parquet.write_table(table, draft, compression="zstd")
            draft.rename(path)
    finally:
        draft.unlink(missing_ok=True)
