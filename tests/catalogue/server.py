"""A web server on this machine that knows ranges, and can be told to misbehave."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Site:
    """What is served, and how. `asked` has the path and the headers of each request."""

    files: dict[str, bytes]
    url: str = ""
    etag: str = '"one"'
    knows_ranges: bool = True
    break_after: list[int] = field(default_factory=list)
    """Bytes after which the next answers break off, one for each answer."""
    statuses: list[int] = field(default_factory=list)
    """Statuses that the next requests are answered with instead."""
    redirect: dict[str, str] = field(default_factory=dict)
    claimed: int | None = None
    """A length that is claimed instead of the real one."""
    without_length: bool = False
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)


@contextmanager
def serving(site: Site) -> Iterator[Site]:
    """Serve a site on a free port of the loopback; its `url` is set."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            _answer(site, self)

        def log_message(self, *arguments: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    site.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield site
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _answer(site: Site, request: BaseHTTPRequestHandler) -> None:
    site.asked.append((request.path, dict(request.headers)))
    request.close_connection = True
    if site.statuses:
        request.send_response(site.statuses.pop(0))
        request.send_header("Content-Length", "0")
        request.end_headers()
        return
    if request.path in site.redirect:
        request.send_response(302)
        request.send_header("Location", site.redirect[request.path])
        request.send_header("Content-Length", "0")
        request.end_headers()
        return
    content = site.files[request.path]
    start = 0
    wanted = request.headers.get("Range")
    if wanted and site.knows_ranges and request.headers.get("If-Range") in (None, site.etag):
        start = int(wanted.removeprefix("bytes=").rstrip("-"))
        if start >= len(content):
            request.send_response(416)
            request.send_header("Content-Length", "0")
            request.end_headers()
            return
        request.send_response(206)
        request.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
    else:
        request.send_response(200)
    if site.etag:
        request.send_header("ETag", site.etag)
    if not site.without_length:
        request.send_header("Content-Length", str(site.claimed or len(content) - start))
    request.end_headers()
    body = content[start:]
    if site.break_after:
        body = body[: site.break_after.pop(0)]
    request.wfile.write(body)
