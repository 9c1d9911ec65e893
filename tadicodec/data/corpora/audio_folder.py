"""A folder of audio files: texts beside them, a speaker a folder."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tadicodec.audio.files import READABLE
from tadicodec.data.corpora.entry import FileSound, Recording
from tadicodec.errors import InputError


def read_folder(folder: Path) -> list[Recording]:
    """Every audio file under a folder, in the order of their paths.

    The text of `a/b.wav` is in `a/b.txt`, if that is there, and its speaker is `a`.

    Raises:
        InputError: there is no audio file.
    """
    paths = list(audio_files(folder))
    if not paths:
        raise InputError(f"{folder} holds no audio that ends in {', '.join(READABLE)}")
    names = [path.relative_to(folder).with_suffix("").as_posix() for path in paths]
    found, times = [], Counter(names)
    for path, name in zip(paths, names):
        unique = name if times[name] == 1 else path.relative_to(folder).as_posix()  # a.wav beside a.flac
        sound = SidecarSound(path)
        found.append(Recording(unique, sound, sound.text(), path.parent.name, sound.seconds()))
    return found


class SidecarSound(FileSound):
    """An audio file whose text beside it may be unreadable, which is that file's fault alone."""

    def text(self) -> str | None:
        """The text beside it; None where there is none, or none that can be read."""
        try:
            return self.words()
        except InputError:
            return None  # reading the sound will say why

    def words(self) -> str | None:
        """The text beside it, or None. Raises InputError where it cannot be read."""
        beside = self.path.with_suffix(".txt")
        try:
            if not beside.is_file():
                return None
            return " ".join(beside.read_text(encoding="utf-8-sig").split())
        except UnicodeDecodeError:
            raise InputError(f"{beside} is not UTF-8 text; save it as UTF-8") from None
        except OSError as error:
            raise InputError(f"cannot read {beside}: {error.strerror or error}") from error

    def read(self, sample_rate: int) -> np.ndarray:
        """Its samples [N] float32 at this rate. Raises InputError."""
        self.words()
        return super().read(sample_rate)


def audio_files(folder: Path) -> Iterator[Path]:
    """All audio files under a folder, sorted, without hidden ones."""
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if Path(name).suffix.lower() in READABLE and not name.startswith("."):
                yield Path(root) / name
