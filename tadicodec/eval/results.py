"""Results on disk: one line an utterance of a row and seed, appended and flushed, so that a killed run goes on."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

from tadicodec.errors import InputError
from tadicodec.eval.judges.wer import Edits
from tadicodec.eval.utterances.bitrate import Bits
from tadicodec.outputs import write_bytes

RESULTS, SETTINGS, AUDIO = "results.jsonl", "settings.json", "audio"
WRITTEN = (RESULTS, SETTINGS, "report.json", "report.md", "report.html")
Key = tuple[str, str, int]  # row, utterance, seed


@dataclass(frozen=True)
class Result:
    """What was found about one utterance of one row, with one seed.

    Scores are None where they were not asked for or where there is nothing to compare with. A result with a `failure`
    (its reason) has none of them and counts as 100 % word error.
    """

    row: str
    id: str
    seed: int
    text: str
    seed_tts: Edits
    whisper: Edits
    group: str = ""
    seconds: float | None = None  # of the recording, or of the wave where there is no recording
    failure: str | None = None
    hypothesis: str = ""
    sim_prompt: float | None = None
    sim_original: float | None = None
    mos: float | None = None
    bits: Bits | None = None
    encode_seconds: float | None = None
    decode_seconds: float | None = None
    codes: tuple[int, ...] = ()

    @property
    def key(self) -> Key:
        """What tells results apart: row, utterance and seed."""
        return self.row, self.id, self.seed

    def to_json(self) -> str:
        """The result as one line of JSON."""
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def from_json(cls, line: str) -> Result:
        """Raises ValueError, TypeError or KeyError for a line that `to_json` did not write."""
        values = json.loads(line)
        values["seed_tts"], values["whisper"] = Edits(**values["seed_tts"]), Edits(**values["whisper"])
        values["bits"] = values["bits"] and Bits(**values["bits"])
        return cls(**values | {"codes": tuple(values["codes"])})


class ResultFile:
    """The results a folder holds, and where the next ones go."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self.file = file
        self.results = {result.key: result for result in read_results(path, file)}

    def append(self, result: Result) -> None:
        """Write a result; the line has left the program before the next utterance starts."""
        self.file.write(result.to_json().encode() + b"\n")
        self.file.flush()
        self.results[result.key] = result


@contextmanager
def open_results(out: Path, settings: dict[str, Any], overwrite: bool) -> Iterator[ResultFile]:
    """The results of a folder, locked against a second writer.

    Raises:
        InputError: it holds results of other settings, or other files, or someone else writes to it.
    """
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is not a folder; --out takes a folder")
    out.mkdir(parents=True, exist_ok=True)
    if not (out / SETTINGS).exists() and any(name for name in os.listdir(out) if name not in WRITTEN):
        raise InputError(f"{out} holds other files; give --out a new folder")
    with open(out / RESULTS, "a+b") as file:
        lock(file, out)
        if overwrite:
            clear(out, file)
        check_settings(out, settings)
        yield ResultFile(out / RESULTS, file)


def lock(file: BinaryIO, out: Path) -> None:
    """Lock a results file until it is closed, also by a kill. Raises InputError where someone else has locked it."""
    try:
        import fcntl
    except ImportError:
        return  # not on this system
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise InputError(f"another evaluation is writing to {out}; wait for it or give another --out") from None


def clear(out: Path, file: BinaryIO) -> None:
    """Delete the results that a folder holds, but nothing that evaluate did not write."""
    file.truncate(0)
    for path in [out / name for name in WRITTEN if name != RESULTS] + sorted((out / AUDIO).glob("*.mp3")):
        path.unlink(missing_ok=True)


def check_settings(out: Path, settings: dict[str, Any]) -> None:
    """Write the settings, or compare them with those with which the folder's results were made. Raises InputError where
    they differ."""
    path, mine = out / SETTINGS, json.loads(json.dumps(settings))
    if path.exists():
        try:
            theirs = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise InputError(f"{path} is damaged; pass --overwrite to start again") from error
        changed = sorted(key for key in mine.keys() | theirs.keys() if mine.get(key) != theirs.get(key))
        if changed:
            what = ", ".join(f"{key} {theirs.get(key)!r}, not {mine.get(key)!r}" for key in changed)
            raise InputError(f"{out} holds results of {what}; give another --out, or --overwrite to start again")
    write_bytes(path, json.dumps(mine, indent=1).encode() + b"\n", overwrite=True)


def read_results(path: Path, file: BinaryIO) -> list[Result]:
    """All whole lines of a results file; the part of one that a kill left behind is cut off.

    Raises:
        InputError: a line that is no result.
    """
    file.seek(0)
    data = file.read()
    whole = data.rfind(b"\n") + 1
    file.truncate(whole)
    results = []
    for number, line in enumerate(data[:whole].splitlines(), 1):
        try:
            results.append(Result.from_json(line.decode()))
        except (ValueError, TypeError, KeyError) as error:
            raise InputError(f"{path}, line {number} is no result; pass --overwrite to start again") from error
    return results
