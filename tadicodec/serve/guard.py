"""What happens to every request before a route sees it: who asks, how large it is, and what is counted."""

from __future__ import annotations

import hmac
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tadicodec.serve.refusals import ClientGone, Refusal
from tadicodec.serve.service import Service

OPEN = ("/health",)  # that is asked by machines which know no secret
ABANDONED = 499  # the status under which requests are counted whose client did not wait


class Guard:
    """An ASGI application around the routes of a service: it asks who comes and how much, and counts."""

    def __init__(self, app: ASGIApp, service: Service, routes: frozenset[str]) -> None:
        self.app, self.service, self.routes = app, service, routes
        self.config, self.metrics = service.config, service.metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        route = scope["path"] if scope["path"] in self.routes else "other"
        began, status = time.monotonic(), ABANDONED

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            self.check(scope)
            await self.app(scope, self.limited(receive), noting)
        except Refusal as refusal:
            await refusal.response()(scope, receive, noting)
        except ClientGone:
            status = ABANDONED
        finally:
            self.metrics.requests.labels(route, str(status)).inc()
            self.metrics.latency.labels(route).observe(time.monotonic() - began)

    def check(self, scope: Scope) -> None:
        """Raise Refusal: 401 without the token, 413 for a body that says itself that it is too large."""
        headers = dict(scope["headers"])
        if self.config.token is not None and scope["path"] not in OPEN:
            given = headers.get(b"authorization", b"")
            if not hmac.compare_digest(given, b"Bearer " + self.config.token.encode()):
                raise Refusal(401, "this server needs its API key as a bearer token", {"WWW-Authenticate": "Bearer"})
        length = headers.get(b"content-length", b"0")
        if not length.isdigit():
            raise Refusal(400, "the length of the body is no number")
        if int(length) > self.config.bytes:
            raise self.too_large()

    def limited(self, receive: Receive) -> Receive:
        """The same messages, as long as their bodies together are not too large. Raises Refusal."""
        size = 0

        async def counting() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > self.config.bytes:
                raise self.too_large()
            return message

        return counting

    def too_large(self) -> Refusal:
        """The refusal of a request that is too large."""
        return Refusal(413, f"the request is larger than the {self.config.megabytes:g} MB that this server takes")
