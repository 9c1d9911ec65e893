"""What is read whole is read up to a bound: a device or a pipe may never end, and memory does."""

from __future__ import annotations

import io
from pathlib import Path
from typing import BinaryIO

from tadicodec.errors import InputError

PART = 1 << 20
MOST_TEXT = 1 << 24  # bytes of a text that is spoken, or of a configuration


def read_bounded(stream: BinaryIO, name: str, most: int) -> bytes:
    """All bytes of a stream up to its end. name: what a message calls it.

    Raises:
        InputError: it goes on after `most` bytes.
    """
    data = io.BytesIO()
    while part := stream.read(PART):
        data.write(part)
        if data.tell() > most:
            raise InputError(f"{name} goes on after {most} bytes; give a file that ends")
    return data.getvalue()


def read_text_file(path: Path) -> str:
    """The text of a UTF-8 file without its byte-order mark, with line ends as \\n.

    Raises:
        InputError: it goes on after 16 MiB.
        OSError: it cannot be read.
        UnicodeDecodeError: it is not UTF-8.
    """
    with open(path, "rb") as file:
        text = read_bounded(file, str(path), MOST_TEXT).decode("utf-8-sig")
    return text.replace("\r\n", "\n").replace("\r", "\n")
