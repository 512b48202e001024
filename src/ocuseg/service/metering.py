"""What Prometheus is told: how many requests ended how, how long images take, how much waits."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["CONTENT_TYPE", "Meter", "Metered"]

CONTENT_TYPE: str = CONTENT_TYPE_LATEST

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)


class Meter:
    """The numbers of one service, in a registry of its own; none of them names a file or a client."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "ocuseg_requests", "Answers, by route and status.", ["route", "status"], registry=self.registry
        )
        self.image_seconds = Histogram(
            "ocuseg_image_seconds", "Time to decode and predict an image.", ["model"],
            buckets=_SECONDS, registry=self.registry,
        )  # fmt: skip

    def watch(self, name: str, meaning: str, read: Callable[[], float]) -> None:
        """Show a number that `read` gives whenever it is asked for."""
        Gauge(name, meaning, registry=self.registry).set_function(read)

    def text(self) -> bytes:
        """Return all numbers in Prometheus' text format."""
        content: bytes = generate_latest(self.registry)
        return content


class Metered:
    """An application whose answers a meter counts."""

    def __init__(self, app: ASGIApp, meter: Meter) -> None:
        self._app, self._meter = app, meter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request as the application does, and count it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                route = getattr(scope.get("route"), "path", "other")
                self._meter.requests.labels(route, str(message["status"])).inc()
            await send(message)

        await self._app(scope, receive, counted)
