"""Who may ask the service, what a browser may do with the answers, and that nothing of an image stays."""

from __future__ import annotations

import builtins
import logging
import os
import tempfile
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest
from PIL import Image

from ocuseg.machine import is_installed
from servers import running
from service.asking import require_refusal


def test_other_hosts_and_other_sites_are_refused(client: httpx.Client, address: str, png: bytes) -> None:
    for path in ("/", "/healthz", "/v1/model"):
        require_refusal(client.get(path, headers={"Host": "evil.example:80"}), 403, "this machine alone")
    assert client.get("/healthz", headers={"Host": "localhost:1"}).status_code == 200
    assert client.get("/healthz", headers={"Host": "[::1]:1"}).status_code == 200
    require_refusal(client.get("/healthz", headers={"Host": "[::1"}), 403)
    foreign = client.post("/v1/predict", content=png, headers={"Origin": "https://evil.example"})
    require_refusal(foreign, 403, "other sites")
    for odd in ("null", "http://[", f"http://{urlsplit(address).netloc}.evil.example"):
        require_refusal(client.post("/v1/predict", content=png, headers={"Origin": odd}), 403, "other sites")
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
        httpx.Client(base_url=address, timeout=120) as client,
    ):
        for path in ("/", "/page/page.js", "/healthz"):
            assert client.get(path).status_code == 200
        for path in ("/v1/model", "/metrics", "/openapi.json", "/nowhere", "/page"):
            answer = client.get(path)
            require_refusal(answer, 401, "token")
            assert answer.headers["www-authenticate"] == "Bearer"
        for wrong in ("Bearer", "Bearer a-token-that-is-lonG", "Basic a-token-that-is-long", "Bearer é"):
            require_refusal(client.post("/v1/predict", content=png, headers={"Authorization": wrong.encode()}), 401)
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
    with running(bundles[:1]) as address, httpx.Client(base_url=address, timeout=300) as client:
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
