"""Where the words come from: an option, a text file, or the file beside the audio."""

from __future__ import annotations

from pathlib import Path

from tadicodec.errors import InputError
from tadicodec.guards.streams import read_text_file


def one_text(option: str | None, folder: bool) -> str | None:
    """The value of --text, which can only be the text of one file. Raises InputError."""
    if option is not None and folder:
        raise InputError("--text is for one file; in a folder, put the words of NAME.wav into NAME.txt")
    return given_text(option)


def given_text(option: str | None) -> str | None:
    """The value of --text: a string, or the contents of the .txt file it names; None when the option is absent.

    Raises:
        InputError: the file is missing or not UTF-8, or the string is not valid text.
    """
    if option is None:
        return None
    if option.lower().endswith(".txt"):
        return read_text(Path(option))
    try:
        option.encode()
    except UnicodeEncodeError:
        raise InputError("the text is not valid UTF-8; check the terminal's encoding") from None
    return option


def sidecar_text(audio: Path | None) -> str | None:
    """Contents of `speech.txt` beside `speech.wav`, None when there is no such file.

    Raises:
        InputError: the file is there but not UTF-8.
    """
    if audio is None:
        return None
    path = audio.with_suffix(".txt")
    try:
        there = path.is_file()
    except OSError as error:  # such as a link into a folder that may not be read
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    return read_text(path) if there else None


def read_text(path: Path) -> str:
    """A text file as one line."""
    try:
        return " ".join(read_text_file(path).split())
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; give the text itself or an existing .txt file") from None
    except UnicodeDecodeError:
        raise InputError(f"{path} is not UTF-8 text; save it as UTF-8") from None
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
