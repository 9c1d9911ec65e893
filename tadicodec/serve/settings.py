"""What a server is told: where it listens, who may ask, and how much it takes."""

from __future__ import annotations

from dataclasses import dataclass

from tadicodec.errors import InputError

TOKEN_VARIABLE = "TADICODEC_API_KEY"
LOOPBACK = ("127.0.0.1", "::1", "localhost")
SHORTEST_TOKEN = 16


@dataclass(frozen=True)
class ServeConfig:
    """Limits of a server.

    requests       requests taken at once, waiting and running; more are answered 429
    batch          recordings encoded together at most
    megabytes      of one request's body; more is answered 413
    seconds        of one recording or token file; more is answered 413
    characters     of one text; more is answered 413
    timeout        seconds that a request may take, waiting included; then 504, or a stream that ends early
    token          what clients send as `Authorization: Bearer ...`; None: anyone may ask

    Raises:
        InputError: a limit that is not above zero, or a token too short to be a secret.
    """

    requests: int = 32
    batch: int = 8
    megabytes: float = 25.0
    seconds: float = 600.0
    characters: int = 4096
    timeout: float = 120.0
    token: str | None = None

    def __post_init__(self) -> None:
        for name in ("requests", "batch", "megabytes", "seconds", "characters", "timeout"):
            if not 0 < getattr(self, name) < float("inf"):
                raise InputError(f"{name} {getattr(self, name)}: give a number above 0")
        if self.token is not None and not (self.token.isascii() and len(self.token) >= SHORTEST_TOKEN):
            raise InputError(f"{TOKEN_VARIABLE} must be at least {SHORTEST_TOKEN} ASCII characters, or not be set")

    @property
    def bytes(self) -> int:
        """The most bytes that the body of a request may have."""
        return int(self.megabytes * 1e6)
