"""The command: what it says, what it refuses, and that Ctrl-C stops it cleanly."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

import ocuseg
from ocuseg.commands import needs_token
from ocuseg.errors import ModelError, UsageError


@contextmanager
def _started(*arguments: object) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """Run `ocuseg serve ARGUMENTS`; yields it, and what it has said up to the address, when it listens."""
    command = [sys.executable, "-m", "ocuseg", "serve", *map(str, arguments)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        watchdog = threading.Timer(300, process.kill)
        watchdog.start()
        assert process.stderr is not None
        said = []
        try:
            for line in process.stderr:
                said.append(line)
                if "serving at" in line:
                    break
            yield process, said
        finally:
            watchdog.cancel()
            process.kill()


def _address(said: list[str]) -> str:
    return re.search(r"serving at (http://\S+/) until Ctrl-C", said[-1])[1]  # type: ignore[index]


@pytest.mark.skipif(sys.platform == "win32", reason="there is no Ctrl-C for another process")
def test_it_serves_until_ctrl_c(bundles: list[Path], png: bytes) -> None:
    with _started(bundles[0], bundles[1], "--port", 0, "--runtime", "onnxruntime") as (process, said):
        address = _address(said)
        assert address.startswith("http://127.0.0.1:")
        assert "not a medical device" in said[-1]
        assert [line.split(":")[0] for line in said[:-1]] == ["dark-lines", "bright-parts"]
        assert httpx.post(f"{address}v1/predict", content=png).status_code == 200
        process.send_signal(signal.SIGINT)
        out, rest = process.communicate(timeout=120)
        assert (process.returncode, out, rest) == (0, "", "stopped\n")


@pytest.mark.skipif(sys.platform == "win32", reason="there is no Ctrl-C for another process")
def test_for_other_machines_a_token_is_made_and_shown(bundles: list[Path]) -> None:
    with _started(bundles[0], "--host", "0.0.0.0", "--port", 0) as (_, said):
        token = re.search(r"the token is (\S{32})$", said[0].strip())[1]  # type: ignore[index]
        address = _address(said).replace("0.0.0.0", "127.0.0.1")
        assert httpx.get(f"{address}v1/model").status_code == 401
        assert httpx.get(f"{address}v1/model", headers={"Authorization": f"Bearer {token}"}).status_code == 200


@pytest.mark.skipif(sys.platform == "win32", reason="there is no Ctrl-C for another process")
def test_a_token_file_is_used_also_on_this_machine(bundles: list[Path], tmp_path: Path) -> None:
    (tmp_path / "token").write_text("a-token-that-is-long\nmore\n")
    with _started(bundles[0], "--port", 0, "--token-file", tmp_path / "token") as (_, said):
        assert not [line for line in said if "a-token" in line]
        answer = httpx.get(f"{_address(said)}v1/model", headers={"Authorization": "Bearer a-token-that-is-long"})
        assert answer.status_code == 200


def test_a_token_file_that_is_no_text_is_one_line(bundles: list[Path], tmp_path: Path) -> None:
    (tmp_path / "token").write_bytes(b"\x7fELF\xd0\xff" * 9)
    with _started(bundles[0], "--port", 0, "--token-file", tmp_path / "token") as (process, said):
        assert process.wait(20) == 2
    assert said == ["ocuseg: the token is no good; give 16 or more letters, digits and signs\n"]


def test_who_needs_a_token() -> None:
    assert [needs_token(host) for host in ("127.0.0.1", "127.1.2.3", "localhost", "::1")] == [False] * 4
    assert [needs_token(host) for host in ("0.0.0.0", "::", "10.0.0.1", "eye.example", "")] == [True] * 5


def test_what_cannot_be_served_is_said_at_once(bundles: list[Path], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"0\.0\.0\.0: other machines can reach it, so a token is needed; give one"):
        ocuseg.serve(bundles[0], host="0.0.0.0")
    with pytest.raises(UsageError, match="the token is no good; give 16 or more"):
        ocuseg.serve(bundles[0], token="short")
    with pytest.raises(UsageError, match="70000 is no port; give one from 0"):
        ocuseg.serve(bundles[0], port=70_000)
    with pytest.raises(UsageError, match="workers: 0 is too little"):
        ocuseg.serve(bundles[0], workers=0)
    for millions in (float("inf"), float("nan"), -3.0, 0.0):
        with pytest.raises(UsageError, match=r"^image_mb: \S+ is no limit; give the most millions"):
            ocuseg.serve(bundles[0], image_mb=millions)
    with pytest.raises(UsageError, match="image_megapixels: inf is no limit"):
        ocuseg.serve(bundles[0], image_megapixels=float("inf"))
    with pytest.raises(UsageError, match="there is no model to serve"):
        ocuseg.serve([])
    with pytest.raises(ModelError, match="is no bundle"):
        ocuseg.serve(tmp_path, port=0)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=rf":{port}: cannot be listened at \(.+\); give another --host or"):
            ocuseg.serve(bundles[0], port=port)


@pytest.mark.parametrize("package", ["fastapi", "prometheus_client", "python_multipart", "uvicorn"])
def test_a_missing_extra_is_named(package: str, bundles: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ocuseg.machine.is_installed", lambda module: module != package)
    with pytest.raises(UsageError, match=rf"^{package} is not installed; run: pip install 'ocuseg\[serve\]'$"):
        ocuseg.serve(bundles[0])


def test_nothing_of_the_extra_is_imported_before_it_is_needed() -> None:
    code = "import sys, ocuseg.cli; ocuseg.serve; print([n for n in ('fastapi', 'uvicorn') if n in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ)
    assert answer.stdout == "[]\n"
