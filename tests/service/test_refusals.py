"""What the service refuses, with which status, and that it says why in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from servers import running
from service.asking import require_refusal, saved

CASES = [
    pytest.param({"content": b""}, 422, ("empty",), id="empty"),
    pytest.param({"content": b"GIF87no"}, 422, ("damaged GIF",), id="no header"),
    pytest.param({"content": b"%PDF-1.4"}, 415, ("is not an image; give PNG",), id="PDF"),
    pytest.param({"content": saved("JPEG", (200, 200), quality=95)[:-300]}, 422, ("truncated",), id="cut JPEG"),
    pytest.param({"content": saved("PNG")[:-9]}, 422, ("truncated or damaged PNG",), id="cut PNG"),
    pytest.param({"content": saved("TIFF")[:200]}, 422, ("it is cut off",), id="cut TIFF"),
    pytest.param({"content": saved("PNG", (201, 200))}, 413, ("201 x 200", "0.04 million"), id="too many pixels"),
    pytest.param({"content": saved("TIFF", (201, 200), compression="tiff_lzw")}, 413, ("201 x",), id="pixels, TIFF"),
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
    pytest.param({"params": {"with": "xx"}, "content": b"x"}, 422, ("with: ",), id="part"),
    pytest.param(
        {"params": {"treshold": "0.9"}, "content": b"x"}, 422, ("'treshold' is no parameter; accepted",), id="name"
    ),
    pytest.param(
        {"params": {"model": "bright-parts", "threshold": "0.5"}, "content": b"x"}, 422, ("3 classes",), id="no use"
    ),
]  # fmt: skip


@pytest.mark.parametrize(("sent", "status", "words"), CASES)
def test_a_wrong_upload_is_told_why(
    sent: dict[str, Any], status: int, words: tuple[str, ...], client: httpx.Client
) -> None:
    require_refusal(client.post("/v1/predict", **sent), status, *words)
    assert client.get("/healthz").status_code == 200


def test_a_batch_of_too_many_or_of_none_is_refused(client: httpx.Client, png: bytes) -> None:
    many = [("images", ("a.png", png))] * 4
    require_refusal(client.post("/v1/predict/batch", files=many), 413, "more than 3 images")
    require_refusal(client.post("/v1/predict/batch?format=mask", files=many[:1]), 422, "'format' is no parameter")
    nothing = {"content": b"--x--\r\n", "headers": {"Content-Type": "multipart/form-data; boundary=x"}}
    require_refusal(client.post("/v1/predict/batch", **nothing), 400, "no image; name its part 'images'")


def test_what_is_not_there_or_not_allowed_is_json_too(client: httpx.Client) -> None:
    require_refusal(client.get("/nowhere"), 404, "not found")
    require_refusal(client.put("/v1/predict"), 405, "method not allowed")


def test_a_fault_of_our_own_is_said_as_json_and_the_service_goes_on(
    bundles: list[Path], png: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise RuntimeError("a fault")

    with running(bundles[:1]) as address, httpx.Client(base_url=address, timeout=120) as client:
        with monkeypatch.context() as patch:
            patch.setattr("ocuseg.service.application.see", fail)
            answer = client.post("/v1/predict", content=png)
            assert (answer.status_code, list(answer.json())) == (500, ["error"])
            assert "a fault" not in answer.text
            patch.setattr("ocuseg.service.application.see", lambda *_, **__: (_ for _ in ()).throw(MemoryError))
            require_refusal(client.post("/v1/predict", content=png), 503, "memory")
        assert client.post("/v1/predict", content=png).status_code == 200
