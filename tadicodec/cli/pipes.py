"""Standard input and output as binary streams."""

from __future__ import annotations

import sys
from typing import BinaryIO

from tadicodec.errors import InputError


def binary_input() -> BinaryIO:
    """Standard input as a binary stream. Raises InputError when it is closed, or a person would have to type the
    bytes."""
    if sys.stdin is None:
        raise InputError("- reads standard input, which is closed here; pipe a file in")
    if sys.stdin.isatty():
        raise InputError("- reads standard input, which is a terminal here; pipe a file in")
    return sys.stdin.buffer


def binary_output() -> BinaryIO:
    """Standard output as a binary stream. Raises InputError when it is closed, or the bytes would go to a terminal."""
    if sys.stdout is None:
        raise InputError("- writes bytes to standard output, which is closed here; redirect it to a file")
    if sys.stdout.isatty():
        raise InputError("- writes bytes to standard output, which is a terminal here; redirect it to a file")
    return sys.stdout.buffer
