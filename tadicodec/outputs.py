"""Writing a file or a stream whole or not at all."""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from safetensors import SafetensorError

from tadicodec.errors import InputError, reason
from tadicodec.guards import arguments

PROBE = 1 << 16  # bytes


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
        raise InputError(f"cannot write {path}: {reason(error)}") from error


def write_bytes(path: str | Path, data: bytes, overwrite: bool = False) -> None:
    """Write `data` to `path`, creating missing folders; a failure leaves neither the file nor a part of it.

    Raises:
        InputError: as `check_output`, or the disk is full.
    """
    check_output(path, overwrite)
    target = Path(os.path.realpath(path))  # through a symbolic link, not over it
    if target.exists() and not target.is_file():
        with writing(path):
            target.write_bytes(data)
        return
    with whole_file(path) as file:
        file.write(data)


@contextmanager
def whole_file(path: str | Path) -> Iterator[BinaryIO]:
    """A file to fill, which replaces `path` at the end of the block; missing folders are made, and a failure leaves
    neither the file nor a part of it.

    Raises:
        InputError: as `writing`.
    """
    target = Path(os.path.realpath(path))
    with writing(path):
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = temporary(target.parent)  # beside it, because a rename is atomic within one folder only
        try:
            with open(partial, "xb") as file:
                yield file
            os.replace(partial, target)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise


@contextmanager
def writing(path: str | Path, advice: str = "") -> Iterator[None]:
    """What fails within is a failure to write `path`: one line with its name and the cause, and what to do.

    Raises:
        InputError: no space, no permission, or whatever else the system or a library that writes has to say.
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise InputError(f"cannot write {path}: {reason(error)}{advice}") from error
    except SafetensorError as error:
        cause = cause_of_failure(Path(path).parent) or reason(error)
        raise InputError(f"cannot write {path}: {cause}{advice}") from error


def cause_of_failure(folder: Path) -> str:
    """Why nothing more can be written into a folder (some libraries do not say), found by trying; "" where it can."""
    probe = temporary(folder)
    try:
        with open(probe, "xb") as file:
            file.write(bytes(PROBE))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return reason(error)
    finally:
        with suppress(OSError):
            probe.unlink(missing_ok=True)
    return ""


@contextmanager
def only_writer(folder: str | Path, name: str = "run") -> Iterator[None]:
    """Nobody else may write this folder within the block; the end of the process, however it ends, ends it, too.

    The lock is a hidden file of the folder, which is removed again; one that a killed process left holds nobody up.

    Raises:
        InputError: another process is at it, or the folder cannot be written.
    """
    path = Path(folder) / f".{name}.lock"
    with writing(folder):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = try_lock(path)
    if lock is None:
        raise InputError(
            f"{folder}: another process is writing there now; wait for it, stop it, or choose another folder"
        )
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        lock.close()


def try_lock(path: Path) -> BinaryIO | None:
    """The open file of a lock that is now this process's, None where it is another's."""
    while True:
        file = open(path, "ab")  # noqa: SIM115 - it stays open as long as the lock is held
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file  # else its last owner removed it meanwhile: once more
        except BlockingIOError:
            file.close()
            return None
        file.close()


def write_all(stream: BinaryIO, data: bytes) -> None:
    """Write all of `data` to a stream; an unbuffered one may take it in parts."""
    rest = memoryview(data)
    while rest:
        rest = rest[stream.write(rest) :]
    stream.flush()


def temporary(folder: Path) -> Path:
    """A free name in `folder`, short enough to fit wherever the real name does."""
    return folder / f".tadicodec-{os.getpid()}-{secrets.token_hex(4)}.tmp"
