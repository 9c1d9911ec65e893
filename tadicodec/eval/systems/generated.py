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
    """--system folder."""

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
        return [GeneratedRow(self.folder, self.files)]

    def settings(self) -> dict[str, Any]:
        return {"generated": self.folder.name, "generated_files": self.fingerprint}


def fingerprint(files: dict[str, Path | None]) -> str:
    """Of names, sizes and times: a wave made again is another wave."""
    digest = hashlib.sha256()
    for name, path in sorted(files.items()):
        status = path.stat() if path else None
        digest.update(repr((name, status and (status.st_size, status.st_mtime_ns))).encode())
    return digest.hexdigest()[:16]


class GeneratedRow:
    name, kind, seeded, prompted = "generated", "system", False, False

    def __init__(self, folder: Path, files: dict[str, Path | None]) -> None:
        self.folder, self.files = folder, files

    def render(self, case: Case, seed: int) -> Rendering:
        path = self.files[case.id]
        if path is None:
            raise InputError(f"{case.id}.wav is missing in {self.folder.name}")
        return Rendering(*read_audio(path))


def find_wave(folder: Path, name: str) -> Path | None:
    """The wave of an id, .wav before other formats."""
    return next((path for end in READABLE if (path := folder / f"{name}{end}").is_file()), None)
