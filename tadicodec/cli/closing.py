"""What a command says at its end: one line for people or one JSON object for machines; and how it reports mistakes."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TextIO

from tadicodec.config import CODE_BITS
from tadicodec.errors import shown

PATIENCE = 2.0  # seconds


@dataclass(frozen=True)
class Receipt:
    """What is known of one utterance that is done; `bytes` is the size of its whole token file, with text, header and
    prompt. `code_bits` is what the codes take of it where they are squeezed; None: 14 bits each."""

    seconds: float
    tokens: int
    bytes: int
    code_bits: float | None = None


@dataclass
class Tally:
    """Counts what a command has done and the time it took, from the moment the tally is made; so make it after the
    model is loaded."""

    verb: str
    receipts: list[Receipt] = field(default_factory=list)
    failed: int = 0
    started: float = field(default_factory=time.perf_counter)

    def document(self) -> dict[str, str | int | float]:
        """The figures of the call by name. Rates are per second of audio; the real-time factor is time spent per time
        of audio."""
        seconds = sum(receipt.seconds for receipt in self.receipts)
        tokens = sum(receipt.tokens for receipt in self.receipts)
        size = sum(receipt.bytes for receipt in self.receipts)
        code_bits = sum(CODE_BITS * r.tokens if r.code_bits is None else r.code_bits for r in self.receipts)
        per_second = 1 / seconds if seconds else 0.0
        return {
            "action": self.verb,
            "files": len(self.receipts),
            "failed": self.failed,
            "seconds": round(seconds, 4),
            "tokens": tokens,
            "code_bits_per_second": round(code_bits * per_second, 3),
            "total_bits_per_second": round(8 * size * per_second, 3),
            "real_time_factor": round((time.perf_counter() - self.started) * per_second, 4),
        }

    def line(self) -> str:
        """The summary for people: seconds of audio, tokens, rates and real-time factor in one line."""
        figures = self.document()
        files = "1 file" if figures["files"] == 1 else f"{figures['files']} files"
        failed = f", {self.failed} FAILED" if self.failed else ""
        return (
            f"{self.verb} {files}{failed}: {figures['seconds']:.2f} s of audio, {figures['tokens']} tokens, "
            f"{figures['code_bits_per_second']:.1f} bit/s of codes, {figures['total_bits_per_second']:.1f} bit/s "
            f"in total (with text and header), real-time factor {figures['real_time_factor']:.3f}"
        )

    def close(self, as_json: bool, piped: bool) -> int:
        """Print the summary, on stderr when stdout carries the result, and return the exit code."""
        stream = sys.stderr if piped else sys.stdout
        if stream is not None:  # else it is closed, and print() would take the other one for it
            say(json.dumps(self.document()) if as_json else self.line(), stream)
        return 2 if self.failed else 0


def say(text: str, stream: TextIO | None = None) -> None:
    """Print lines. What a terminal would act on, as the names of files may hold, is escaped."""
    print("\n".join(map(shown, text.split("\n"))), file=stream)


def report(message: str) -> None:
    """One line on stderr that says what is wrong, whatever the message holds."""
    notice(f"error: {message}")


def warn(message: str) -> None:
    """One line on stderr about something that could be used, but not all of it."""
    notice(f"warning: {message}")


def notice(message: str) -> None:
    """One line on stderr, for people; none where it is closed: standard output may carry a wave."""
    if sys.stderr is None:
        return
    from tqdm import tqdm  # its write() keeps clear of a progress bar, if one is showing

    tqdm.write(f"tadicodec: {shown(message)}", file=sys.stderr)


def on_terminal() -> bool:
    """Whether somebody sees standard error, so that progress is worth showing; it may be closed (`2>&-`)."""
    return sys.stderr is not None and sys.stderr.isatty()


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """On a terminal, a line that says what takes so long, once it has taken more than two seconds."""
    if not on_terminal():
        yield
        return
    timer = threading.Timer(PATIENCE, print, (f"tadicodec: {what} ...",), {"file": sys.stderr})
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
