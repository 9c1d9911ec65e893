"""WebDataset shards: tar files in which the files of one sample share a name up to its first dot."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from tadicodec.audio.files import READABLE
from tadicodec.data.corpora.entry import BytesSound, Recording
from tadicodec.errors import InputError

TEXTS = ("text", "transcript", "transcription", "sentence")
SPEAKERS = ("speaker", "speaker_id", "spk_id")
LARGEST_NOTE = 1 << 20  # bytes of a .txt or .json


@dataclass(frozen=True)
class TarSound:
    """Bytes of an uncompressed tar file that are an audio file."""

    tar: Path
    member: str
    offset: int
    count: int

    @property
    def name(self) -> str:
        """What messages call it."""
        return f"{self.tar}: {self.member}"

    def size(self) -> int:
        """Bytes (or samples) that it takes, as `Sound.size` says."""
        return self.count

    def seconds(self) -> float:
        """Its length in seconds, as `Sound.seconds` says."""
        return BytesSound(self.name, self.bytes()).seconds()

    def read(self, sample_rate: int) -> np.ndarray:
        """Its samples [N] float32 at this rate. Raises InputError."""
        return BytesSound(self.name, self.bytes()).read(sample_rate)

    def bytes(self) -> bytes:
        """The bytes of the audio file in the archive. Raises InputError."""
        try:
            with self.tar.open("rb") as file:
                file.seek(self.offset)
                return file.read(self.count)
        except OSError as error:
            raise InputError(f"cannot read {self.tar}: {error.strerror or error}") from error


def read_tars(paths: list[Path]) -> list[Recording]:
    """The samples of all shards, in the order of the files.

    A sample is an audio file and, beside it, a .txt with its text or a .json with `text`, `speaker` and `split`. A
    sample without audio is a bad recording of the corpus, not its end.

    Raises:
        InputError: a file is no tar file, or a compressed one, which cannot be read from the middle.
    """
    return [recording for path in paths for recording in read_tar(path)]


def read_tar(path: Path) -> Iterator[Recording]:
    """The recordings of one archive, in its order. Raises InputError."""
    try:
        with tarfile.open(path, "r:") as tar:
            members = [member for member in tar if member.isfile() and PurePosixPath(member.name).name[0] != "."]
            samples: dict[str, dict[str, tarfile.TarInfo]] = {}
            for member in members:
                key, ending = split_name(member.name)
                samples.setdefault(key, {})[ending] = member
            for key, parts in samples.items():
                yield read_sample(tar, path, key, parts)
    except (tarfile.TarError, OSError, EOFError) as error:
        raise InputError(
            f"{path}: no uncompressed tar file ({str(error).splitlines()[0]}); decompress it first"
        ) from error


def split_name(name: str) -> tuple[str, str]:
    """("a/b", "flac") of "a/b.flac"."""
    place = PurePosixPath(name)
    stem, _, ending = place.name.partition(".")
    return str(place.with_name(stem)), ending.lower()


def read_sample(tar: tarfile.TarFile, path: Path, key: str, parts: dict[str, tarfile.TarInfo]) -> Recording:
    """A recording from the files of an archive that share a name. Raises InputError."""
    note = json_of(tar, parts.get("json"))
    text = content(tar, parts.get("txt"))
    if text is None:
        text = first(note, TEXTS)
    audio = next((part for ending, part in parts.items() if f".{ending.rpartition('.')[2]}" in READABLE), None)
    name = f"{path.stem}/{key}"
    if audio is None:
        return Recording(name, BytesSound(f"{path}: {key} has no audio", b""), text, "", 0.0)
    sound = TarSound(path, audio.name, audio.offset_data, audio.size)
    speaker, split = first(note, SPEAKERS) or "", first(note, ("split",)) or ""
    return Recording(name, sound, None if text is None else " ".join(text.split()), speaker, sound.seconds(), split)


def content(tar: tarfile.TarFile, member: tarfile.TarInfo | None) -> str | None:
    """The bytes of a file in an archive. Raises InputError where it cannot be read."""
    if member is None or member.size > LARGEST_NOTE:
        return None
    file = tar.extractfile(member)
    return None if file is None else io.TextIOWrapper(file, encoding="utf-8-sig", errors="replace").read()


def json_of(tar: tarfile.TarFile, member: tarfile.TarInfo | None) -> dict[str, Any]:
    """The JSON object that goes with a recording. Raises InputError where it is none."""
    try:
        found = json.loads(content(tar, member) or "{}")
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def first(note: dict[str, Any], names: tuple[str, ...]) -> str | None:
    """The first of these keys that is there, as a string."""
    return next((str(note[name]) for name in names if note.get(name) is not None), None)
