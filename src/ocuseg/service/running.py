"""A service that answers at an address until it is stopped."""

from __future__ import annotations

import contextlib
import logging
import socket

import uvicorn
from starlette.types import ASGIApp

from ocuseg.errors import UsageError

__all__ = ["address_of", "configuration", "listen", "run"]

_GRACE_S = 10


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens; port 0 takes a free one. Raises UsageError where that cannot be."""
    if not 0 <= port <= 65535:
        raise UsageError(f"{port} is no port; give one from 0 (any that is free) to 65535")
    try:
        family, _, _, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server(place[:2], family=family, backlog=128)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UsageError(f"{host}:{port}: cannot be listened at ({reason}); give another --host or --port") from error


def address_of(listening: socket.socket, host: str) -> str:
    """Return where a browser finds what listens: `host` with the port that it got."""
    name = f"[{host}]" if ":" in host else host
    return f"http://{name}:{listening.getsockname()[1]}/"


def configuration(app: ASGIApp) -> uvicorn.Config:
    """Return how `app` is served: without a log of requests, and with ten seconds to end when it is stopped."""
    return uvicorn.Config(
        app, loop="asyncio", http="h11", ws="none", lifespan="on", log_config=None, log_level=logging.WARNING,
        access_log=False, server_header=False, proxy_headers=False, timeout_keep_alive=10,
        timeout_graceful_shutdown=_GRACE_S,
    )  # fmt: skip


def run(app: ASGIApp, listening: socket.socket) -> None:
    """Serve `app` until Ctrl-C or SIGTERM."""
    # Uvicorn repeats the signal that stopped it, once all is done.
    with listening, contextlib.suppress(KeyboardInterrupt):
        uvicorn.Server(configuration(app)).run(sockets=[listening])
