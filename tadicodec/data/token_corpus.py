"""`tadicodec tokenize`: a corpus to parquet shards of codes, once, on as many processes as there are.

A shard holds about an hour of consecutive utterances. It is written beside its place and renamed, so it is there whole
or not at all: a killed run started again makes exactly the shards that are missing. Process r of n makes every n-th.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tadicodec.data.manifest import Utterance, read_manifest
from tadicodec.data.shards import arrow, schema
from tadicodec.errors import InputError
from tadicodec.outputs import only_writer, writing

if TYPE_CHECKING:
    from tadicodec.codec import Codec

FINGERPRINT = b"tadicodec.fingerprint"
ENVIRONMENT = (  # as torchrun, accelerate and MPI set it
    (("RANK", "PMI_RANK", "OMPI_COMM_WORLD_RANK"), 0),
    (("WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE"), 1),
    (("LOCAL_RANK", "MPI_LOCALRANKID", "OMPI_COMM_WORLD_LOCAL_RANK"), 0),
)
BATCH = 32  # utterances encoded together, neighbours in length


@dataclass(frozen=True)
class Share:
    """Which of all processes this one is, as launchers say in the environment."""

    rank: int = 0
    world: int = 1
    local: int = 0  # its number on its machine

    @classmethod
    def from_environment(cls) -> Share:
        found = ([os.environ[name] for name in names if name in os.environ] or [usual] for names, usual in ENVIRONMENT)
        return cls(*(int(values[0]) for values in found))


@dataclass(frozen=True)
class Done:
    """What a call found and made: utterances of this process's shards, and how many of them were there already."""

    utterances: int
    kept: int
    shards: int


def tokenize_corpus(
    manifest: Path | str,
    out: Path | str,
    codec: Codec,
    *,
    share: Share = Share(),
    shard_seconds: float = 3600.0,
    overwrite: bool = False,
    progress: bool = False,
) -> Done:
    """Write the codes of every utterance of a manifest.

    Raises:
        InputError: a bad manifest or audio file, or shards in `out` that are of another manifest or codec (without
            overwrite).
    """
    from tqdm import tqdm

    out = Path(out)
    shards = split_shards(read_manifest(manifest), shard_seconds)
    names = [out / f"{number:05d}.parquet" for number in range(len(shards))]
    marks = [fingerprint(shard, codec.weights) for shard in shards]
    mine = range(share.rank, len(shards), share.world)
    made_here = {names[i] for i in mine} | (strays(out, names) if share.rank == 0 else set())
    total = sum(len(shards[i]) for i in mine)
    # the processes of one run share the work and the folder; each keeps out its double of another run
    with only_writer(out, f"run-{share.rank}"):
        present = examine(out, dict(zip(names, marks)), made_here, overwrite)
        kept = sum(len(shards[i]) for i in mine if names[i] in present)
        with tqdm(total=total, initial=kept, unit="utterance", disable=not progress) as bar:
            for i in mine:
                if names[i] not in present:
                    write_shard(names[i], encode_shard(shards[i], codec, bar), marks[i])
    return Done(total, kept, len(mine))


def split_shards(utterances: list[Utterance], seconds: float) -> list[list[Utterance]]:
    """Consecutive utterances, about so many seconds a shard."""
    shards: list[list[Utterance]] = [[]]
    filled = 0.0
    for item in utterances:
        if filled >= seconds:
            shards.append([])
            filled = 0.0
        shards[-1].append(item)
        filled += item.seconds
    return shards


def fingerprint(utterances: list[Utterance], weights: str) -> str:
    """Hash of what a shard is made of: the codec, each line of the manifest, and the size of its file. Not the place
    of the files, so that a corpus may move."""
    lines = [[item.id, file_size(item.audio), item.text, item.speaker, item.split] for item in utterances]
    return hashlib.sha256(json.dumps([weights, lines]).encode()).hexdigest()[:16]


def file_size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else -1  # reading it will say what is wrong


def examine(out: Path, wanted: dict[Path, str], mine: set[Path], overwrite: bool) -> set[Path]:
    """The shards that are there already. Those of another manifest or codec are refused, or deleted by the process
    that makes it anew (`mine`): another one may just have replaced it."""
    present = set()
    for path in sorted(out.glob("*.parquet")):
        if path in wanted and read_fingerprint(path) == wanted[path]:
            present.add(path)
        elif not overwrite:
            raise InputError(f"{path} is of another manifest or codec; choose another folder, or pass --overwrite")
        elif read_fingerprint(path) is None and path not in wanted:
            raise InputError(f"{path} is no shard of tokens; choose another folder")
        elif path in mine:
            path.unlink(missing_ok=True)
    return present


def strays(out: Path, names: list[Path]) -> set[Path]:
    """Shards beyond those of this manifest."""
    return set(out.glob("*.parquet")) - set(names)


def read_fingerprint(path: Path) -> str | None:
    pa = arrow()
    try:
        metadata = pa.parquet.read_schema(path).metadata or {}
    except FileNotFoundError:  # another process has just replaced it
        return None
    except (OSError, ValueError, pa.ArrowException):
        return None
    return metadata.get(FINGERPRINT, b"").decode() or None


def encode_shard(utterances: list[Utterance], codec: Codec, bar: Any) -> list[dict[str, Any]]:
    """Rows in the manifest's order, encoded in batches of neighbours in length."""
    rows: dict[int, dict[str, Any]] = {}
    order = sorted(range(len(utterances)), key=lambda i: utterances[i].seconds)
    for batch in chunks(order, BATCH):
        waves = [load(utterances[i], codec.sample_rate) for i in batch]
        speech = codec.encode(waves, codec.sample_rate, text="")
        for place, (i, wave) in enumerate(zip(batch, waves)):
            item, codes = utterances[i], speech[place].codes[0]
            rows[i] = {
                "id": item.id,
                "speaker": item.speaker,
                "text": item.text,
                "split": item.split,
                "codes": codes.tolist(),
                "seconds": len(wave) / codec.sample_rate,
                "codec": codec.weights,
                "starts": text_starts(codec, codes, item.text),
            }
        bar.update(len(batch))
    return [rows[i] for i in range(len(utterances))]


def chunks(items: list[int], size: int) -> Iterator[list[int]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def load(item: Utterance, sample_rate: int) -> np.ndarray:
    from tadicodec.audio.files import read_audio
    from tadicodec.pipeline.waves import to_samples

    wave, found = read_audio(item.audio)
    return to_samples(wave, found, sample_rate)


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


def write_shard(path: Path, rows: list[dict[str, Any]], mark: str) -> None:
    """Whole or not at all. Raises InputError when it cannot be written."""
    pa = arrow()
    table = pa.Table.from_pylist(rows, schema=schema().with_metadata({FINGERPRINT: mark.encode()}))
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    for left in path.parent.glob(f".{path.name}.*.tmp"):  # by a killed run
        left.unlink(missing_ok=True)
    try:
        with writing(path, "; make room and start the same command again: the shards that are there stay"):
            pa.parquet.write_table(table, draft, compression="zstd")
            draft.rename(path)
    finally:
        draft.unlink(missing_ok=True)
