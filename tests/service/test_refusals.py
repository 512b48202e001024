"""What the service refuses, with which status, and that it says why in one line."""

from __future__ import annotations

import asyncio
import builtins
import contextlib
import json
import logging
import os
import re
import socket
import tempfile
import threading
import time
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest
from PIL import Image
from starlette.requests import Request

from ocuseg.errors import UsageError
from ocuseg.machine import is_installed
from ocuseg.service.limits import Limits
from ocuseg.service.uploads import Intake
from servers import running


def _saved(form: str, size: tuple[int, int] = (30, 20), **options: Any) -> bytes:
    file = BytesIO()
    Image.new("RGB", size, (90, 120, 30)).save(file, form, **options)
    return file.getvalue()


def _require(answer: httpx.Response, status: int, *words: str) -> None:
    assert answer.status_code == status, answer.text
    assert list(answer.json()) == ["error"]
    message = answer.json()["error"]
    assert "\n" not in message
    assert all(word in message for word in words), message
    assert "; " in message  # what, and the remedy


CASES = [
    pytest.param({"content": b""}, 422, ("empty",), id="empty"),
    pytest.param({"content": b"GIF87no"}, 422, ("damaged GIF",), id="no header"),
    pytest.param({"content": b"%PDF-1.4"}, 415, ("is not an image; give PNG",), id="PDF"),
    pytest.param({"content": _saved("JPEG", (200, 200), quality=95)[:-300]}, 422, ("truncated",), id="cut JPEG"),
    pytest.param({"content": _saved("PNG")[:-9]}, 422, ("truncated or damaged PNG",), id="cut PNG"),
    pytest.param({"content": _saved("TIFF")[:200]}, 422, ("it is cut off",), id="cut TIFF"),
    pytest.param({"content": _saved("PNG", (201, 200))}, 413, ("201 x 200", "0.04 million"), id="too many pixels"),
    pytest.param({"content": _saved("TIFF", (201, 200), compression="tiff_lzw")}, 413, ("201 x",), id="pixels, TIFF"),
    pytest.param({"content": bytes(200_001)}, 413, ("0.2 million bytes; send a smaller",), id="too many bytes"),
    pytest.param({"content": iter([bytes(100_000)] * 3)}, 413, ("0.2 million bytes",), id="bytes, chunked"),
    pytest.param({"files": {"image": bytes(200_001)}}, 413, ("0.2 million bytes",), id="bytes, in a form"),
    pytest.param({"json": {"image": "eye.jpg"}}, 415, ("'application/json' is no image",), id="JSON"),
    pytest.param({"data": {"image": "eye.jpg"}}, 415, ("x-www-form-urlencoded",), id="form without files"),
    pytest.param({"files": {"picture": b"x"}}, 400, ("part 'picture'; name each image 'image'",), id="other part"),
    pytest.param({"files": [("image", b"x"), ("image", b"y")]}, 413, ("/v1/predict/batch",), id="two images"),
    pytest.param(
        {"content": b"--x\r\nnonsense", "headers": {"Content-Type": "multipart/form-data; boundary=x"}},
        400, ("form",), id="broken form",
    ),
    pytest.param(
        {"content": b'--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\nabc',
         "headers": {"Content-Type": "multipart/form-data; boundary=x"}},
        400, ("ends too early",), id="cut form",
    ),
    pytest.param(
        {"content": b"", "headers": {"Content-Type": "multipart/form-data"}}, 400, ("boundary",), id="no boundary"
    ),
    pytest.param({"params": {"model": "nobody"}, "content": b"x"}, 404, ("'nobody'", "dark-lines"), id="no such model"),
    pytest.param({"params": {"threshold": "1.5"}, "content": b"x"}, 422, ("threshold: ",), id="threshold"),
    pytest.param({"params": {"threshold": "nan"}, "content": b"x"}, 422, ("threshold: ",), id="threshold, NaN"),
    pytest.param({"params": {"format": "gif"}, "content": b"x"}, 422, ("format: ",), id="format"),
    pytest.param(
        {"params": {"model": "bright-parts", "threshold": "0.5"}, "content": b"x"}, 422, ("3 classes",), id="no use"
    ),
]  # fmt: skip


@pytest.mark.parametrize(("sent", "status", "words"), CASES)
def test_a_wrong_upload_is_told_why(
    sent: dict[str, Any], status: int, words: tuple[str, ...], client: httpx.Client
) -> None:
    _require(client.post("/v1/predict", **sent), status, *words)
    assert client.get("/healthz").status_code == 200


def test_a_batch_of_too_many_or_of_none_is_refused(client: httpx.Client, png: bytes) -> None:
    many = [("images", ("a.png", png))] * 4
    _require(client.post("/v1/predict/batch", files=many), 413, "more than 3 images")
    nothing = {"content": b"--x--\r\n", "headers": {"Content-Type": "multipart/form-data; boundary=x"}}
    _require(client.post("/v1/predict/batch", **nothing), 400, "no image; name its part 'images'")


