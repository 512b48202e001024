"""Who may ask, and what a browser may do with the answer: hosts, origins, the token, security headers."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import logging
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ocuseg.service.refusals import Refusal

__all__ = ["LOOPBACK_HOSTS", "Guard", "Patience"]

LOOPBACK_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})
"""The hosts that a service on this machine alone answers for, so that no other name can be made to lead to it."""

_log = logging.getLogger("ocuseg")
_OPEN_PATHS = ("/", "/healthz")
_OPEN_FOLDER = "/page/"
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Cache-Control": "no-store",
}
_DRAINED_BYTES = 1 << 26
_DRAINED_S = 2.0
_TOO_SLOW = 408


class Guard:
    """An application that only those reach who may, and whose answers carry security headers.

    `hosts` are the names that the request may give for the service, None for any; with a `token` all but the page and
    `/healthz` need it as a bearer token. A page of another site is refused: there is no CORS.
    """

    def __init__(self, app: ASGIApp, *, token: str | None = None, hosts: frozenset[str] | None = None) -> None:
        self._app = app
        self._token = None if token is None else token.encode()
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def hardened(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            self._require_allowed(scope["path"], Headers(scope=scope))
        except Refusal as refusal:
            await refusal.response()(scope, receive, hardened)
            return
        try:
            await self._app(scope, receive, hardened)
        except Exception:  # it was answered with 500
            _log.exception("a request failed")

    def _require_allowed(self, path: str, headers: Headers) -> None:
        host = headers.get("host", "")
        if self._hosts is not None and _name_of(f"//{host}") not in self._hosts:
            raise Refusal(403, "this service answers on this machine alone; ask for 127.0.0.1 or localhost")
        origin = headers.get("origin")
        if origin is not None and origin.lower().partition("://")[2] != host.lower():
            raise Refusal(403, "pages of other sites may not ask this service; open its own page")
        if self._token is None or path in _OPEN_PATHS or path.startswith(_OPEN_FOLDER):
            return
        kind, _, given = headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), self._token):
            raise Refusal(
                401,
                "this needs the token that 'ocuseg serve' showed or was given; send 'Authorization: Bearer TOKEN'",
                {"WWW-Authenticate": "Bearer"},
            )


class Patience:
    """An application that hears out who still sends when it has answered, for a moment.

    A connection that is closed on a sender may lose the answer, which says what was wrong.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request as the application does, once what is being sent has come, or was waited for enough."""
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD"):
            await self._app(scope, receive, send)
            return
        is_sending = True

        async def heard() -> Message:
            nonlocal is_sending
            message = await receive()
            is_sending = message["type"] == "http.request" and message.get("more_body", False)
            return message

        async def drain() -> None:
            left = _DRAINED_BYTES
            while is_sending and left > 0:
                left -= len((await heard()).get("body", b""))

        async def patient(message: Message) -> None:
            if message["type"] == "http.response.start" and is_sending:
                if message["status"] != _TOO_SLOW:
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(drain(), _DRAINED_S)
                if is_sending:
                    MutableHeaders(scope=message)["Connection"] = "close"
            await send(message)

        await self._app(scope, heard, patient)


def _name_of(address: str) -> str | None:
    try:
        return urlsplit(address).hostname
    except ValueError:
        return None
