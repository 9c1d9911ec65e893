"""Sentences of books, from packages as npm makes them."""

from __future__ import annotations

import io
import struct
import subprocess
import tarfile
import zlib
from pathlib import Path

import corpus_books
import pytest
from speech_packages import MissingModel

FILES = {
    "package/data/chapter_1.txt": "Call me Ishmael. “Some years ago—never mind how long” I said.\nWho ain’t a slave?",
    "package/data/1790_george_washington_n.txt": "I embrace this opportunity with great satisfaction.",
    "package/data/data.txt": "Everything once more.",
    "package/data/chapter_1.json": "{}",
    "package/README.md": "Not a sentence of it.",
}


@pytest.mark.parametrize("package", corpus_books.PACKAGES)
def test_chapters_and_years_are_read_and_nothing_else(tmp_path: Path, package: str) -> None:
    name, version = package.removeprefix("@").rsplit("@", 1)
    with tarfile.open(tmp_path / f"{name.replace('/', '-')}-{version}.tgz", "w:gz") as archive:
        for path, text in FILES.items():
            member = tarfile.TarInfo(path)
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
    assert list(corpus_books.book_sentences(tmp_path, package)) == [
        "I embrace this opportunity with great satisfaction.",
        "Call me Ishmael.",
        "Some years ago, never mind how long I said.",
        "Who ain't a slave?",
    ]


def vector(lines: list[str]) -> bytes:
    """Strings as a vector of R's, compressed as in its database files."""
    packed = [struct.pack(">Ii", 0x40009, len(line.encode())) + line.encode() for line in lines]
    raw = b"X\n" + struct.pack(">Iii", 3, 262144, 0) + struct.pack(">Ii", 16, len(lines)) + b"".join(packed)
    raw += struct.pack(">I", 0xFE)  # what follows is no string
    return struct.pack(">I", len(raw)) + zlib.compress(raw)


def test_novels_are_read_but_for_the_one_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    emma = ["EMMA", "", "CHAPTER I", "Emma Woodhouse, Mr.", "Elton.--“Did _you_ really?”", "Oh!"]
    stored = (
        vector(emma) + vector([corpus_books.LEFT_OUT, "Not this one."]) + vector(["Persuasion", "Sir Walter read."])
    )
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        member = tarfile.TarInfo(f"./{corpus_books.NOVELS_FILE}")
        member.size = len(stored)
        archive.addfile(member, io.BytesIO(stored))
    (tmp_path / f"{corpus_books.NOVELS.replace('=', '_')}_all.deb").touch()
    done = subprocess.CompletedProcess([], 0, packed.getvalue())
    monkeypatch.setattr(corpus_books.subprocess, "run", lambda *_, **__: done)
    assert list(corpus_books.novel_sentences(tmp_path)) == [
        "Emma Woodhouse, Mr Elton.",
        "Did you really?",
        "Oh!",
        "Sir Walter read.",
    ]


def test_without_debian_the_message_says_what_to_fetch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingModel, match="apt-get download r-cran-janeaustenr"):
        next(corpus_books.novel_sentences(tmp_path))
