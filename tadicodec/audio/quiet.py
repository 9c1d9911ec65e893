"""Sound files read without a word of the library.

libmpg123 prints by itself what it thinks of a damaged mp3 on standard error, beside the one line in which this package
says it.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import soundfile

LOCK = threading.RLock()  # standard error is the process's, not a thread's
ERROR_OUTPUT = 2


class QuietFile(soundfile.SoundFile):
    """A sound file whose library keeps quiet."""

    def __init__(self, *given: Any, **named: Any) -> None:
        with silence():
            super().__init__(*given, **named)

    def read(self, *given: Any, **named: Any) -> np.ndarray:
        if self.format != "MP3":  # only that library talks
            return super().read(*given, **named)
        with silence():
            return super().read(*given, **named)


@contextmanager
def silence() -> Iterator[None]:
    """While the context is open, what C code (and, unluckily, another thread) prints on standard error goes nowhere."""
    with LOCK:
        try:
            kept = os.dup(ERROR_OUTPUT)
        except OSError:  # closed: there is nobody to disturb
            yield
            return
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, ERROR_OUTPUT)
            yield
        finally:
            os.dup2(kept, ERROR_OUTPUT)
            os.close(kept)
            os.close(nowhere)
