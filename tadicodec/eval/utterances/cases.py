"""What is evaluated: utterances with their reference text, from a manifest, a Seed-TTS meta file or a folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tadicodec.data.manifest import Utterance, read_manifest
from tadicodec.errors import InputError
from tadicodec.eval.utterances.choice import choose, prompts_for

READ = "a manifest (JSONL), a Seed-TTS meta file (id|prompt text|prompt wav|text|wav) or a folder of audio"


@dataclass(frozen=True)
class Case:
    """One utterance to evaluate.

    `audio` is its recording (None: there is none), `prompt_audio` another one of its speaker. Figures are also given by
    `group`, a manifest's split and source. `seconds` is the length that a manifest states.
    """

    id: str
    text: str
    audio: Path | None
    prompt_audio: Path | None = None
    prompt_text: str = ""
    split: str = ""
    group: str = ""
    seconds: float | None = None


@dataclass(frozen=True)
class EvaluationSet:
    """The chosen cases. `texts` are those of the whole input, and `fingerprint` is a hash of it, whatever is chosen."""

    name: str
    fingerprint: str
    cases: tuple[Case, ...]
    texts: tuple[str, ...]

    @property
    def recorded(self) -> bool:
        """Whether any case has a recording."""
        return any(case.audio is not None for case in self.cases)

    @property
    def prompted(self) -> bool:
        """Whether any case has a prompt."""
        return any(case.prompt_audio is not None for case in self.cases)


def read_cases(path: Path | str, splits: Sequence[str] = (), limit: int | None = None) -> EvaluationSet:
    """Read a manifest, a Seed-TTS meta file or a folder.

    `splits` (of a manifest) and `limit` (utterances of each group) choose among the utterances. The choice depends on
    the ids alone, so that it is the same for every model and a larger limit only adds.

    Raises:
        InputError: not an input, an id twice, an utterance without words to compare with, or nothing chosen.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path} does not exist; give {READ}")
    if path.is_dir():
        found = list(folder_cases(path))
    elif first_line(path).startswith("{"):
        found = manifest_cases(read_manifest(path))
    else:
        found = list(meta_cases(path))
    check(path, found)
    chosen = choose([case for case in found if not splits or case.split in splits], limit)
    if not chosen:
        raise InputError(f"{path}: no utterance" + (f" of split {', '.join(splits)}" if splits else ""))
    return EvaluationSet(path.name, fingerprint(found, path), tuple(chosen), tuple(case.text for case in found))


def manifest_cases(lines: Sequence[Utterance]) -> list[Case]:
    """The utterances of a manifest, each with a prompt of its speaker where there is one."""
    prompts = prompts_for(lines)
    cases = []
    for line in lines:
        prompt = prompts.get(line.id)
        cases.append(
            Case(
                id=line.id,
                text=line.text,
                audio=line.audio,
                prompt_audio=prompt.audio if prompt else None,
                prompt_text=prompt.text if prompt else "",
                split=line.split,
                group=f"{line.split} {line.source}".strip(),
                seconds=line.seconds,
            )
        )
    return cases


def meta_cases(path: Path) -> Iterator[Case]:
    """Lines of a Seed-TTS meta file, with four fields where no recording belongs to the text; waves are relative
    to the file."""
    for number, line in enumerate(read_lines(path), 1):
        if not line.strip():
            continue
        fields = [field.strip() for field in line.split("|")]
        if len(fields) not in (4, 5):
            raise InputError(f"{path}, line {number}: {len(fields)} fields between |, not 4 or 5; give {READ}")
        name, prompt_text, prompt, text = fields[:4]
        audio = path.parent / fields[4] if len(fields) == 5 and fields[4] else None
        yield Case(name, text, audio, path.parent / prompt if prompt else None, prompt_text)


def folder_cases(folder: Path) -> Iterator[Case]:
    """Audio files with their words in a .txt beside each; speakers are not known, so there are no prompts."""
    from tadicodec.audio.files import READABLE

    for audio in sorted(path for path in folder.rglob("*") if path.suffix.lower() in READABLE):
        if audio.name.startswith(".") or not audio.is_file() or (audio.parent.parent / "results.jsonl").exists():
            continue  # the last: players of a report that was written into the folder
        words = audio.with_suffix(".txt")
        if not words.is_file():
            raise InputError(f"{audio} has no {words.name} beside it; put there what is said")
        name = audio.relative_to(folder).with_suffix("").as_posix()
        yield Case(name, " ".join(" ".join(read_lines(words)).split()), audio)


def first_line(path: Path) -> str:
    """The first line that is not empty; "" where there is none."""
    return next((line.strip() for line in read_lines(path) if line.strip()), "")


def read_lines(path: Path) -> Iterator[str]:
    """The lines of a UTF-8 text file. Raises InputError for any other file."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            yield from file
    except UnicodeDecodeError:
        raise InputError(f"{path} is not UTF-8 text; give {READ}") from None
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error


def check(path: Path, cases: Sequence[Case]) -> None:
    """Raise InputError for ids that are missing or appear twice, and for utterances without words."""
    if not cases:
        raise InputError(f"{path} holds no utterance; give {READ}")
    seen: set[str] = set()
    for case in cases:
        if not case.id or case.id in seen:
            raise InputError(f"{path}: id {case.id!r} " + ("appears twice" if case.id else "is empty"))
        if not any(character.isalnum() for character in case.text):
            raise InputError(f"{path}: {case.id!r} has no words to compare with; correct its text or leave it out")
        seen.add(case.id)


def fingerprint(cases: Iterable[Case], path: Path) -> str:
    """A hash of ids, texts and names of files, without the place of `path`, which may be moved."""
    digest = hashlib.sha256()
    root = path if path.is_dir() else path.parent
    for case in cases:
        files = [str(file).removeprefix(str(root)) for file in (case.audio, case.prompt_audio) if file]
        digest.update(json.dumps([case.id, case.text, case.prompt_text, *files]).encode())
    return digest.hexdigest()[:16]
