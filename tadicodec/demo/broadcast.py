"""Sound that a page plays while it is made: whoever makes it puts it in, the browser fetches it from an address."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator

import numpy as np

from tadicodec.audio.outgoing import outgoing

FORM = "mp3"  # every browser plays it while it comes
KEPT = 16  # broadcasts that can still be fetched
PATIENCE = 60.0  # seconds without a new piece, then a broadcast has ended


class Broadcast:
    """One stream of samples. Browsers fetch it more than once, so every listener hears it from the beginning."""

    def __init__(self, sample_rate: int) -> None:
        self.encoder = outgoing(FORM, sample_rate)
        self.parts: list[bytes] = []
        self.finished = False
        self.changed = threading.Condition()

    def add(self, wave: np.ndarray) -> None:
        """Samples [n]."""
        self.put(self.encoder.add(wave), last=False)

    def finish(self) -> None:
        """Nothing more comes."""
        self.put(self.encoder.finish(), last=True)

    def put(self, part: bytes, last: bool) -> None:
        """Bytes for all listeners; `last`: nothing follows."""
        with self.changed:
            self.parts.append(part)
            self.finished = last
            self.changed.notify_all()

    def listen(self) -> Iterator[bytes]:
        """Bytes from the beginning until it is finished."""
        place = 0
        while True:
            with self.changed:
                while place == len(self.parts) and not self.finished:
                    if not self.changed.wait(PATIENCE):
                        return
                parts = self.parts[place:]
            if not parts:
                return
            place += len(parts)
            yield b"".join(parts)


class Station:
    """Broadcasts by names that nobody can guess; the oldest are forgotten."""

    def __init__(self) -> None:
        self.broadcasts: dict[str, Broadcast] = {}
        self.lock = threading.Lock()

    def open(self, sample_rate: int) -> tuple[str, Broadcast]:
        """A new broadcast and its name."""
        name, broadcast = secrets.token_urlsafe(16), Broadcast(sample_rate)
        with self.lock:
            self.broadcasts[name] = broadcast
            while len(self.broadcasts) > KEPT:
                del self.broadcasts[next(iter(self.broadcasts))]
        return name, broadcast

    def find(self, name: str) -> Broadcast | None:
        """The broadcast of this name, if it is not forgotten."""
        with self.lock:
            return self.broadcasts.get(name)
