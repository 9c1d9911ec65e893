"""Writing a file or a stream whole or not at all."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import BinaryIO

from tadicodec import arguments
from tadicodec.errors import InputError


def check_output(path: str | Path, overwrite: bool = False) -> None:
    """Make sure that `path` can be written, without leaving anything behind.

    Raises:
        InputError: it is a folder, it exists and `overwrite` is off, or its folder cannot be written.
    """
    path = arguments.path("an output", path)
    if path.is_dir():
        raise InputError(f"{path} is a folder; give the name of a file to write")
    if path.exists() and not path.is_file():
        return  # a device or a named pipe: nothing to replace
    if path.exists() and not overwrite:
        raise InputError(f"{path} exists; pass --overwrite (overwrite=True) to replace it")
    folder = Path(os.path.realpath(path)).parent
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir():
        raise InputError(f"cannot write {path}: {folder} is not a folder")
    probe = temporary(folder)  # permission bits do not tell: root, read-only mounts and quotas differ
    try:
        probe.touch(exist_ok=False)
        probe.unlink()
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from error


def write_bytes(path: str | Path, data: bytes, overwrite: bool = False) -> None:
    """Write `data` to `path`, creating missing folders; a failure leaves neither the file nor a part of it.

    Raises:
        InputError: as `check_output`, or the disk is full.
    """
    check_output(path, overwrite)
    target = Path(os.path.realpath(path))  # through a symbolic link, not over it
    try:
        if target.exists() and not target.is_file():
            target.write_bytes(data)
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        replace(target, data)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from error


def send(stream: BinaryIO, data: bytes) -> None:
    """Write all of `data` to a stream; an unbuffered one may take it in parts."""
    rest = memoryview(data)
    while rest:
        rest = rest[stream.write(rest) :]
    stream.flush()


def replace(target: Path, data: bytes) -> None:
    """Write beside `target`, then rename: the rename is atomic because both are in one folder."""
    partial = temporary(target.parent)
    try:
        with open(partial, "xb") as file:
            file.write(data)
        os.replace(partial, target)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def temporary(folder: Path) -> Path:
    """A free name in `folder`: short, so that it fits wherever the real name does."""
    return folder / f".tadicodec-{os.getpid()}-{secrets.token_hex(4)}.tmp"
