"""Sentences of books, from packages as npm makes them."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import corpus_books
import pytest

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
