"""The manifest: one JSON object a line, one utterance each. It is all that training knows about a corpus."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tadicodec.errors import InputError, reason
from tadicodec.guards.documents import parse_json
from tadicodec.text.clean import clean


@dataclass(frozen=True)
class Utterance:
    """One line of a manifest.

    `audio` is taken from the manifest's folder. `sample_rate` is the original's, so there is nothing above half of it
    even if the file was resampled since.
    """

    id: str
    audio: Path
    text: str
    speaker: str
    seconds: float
    sample_rate: int
    split: str = "train"
    source: str = ""


LOWEST_RATE, HIGHEST_RATE = 1000, 768_000  # Hz, as for audio files
REQUIRED = ("id", "audio", "text", "speaker")
EXAMPLE = '{"id": "a1", "audio": "a1.flac", "text": "What is said.", "speaker": "ann"}'
SHOWN = 10  # faults that a check lists


def read_manifest(path: Path | str, split: str | None = None) -> list[Utterance]:
    """All utterances (of one split, if named), in file order. A line without `seconds` or `sample_rate` gets those of
    its audio file.

    Raises:
        InputError: no such file, a line that is not an utterance, an id that appears twice, nothing left.
    """
    path = Path(path)
    found = []
    for item in parse_lines(path):
        if isinstance(item, InputError):
            raise item
        if split in (None, item.split):
            found.append(item)
    if not found:
        raise InputError(f"{path}: no utterance" + (f" of split {split!r}" if split else ""))
    return found


def check_manifest(path: Path | str) -> tuple[list[Utterance], list[InputError]]:
    """Read a manifest whole, and the header of every audio file: its utterances, and all that is wrong with it.

    Raises:
        InputError: no such file.
    """
    found: list[Utterance] = []
    faults: list[InputError] = []
    for number, item in enumerate(parse_lines(Path(path)), 1):
        if isinstance(item, InputError):
            faults.append(item)
            continue
        found.append(item)
        try:
            check_audio(item)
        except InputError as error:
            faults.append(InputError(f"{path}, utterance {number} (id {item.id!r}): {error}"))
    return found, faults


def check_audio(item: Utterance) -> None:
    """Raise InputError unless the audio is there and about as long as the manifest says."""
    from tadicodec.audio.files import inspect_audio

    seconds = inspect_audio(item.audio).seconds
    if seconds > 0 and abs(seconds - item.seconds) > max(0.1, 0.05 * item.seconds):
        raise InputError(f"seconds is {item.seconds}, {item.audio} has {seconds:.2f}")


def parse_lines(path: Path) -> Iterator[Utterance | InputError]:
    """Utterances in file order and, where a line is none, what is wrong with it. Raises InputError where there is no
    such file."""
    if not path.is_file():
        raise InputError(f"{path}: no such manifest; give a JSONL file with lines such as {EXAMPLE}")
    seen: set[str] = set()
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip(b"\xef\xbb\xbf \t\r\n"):
                continue
            try:
                item = parse_utterance(parse_json(line.decode("utf-8-sig")), path.parent)
                if item.id in seen:
                    raise InputError(f"id {item.id!r} appears twice")
            except ValueError as error:  # InputError among them
                yield InputError(f"{path}, line {number}: not an utterance ({reason(error)})")
                continue
            seen.add(item.id)
            yield item


def parse_utterance(row: Any, folder: Path) -> Utterance:
    """One object of a manifest as an utterance; `folder` is the manifest's. Raises InputError for what is missing or
    cannot be."""
    if not isinstance(row, dict):
        raise InputError(f"a line is an object such as {EXAMPLE}")
    if missing := [name for name in REQUIRED if row.get(name) is None]:
        raise InputError(f"{missing[0]} is missing; a line needs at least {EXAMPLE}")
    audio = folder / string(row, "audio")
    seconds, sample_rate = row.get("seconds"), row.get("sample_rate")
    if seconds is None or sample_rate is None:
        seconds, sample_rate = from_header(audio, seconds, sample_rate)
    item = Utterance(
        id=label(row, "id"),
        audio=audio,
        text=clean(string(row, "text")),
        speaker=label(row, "speaker"),
        seconds=number(seconds, "seconds"),
        sample_rate=int(number(sample_rate, "sample_rate")),
        split=string({"split": "train", **row}, "split"),
        source=string({"source": "", **row}, "source"),
    )
    if not 0 < item.seconds < math.inf:
        raise InputError(f"seconds is {item.seconds}; it must be above 0 and finite")
    if not LOWEST_RATE <= item.sample_rate <= HIGHEST_RATE:
        raise InputError(f"sample_rate is {item.sample_rate}; it must be {LOWEST_RATE} to {HIGHEST_RATE} Hz")
    return item


def from_header(audio: Path, seconds: Any, sample_rate: Any) -> tuple[Any, Any]:
    """Seconds and sample rate; what is None is taken from the audio file's header. Raises InputError."""
    from tadicodec.audio.files import inspect_audio

    info = inspect_audio(audio)
    return info.seconds if seconds is None else seconds, info.sample_rate if sample_rate is None else sample_rate


def string(row: dict[str, Any], name: str) -> str:
    """A value that is text. Raises InputError for any other, and for text that UTF-8 cannot carry."""
    value = row[name]
    if not isinstance(value, str):
        raise InputError(f"{name} is text in quotes, not {value!r}")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InputError(f"{name} is not valid Unicode") from None
    if "\0" in value and name == "audio":
        raise InputError(f"{name} is no name that a file can have: {value!r}")
    return value


def label(row: dict[str, Any], name: str) -> str:
    """A name, which may be written as a whole number. Raises InputError."""
    return str(row[name]) if type(row[name]) is int else clean(string(row, name))


def number(value: Any, name: str) -> float:
    """A value that is a number. Raises InputError for any other."""
    if type(value) not in (int, float) or abs(value) > 1e12:
        raise InputError(f"{name} is a number, not {value!r}")
    return float(value)
