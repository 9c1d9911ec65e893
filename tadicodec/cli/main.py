"""`tadicodec COMMAND ...`: the table of commands, and the one place where mistakes become exit codes."""

from __future__ import annotations

import argparse
import errno
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

from tadicodec import __version__
from tadicodec.cli import (
    decode,
    demo,
    encode,
    evaluate,
    export,
    info,
    prepare,
    prompt,
    quantize,
    reconstruct,
    serve,
    speak,
    tokenize,
    train,
)
from tadicodec.cli.closing import notice, report, say, warn
from tadicodec.errors import InputError, InputWarning, reason
from tadicodec.guards.extras import EXTRAS, missing

COMMANDS = {
    "encode": (encode, "speech to token files (.tdc)"),
    "decode": (decode, "token files back to speech"),
    "prompt": (prompt, "a speaker prompt as a file, so that a receiver needs the voice only once"),
    "reconstruct": (reconstruct, "speech to tokens and back, to hear what is lost"),
    "speak": (speak, "text to speech in a prompt's voice"),
    "demo": (demo, "a page in the browser: record, reconstruct and speak"),
    "serve": (serve, "an HTTP server: speech, transcriptions, token files"),
    "evaluate": (evaluate, "word errors, similarity, naturalness and bits, beside recordings and other codecs"),
    "info": (info, "what a model, a token file or an audio file is"),
    "prepare": (prepare, "features of a manifest's audio, computed once before training"),
    "tokenize": (tokenize, "a corpus to shards of tokens, for training language models on"),
    "train": (train, "train what a recipe describes"),
    "quantize": (quantize, "a model's weights in 8 or fewer bits each"),
    "export": (export, "a model's networks as ONNX files, for other runtimes"),
}
SHOW = warnings.showwarning
INTERRUPTED, BROKEN_PIPE, USER_ERROR = 130, 141, 2  # the first two as shells report SIGINT and SIGPIPE
STOPPED = "stopped; every file that was written is whole, and nothing half-written is left"
GOES_ON = "stopped; what is finished is kept, and the same command goes on with the rest"
KEPT = {"tokenize": GOES_ON, "prepare": GOES_ON, "evaluate": GOES_ON, "train": GOES_ON}


class Parser(argparse.ArgumentParser):
    """A parser that reports mistakes like everything else here: in one line."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """A recipe's section.key=value may also stand behind options, where argparse itself does not look for them."""
        found, rest = super().parse_known_args(args, namespace)
        overrides = getattr(found, "overrides", None)
        if overrides is not None and all("=" in word and not word.startswith("-") for word in rest):
            overrides.extend(rest)
            rest = []
        return found, rest

    def error(self, message: str) -> NoReturn:
        """Raise InputError with the message of argparse."""
        raise InputError(f"{message}; see `{self.prog} --help`")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0, 2 for a mistake of the user, 130 for Ctrl-C or SIGTERM."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        if hasattr(sys.stdout, "reconfigure"):
            sys.stdout.reconfigure(errors="backslashreplace")  # a transcript may not fit the terminal's encoding
        with terminable(), warnings.catch_warnings():
            warnings.showwarning = show_warning
            warnings.simplefilter("default", InputWarning)
            code = run(given)
        if sys.stdout is not None:  # closed (`>&-`): nothing to print to, and print() knows
            sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        notice(KEPT.get(next(iter(given), ""), STOPPED))
        return INTERRUPTED
    except BrokenPipeError:
        discard_output()
        return BROKEN_PIPE
    except InputError as error:
        report(str(error))
    except ModuleNotFoundError as error:
        package = (error.name or "").split(".")[0]
        if package not in EXTRAS:
            raise
        report(missing(package))
    except OSError as error:
        report(f"{error.filename}: {reason(error)}" if error.filename else f"cannot go on: {reason(error)}")
        if error.errno == errno.ENOSPC:
            discard_output()
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        report("out of memory; try a smaller --batch-size or shorter recordings")
    return USER_ERROR


@contextmanager
def terminable() -> Iterator[None]:
    """While the context is open, SIGTERM ends the command as Ctrl-C does: files half-written are removed on the way
    out."""
    ours = threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    if ours:
        signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        if ours:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


def interrupt(*_: object) -> NoReturn:
    """Raise KeyboardInterrupt, as Ctrl-C does."""
    raise KeyboardInterrupt


def discard_output() -> None:
    """Send standard output nowhere, because Python complains once more when it flushes it at exit."""
    with suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def run(arguments: Sequence[str]) -> int:
    """Parse the arguments and run their command; returns its exit code. Raises InputError."""
    parser = build_parser()
    try:
        parsed = parser.parse_args(arguments)
    except SystemExit:  # --help has been printed
        return 0
    if parsed.version:
        say(f"tadicodec {__version__}")
        return 0
    if parsed.command is None:
        parser.error(f"a command is missing (one of {', '.join(COMMANDS)})")
    return COMMANDS[parsed.command][0].run(parsed)


def show_warning(message: Warning | str, category: type[Warning], *place: Any, **options: Any) -> None:
    """Print our own warnings as a line like those of mistakes, and those of other libraries as Python does."""
    if issubclass(category, InputWarning):
        warn(str(message))
    else:
        SHOW(message, category, *place, **options)


def build_parser() -> Parser:
    """The parser of all commands and options."""
    parser = Parser(prog="tadicodec", description="Speech at 6.25 tokens a second, and back.")
    parser.add_argument("--version", action="store_true", help="print the version and stop")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    for name, (module, summary) in COMMANDS.items():
        command = commands.add_parser(name, help=summary, description=module.__doc__)
        module.add_arguments(command)
    return parser


def out_of_memory(error: BaseException) -> bool:
    """Whether an error is a lack of memory, torch's kinds included, without importing torch."""
    return isinstance(error, MemoryError) or any(
        sign in str(error) for sign in ("out of memory", "can't allocate memory", "not enough memory")
    )
