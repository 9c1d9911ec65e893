"""The one exception that means "the user can fix this": its message is a single line saying how."""

from __future__ import annotations

LONGEST_REASON = 300  # characters of a library's own words


class InputError(ValueError):
    """A mistake in what was given (file, option, model folder). The command line prints it and exits with 2.

    Whatever the message quotes (the name of a file, the words of a library), it is one line that a terminal can show:
    line ends and control characters are written as escapes such as \\n and \\x1b.
    """

    def __init__(self, message: str) -> None:
        super().__init__(shown(message))


class InputWarning(UserWarning):
    """What was given is used, but not all of it could be; one line, as `InputError`, which the command line prints."""

    def __init__(self, message: str) -> None:
        super().__init__(shown(message))


def shown(text: str) -> str:
    """The text with everything escaped that is no visible character: it can neither break the line nor steer a
    terminal, and two different names stay different."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))


def reason(error: BaseException) -> str:
    """What a library says went wrong, to be quoted within a message: one line, never empty, not too long.

    Of an error of the operating system it is the cause alone ("No space left on device"): the message names the file.
    """
    said = " ".join((getattr(error, "strerror", None) or str(error)).split()).rstrip(".") or type(error).__name__
    return said if len(said) <= LONGEST_REASON else said[:LONGEST_REASON] + " ..."
