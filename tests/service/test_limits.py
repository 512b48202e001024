"""How much the service takes on: slow, cut off and large uploads, full queues, long work."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import select
import socket
import threading
import time
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from starlette.requests import Request

from ocuseg.errors import UsageError
from ocuseg.service.limits import Limits
from ocuseg.service.uploads import Intake
from servers import running
from service.asking import require_refusal, saved


def _raw(address: str, head: str, *parts: bytes, pause_s: float = 0.0, end: bool = False) -> bytes:
    """Send bytes as they are, with pauses, and return the answer."""
    place = urlsplit(address)
    with socket.create_connection((place.hostname, place.port), timeout=120) as line:
        start = f"POST /v1/predict HTTP/1.1\r\nHost: {place.netloc}\r\nConnection: close\r\n"
        line.sendall(f"{start}{head}\r\n\r\n".encode())
        for part in parts:
            time.sleep(pause_s)
            line.sendall(part)
        if end:
            line.shutdown(socket.SHUT_WR)
        answer = b""
        while part := line.recv(65536):
            answer += part
        return answer


def test_a_slow_upload_is_given_up(address: str, client: httpx.Client, png: bytes) -> None:
    start_s = time.monotonic()
    answer = _raw(address, f"Content-Length: {len(png)}", png[:10], png[10:20], pause_s=0.1)
    assert b"408" in answer.splitlines()[0]
    assert 1.5 < time.monotonic() - start_s < 30
    assert client.get("/metrics").text.count("ocuseg_held_bytes 0.0") == 1


def test_an_upload_that_is_cut_off_does_no_harm(
    address: str, client: httpx.Client, png: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(5):
        _raw(address, f"Content-Length: {len(png)}", png[:50], end=True)
    assert client.post("/v1/predict", content=png).status_code == 200
    assert "ocuseg_held_bytes 0.0" in client.get("/metrics").text
    assert caplog.text == ""


def test_who_sends_too_much_still_gets_the_answer(address: str) -> None:
    # The answer comes while the client sends; a connection closed on it could lose the answer.
    answer = _raw(address, "Content-Length: 20000000", *[bytes(1_000_000)] * 20)
    assert b" 413 " in answer.splitlines()[0]
    assert b"send a smaller file" in answer


@pytest.fixture
def slow_network(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Networks that wait for an event at each turn."""
    from ocuseg.service import seeing

    go_on = threading.Event()
    limited = seeing._limited

    def slowed(*arguments: Any) -> Any:
        predictor = limited(*arguments)
        network = predictor.network

        def wait(images: Any) -> Any:
            go_on.wait(60)
            return network(images)

        predictor.network = wait
        return predictor

    monkeypatch.setattr(seeing, "_limited", slowed)
    yield go_on
    go_on.set()


def test_a_full_queue_answers_503_and_when_to_come_back(
    slow_network: threading.Event, bundles: list[Path], png: bytes
) -> None:
    with (
        running(bundles[:1], limits=Limits(workers=1, waiting=2)) as address,
        httpx.Client(base_url=address, timeout=120) as client,
        ThreadPoolExecutor(3) as others,
    ):
        waiting = [others.submit(client.post, "/v1/predict", content=png) for _ in range(3)]
        while "ocuseg_requests_in_work 3.0" not in client.get("/metrics").text:
            time.sleep(0.01)
        refused = client.post("/v1/predict", content=png)
        require_refusal(refused, 503, "3 requests are computed or wait already; ask again")
        assert 1 <= int(refused.headers["retry-after"]) <= 60
        require_refusal(client.post("/v1/predict/batch", files={"images": png}), 503)
        assert client.get("/healthz").status_code == 200  # while all that computes is busy
        slow_network.set()
        assert [one.result().status_code for one in waiting] == [200] * 3
        assert client.post("/v1/predict", content=png).status_code == 200


@pytest.mark.parametrize("kind", ["image/png", "multipart/form-data; boundary=x"])
def test_an_upload_is_held_once(kind: str) -> None:
    head = b'--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n' if "form" in kind else b""
    parts = [head, *[b"\x01" * 100_000] * 100, b"\r\n--x--\r\n" if head else b""]
    sent: Iterator[bytes] = iter(parts)

    async def receive() -> dict[str, Any]:
        part = next(sent, None)
        return {"type": "http.request", "body": part or b"", "more_body": part is not None}

    async def held_bytes() -> int:
        before = tracemalloc.get_traced_memory()[0]
        request = Request({"type": "http", "headers": [(b"content-type", kind.encode())]}, receive)
        async with Intake(Limits()).images(request) as [upload]:
            assert len(upload.content) == 10_000_000
            return tracemalloc.get_traced_memory()[0] - before

    tracemalloc.start()
    try:
        # A thread of its own: Playwright keeps an event loop running in that of the tests.
        with ThreadPoolExecutor(1) as pool:
            assert 10_000_000 <= pool.submit(lambda: asyncio.run(held_bytes())).result() < 15_000_000
    finally:
        tracemalloc.stop()


def test_the_uploads_that_are_held_are_bounded(bundles: list[Path]) -> None:
    limits = Limits(image_bytes=1000, upload_s=60)
    with (
        running(bundles[:1], limits=limits) as address,
        httpx.Client(base_url=address, timeout=120) as client,
        contextlib.ExitStack() as lines,
    ):
        place = urlsplit(address)
        senders = []
        for _ in range(limits.held_bytes // 900 + 1):
            line = lines.enter_context(socket.create_connection((place.hostname, place.port)))
            line.sendall(f"POST /v1/predict HTTP/1.1\r\nHost: {place.netloc}\r\nContent-Length: 950\r\n\r\n".encode())
            line.sendall(bytes(900))
            senders.append(line)
        # Whichever is read last is answered, while the others still send.
        answered, _, _ = select.select(senders, [], [], 50)
        assert [line.recv(12) for line in answered] == [b"HTTP/1.1 503"]
        held = re.search(r"^ocuseg_held_bytes (.+)", client.get("/metrics").text, re.M)
        assert float(held[1]) == limits.held_bytes // 900 * 900  # type: ignore[index]


def test_what_takes_too_long_is_given_up(bundles: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    turns = []
    from ocuseg.runtime import engines

    compute = engines._OnnxRuntime.__call__

    def slow(self: Any, images: Any) -> Any:
        turns.append(1)
        time.sleep(0.15)
        return compute(self, images)

    monkeypatch.setattr(engines._OnnxRuntime, "__call__", slow)
    many_tiles = saved("PNG", (600, 600))
    with running(bundles[:1], limits=Limits(compute_s=0.3)) as address:
        answer = httpx.post(f"{address}v1/predict", content=many_tiles, timeout=120)
        require_refusal(answer, 503, "more than 0.3 s; scale the image down")
        assert len(turns) < 10  # of 36
        rows = httpx.post(f"{address}v1/predict/batch", files={"images": many_tiles}, timeout=120).json()["images"]
        assert rows[0]["status"] == 503


def test_limits_that_are_none_are_refused() -> None:
    for words in ({"workers": 0}, {"waiting": -1}, {"image_px": 0}, {"upload_s": 0.0}, {"compute_s": float("nan")}):
        with pytest.raises(UsageError, match=f"{next(iter(words))}: .* is too little"):
            Limits(**words)
    assert json.dumps(Limits(waiting=0).waiting) == "0"
