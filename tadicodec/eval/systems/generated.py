"""Waves that someone else made: DIR/id.wav for each utterance. They are only scored."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from tadicodec.audio.files import READABLE, read_audio
from tadicodec.errors import InputError
from tadicodec.eval.systems.system import Rendering, Row, Setup
from tadicodec.eval.utterances.cases import Case


class Generated:
    """The system of `--system folder`: waves that someone else made."""

    def __init__(self, setup: Setup) -> None:
        if setup.generated is None:
            raise InputError("--system folder needs --generated DIR, the folder of waves to score (id.wav)")
        self.folder = Path(setup.generated)
        if not self.folder.is_dir():
            raise InputError(f"{self.folder} is not a folder; --generated takes the folder of waves to score")
        cases = setup.chosen.cases
        self.files = {case.id: find_wave(self.folder, case.id) for case in cases}
        if not any(self.files.values()):
            raise InputError(f"{self.folder} holds none of the {len(cases)} waves, such as {cases[0].id}.wav")
        self.fingerprint = fingerprint(self.files)

    def rows(self) -> list[Row]:
        """One row, whose waves are the files."""
        return [GeneratedRow(self.folder, self.files)]

    def settings(self) -> dict[str, Any]:
        """The folder's name and a hash of its files."""
        return {"generated": self.folder.name, "generated_files": self.fingerprint}


def fingerprint(files: dict[str, Path | None]) -> str:
    """A hash of the files' names, sizes and times: a wave that was made again is another wave."""
    digest = hashlib.sha256()
    for name, path in sorted(files.items()):
        status = path.stat() if path else None
        digest.update(repr((name, status and (status.st_size, status.st_mtime_ns))).encode())
    return digest.hexdigest()[:16]


class GeneratedRow:
    """Waves of a folder, by the ids of utterances."""

    name, kind, seeded, prompted = "generated", "system", False, False

    def __init__(self, folder: Path, files: dict[str, Path | None]) -> None:
        self.folder, self.files = folder, files

    def render(self, case: Case, seed: int) -> Rendering:
        """The wave of one utterance, as `Row.render` says."""
        path = self.files[case.id]
        if path is None:
            raise InputError(f"{case.id}.wav is missing in {self.folder.name}")
        return Rendering(*read_audio(path))


def find_wave(folder: Path, name: str) -> Path | None:
    """The file of an id in a folder, .wav before other formats; None where there is none."""
    return next((path for end in READABLE if (path := folder / f"{name}{end}").is_file()), None)