def test_what_is_not_there_or_not_allowed_is_json_too(client: httpx.Client) -> None:
    _require(client.get("/nowhere"), 404, "not found")
    _require(client.put("/v1/predict"), 405, "method not allowed")


def _raw(address: str, head: str, *parts: bytes, pause_s: float = 0.0, end: bool = False) -> bytes:
    """Send bytes as they are, with pauses, and return the answer."""
    place = urlsplit(address)
    with socket.create_connection((place.hostname, place.port), timeout=10) as line:
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
    assert 0.5 < time.monotonic() - start_s < 5
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
            go_on.wait(10)
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
        httpx.Client(base_url=address, timeout=20) as client,
        ThreadPoolExecutor(3) as others,
    ):
        waiting = [others.submit(client.post, "/v1/predict", content=png) for _ in range(3)]
        while "ocuseg_requests_in_work 3.0" not in client.get("/metrics").text:
            time.sleep(0.01)
        refused = client.post("/v1/predict", content=png)
        _require(refused, 503, "3 requests are computed or wait already; ask again")
        assert 1 <= int(refused.headers["retry-after"]) <= 60
        _require(client.post("/v1/predict/batch", files={"images": png}), 503)
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
        assert 10_000_000 <= asyncio.run(held_bytes()) < 15_000_000
    finally:
        tracemalloc.stop()


