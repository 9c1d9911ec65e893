"""What a client is told when it does not get what it asked for, in the form that OpenAI's clients understand."""

from __future__ import annotations

from typing import Any

from starlette.responses import JSONResponse

KINDS = {401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error", 413: "invalid_request_error"}


class Refusal(Exception):
    """An answer with this status and one line of text."""

    def __init__(self, status: int, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.headers = status, message, headers

    def response(self) -> JSONResponse:
        """The answer that the client gets."""
        return JSONResponse(document(self.status, self.message), self.status, self.headers)


class ClientGone(Exception):
    """The client has hung up: nobody waits for an answer."""


def document(status: int, message: str) -> dict[str, Any]:
    """The body of an answer that refuses, as OpenAI's clients read it."""
    kind = KINDS.get(status, "invalid_request_error" if status < 500 else "server_error")
    return {"error": {"message": message, "type": kind, "param": None, "code": status}}


def busy() -> Refusal:
    """The refusal of a request where all places are taken."""
    return Refusal(429, "the server has as much work as it takes; ask again in a few seconds", {"Retry-After": "2"})


def late(seconds: float) -> Refusal:
    """The refusal of a request that has taken longer than so many seconds."""
    return Refusal(504, f"this was not done within {seconds:g} s; ask for less, or when the server has less to do")