def test_the_uploads_that_are_held_are_bounded(bundles: list[Path]) -> None:
    limits = Limits(image_bytes=1000, upload_s=5)
    with (
        running(bundles[:1], limits=limits) as address,
        httpx.Client(base_url=address, timeout=20) as client,
        contextlib.ExitStack() as lines,
    ):
        place = urlsplit(address)
        for _ in range(limits.held_bytes // 900 + 1):
            line = lines.enter_context(socket.create_connection((place.hostname, place.port)))
            line.sendall(f"POST /v1/predict HTTP/1.1\r\nHost: {place.netloc}\r\nContent-Length: 950\r\n\r\n".encode())
            line.sendall(bytes(900))
        # The last one is answered while the others still send.
        line.settimeout(4)
        assert b" 503 " in line.recv(100)
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
    many_tiles = _saved("PNG", (600, 600))
    with running(bundles[:1], limits=Limits(compute_s=0.3)) as address:
        answer = httpx.post(f"{address}v1/predict", content=many_tiles, timeout=20)
        _require(answer, 503, "more than 0.3 s; scale the image down")
        assert len(turns) < 10  # of 36
        rows = httpx.post(f"{address}v1/predict/batch", files={"images": many_tiles}, timeout=20).json()["images"]
        assert rows[0]["status"] == 503


def test_other_hosts_and_other_sites_are_refused(client: httpx.Client, address: str, png: bytes) -> None:
    for path in ("/", "/healthz", "/v1/model"):
        _require(client.get(path, headers={"Host": "evil.example:80"}), 403, "this machine alone")
    assert client.get("/healthz", headers={"Host": "localhost:1"}).status_code == 200
    assert client.get("/healthz", headers={"Host": "[::1]:1"}).status_code == 200
    _require(client.get("/healthz", headers={"Host": "[::1"}), 403)
    foreign = client.post("/v1/predict", content=png, headers={"Origin": "https://evil.example"})
    _require(foreign, 403, "other sites")
    for odd in ("null", "http://[", f"http://{urlsplit(address).netloc}.evil.example"):
        _require(client.post("/v1/predict", content=png, headers={"Origin": odd}), 403, "other sites")
    own = client.post("/v1/predict", content=png, headers={"Origin": address.rstrip("/")})
    assert own.status_code == 200
    assert not [name for name in own.headers if name.startswith("access-control")]


def test_the_headers_let_a_page_do_no_more_than_it_must(client: httpx.Client, png: bytes) -> None:
    answers = [client.get("/"), client.get("/page/page.js"), client.get("/v1/model"), client.get("/nowhere")]
    answers.append(client.post("/v1/predict", content=png))
    for answer in answers:
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'")
        assert "unsafe" not in policy
        assert "http" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
    assert answers[1].headers["content-type"].startswith("text/javascript")
    assert answers[-1].headers["cache-control"] == "no-store"
    page = answers[0].text
    assert "<script>" not in page
    assert " style=" not in page
    assert "onclick" not in page
    assert "//" not in page.replace("<!doctype", "")


def test_a_token_is_asked_for(bundles: list[Path], png: bytes) -> None:
    with (
        running(bundles[:1], token="a-token-that-is-long", hosts=None) as address,
        httpx.Client(base_url=address, timeout=20) as client,
    ):
        for path in ("/", "/page/page.js", "/healthz"):
            assert client.get(path).status_code == 200
        for path in ("/v1/model", "/metrics", "/openapi.json", "/nowhere", "/page"):
            answer = client.get(path)
            _require(answer, 401, "token")
            assert answer.headers["www-authenticate"] == "Bearer"
        for wrong in ("Bearer", "Bearer a-token-that-is-lonG", "Basic a-token-that-is-long", "Bearer é"):
            _require(client.post("/v1/predict", content=png, headers={"Authorization": wrong.encode()}), 401)
        right = {"Authorization": "Bearer a-token-that-is-long"}
        assert client.post("/v1/predict", content=png, headers=right).status_code == 200
        assert client.get("/healthz", headers={"Host": "my.hospital.example"}).status_code == 200
        description = client.get("/openapi.json", headers=right).json()
        assert description["components"]["securitySchemes"]["token"]["scheme"] == "bearer"


def _medical(pixels: np.ndarray) -> list[bytes]:
    """DICOM files with a person in them: good, cut off, with a name for a spacing; none without the extra."""
    if not is_installed("pydicom"):
        return []
    from formats.dicom_files import photograph

    file = BytesIO()
    photograph(pixels, PixelSpacing=[0.5, 0.5]).save_as(file, enforce_file_format=True)
    good = file.getvalue()
    spoilt = good.replace(b"0.5\\0.5 ", b"Smi\\John")
    assert spoilt != good
    return [good, good[:-100], spoilt]


def _people() -> list[str]:
    if not is_installed("pydicom"):
        return []
    from formats.dicom_files import PERSON

    return [*PERSON.values(), "Smi\\John"]


def test_nothing_of_an_image_is_written_or_logged(
    bundles: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    opened: list[str] = []
    real_open, real_os_open = builtins.open, os.open

    def watch(file: Any, mode: str = "r", *arguments: Any, **words: Any) -> Any:
        if set(mode) & set("wax+"):
            opened.append(str(file))
        return real_open(file, mode, *arguments, **words)

    def watch_os(path: Any, flags: int, *arguments: Any, **words: Any) -> int:
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            opened.append(str(path))
        return real_os_open(path, flags, *arguments, **words)

    caplog.set_level(logging.DEBUG)
    noise = np.random.default_rng(0).integers(0, 256, (900, 1000, 3), np.uint8)
    large = BytesIO()
    Image.fromarray(noise).save(large, "PNG")  # 2.7 MB: Starlette's own form would go to disk
    with running(bundles[:1]) as address, httpx.Client(base_url=address, timeout=60) as client:
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        monkeypatch.setattr(builtins, "open", watch)
        monkeypatch.setattr("io.open", watch)
        monkeypatch.setattr(os, "open", watch_os)
        name = "Smith_John_19500101.png"
        for files in ([("image", (name, large.getvalue()))], [("image", (name, b"broken"))]):
            client.post("/v1/predict", files=files)
        answer = client.post("/v1/predict/batch", files=[("images", (name, large.getvalue()))])
        whole = {"with": ["masks", "mask_png", "probabilities", "preview"]}
        for content in _medical(noise[:60, :80]):
            said = client.post("/v1/predict", content=content, params=whole)
            assert not [word for word in _people() if word in said.text]
        assert client.post("/v1/predict", content=large.getvalue(), params=whole).status_code == 200
        monkeypatch.undo()
    assert answer.json()["images"][0]["name"] == name
    assert opened == []
    assert list(tmp_path.iterdir()) == []
    captured = capfd.readouterr()
    assert not [word for word in _people() if word in captured.out + captured.err + caplog.text]
    ours = [record for record in caplog.records if not record.name.startswith(("httpx", "httpcore", "asyncio"))]
    assert not [record for record in ours if "Smith" in record.getMessage()]
    assert not [record for record in ours if record.levelno >= logging.WARNING]


def test_a_fault_of_our_own_is_said_as_json_and_the_service_goes_on(
    bundles: list[Path], png: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise RuntimeError("a fault")

    with running(bundles[:1]) as address, httpx.Client(base_url=address, timeout=20) as client:
        with monkeypatch.context() as patch:
            patch.setattr("ocuseg.service.application.see", fail)
            answer = client.post("/v1/predict", content=png)
            assert (answer.status_code, list(answer.json())) == (500, ["error"])
            assert "a fault" not in answer.text
            patch.setattr("ocuseg.service.application.see", lambda *_, **__: (_ for _ in ()).throw(MemoryError))
            _require(client.post("/v1/predict", content=png), 503, "memory")
        assert client.post("/v1/predict", content=png).status_code == 200


def test_limits_that_are_none_are_refused() -> None:
    for words in ({"workers": 0}, {"waiting": -1}, {"image_px": 0}, {"upload_s": 0.0}, {"compute_s": float("nan")}):
        with pytest.raises(UsageError, match=f"{next(iter(words))}: .* is too little"):
            Limits(**words)
    assert json.dumps(Limits(waiting=0).waiting) == "0"
