"""A file from the web, fetched whole: begun where the last attempt ended, and taken only with the right checksum."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ocuseg.catalogue.entries import RemoteFile
from ocuseg.errors import DataError, OutputError
from ocuseg.files import write_json
from ocuseg.machine import package_version

__all__ = ["fetch", "has_checksum"]

TIMEOUT_S = 60.0
PAUSES_S = (1.0, 3.0, 10.0, 30.0)
"""How long is waited after each attempt but the last."""

_CHUNK_BYTES = 1 << 18
_LARGEST_BYTES = 100_000_000_000
# A server that is overworked or in trouble may do better later; any other refusal stays.
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})

Told = Callable[[int, int], None]
"""Takes the bytes that are there and those that there will be (0 if unknown)."""


class _BrokenError(Exception):
    """An attempt that ended early; the next one goes on from there."""


def fetch(file: RemoteFile, folder: Path, tell: Told | None = None) -> Path:
    """Return the path of a file in `folder`, fetched unless it is there already.

    What an attempt left is kept as `NAME.part` and gone on from, where the server can (RFC 9110, 14 and 13.1.5: the
    range is asked for on condition that the file is still the same). Raises DataError where it cannot be fetched, is
    longer than it should be, or has another checksum, with which nothing is kept; OutputError where there is no room.
    """
    target = folder / file.name
    if target.is_file():
        if has_checksum(target, file):
            return target
        target.unlink()
    part, note = folder / f"{file.name}.part", folder / f"{file.name}.part.json"
    for pause in (*PAUSES_S, None):
        try:
            _attempt(file, part, note, tell)
            break
        except DataError:
            part.unlink(missing_ok=True)
            raise
        except (_BrokenError, http.client.HTTPException, TimeoutError, ConnectionError, urllib.error.URLError) as error:
            refused = isinstance(error, urllib.error.HTTPError) and error.code not in _PASSING
            reason = f"answers {error.code}" if isinstance(error, urllib.error.HTTPError) else _reason(error)
            if isinstance(error, urllib.error.HTTPError):
                error.close()
            if refused:
                raise DataError(f"{file.url}: {reason}; look at the home page of the set for its new address") from None
            if pause is None:
                raise DataError(f"{file.url}: {reason}; try again, what was fetched is kept") from None
            time.sleep(pause)
        except OSError as error:
            raise OutputError(f"{part}: cannot be written ({_reason(error)}); free space") from error
    if not has_checksum(part, file):
        algorithm, wanted = file.checksum
        found = _digest(part, algorithm)
        part.unlink()
        note.unlink(missing_ok=True)
        raise DataError(
            f"{file.url}: has the {algorithm} {found}, not {wanted}; it was changed or damaged, and nothing is kept"
        )
    part.replace(target)
    note.unlink(missing_ok=True)
    return target


def has_checksum(path: Path, file: RemoteFile) -> bool:
    """Return whether a file here is the one that the catalogue means."""
    algorithm, wanted = file.checksum
    return (file.bytes is None or path.stat().st_size == file.bytes) and _digest(path, algorithm) == wanted


def _attempt(file: RemoteFile, part: Path, note: Path, tell: Told | None) -> None:
    """Fetch what is missing of `part`. Raises what urllib does, and `_BrokenError` where the answer ends early."""
    done = part.stat().st_size if part.exists() else 0
    if file.bytes is not None and done == file.bytes:
        return
    headers = {"User-Agent": f"ocuseg/{package_version('ocuseg')}", "Accept-Encoding": "identity"}
    known = _read_note(note)
    validator = known.get("etag") or known.get("last_modified")
    if done and validator and known.get("url") == file.url:
        headers |= {"Range": f"bytes={done}-", "If-Range": validator}
    else:
        done = 0
    try:
        answer = _open(file.url, headers)
    except urllib.error.HTTPError as error:
        if error.code == 416 and done:  # there is no more, or it is another file: begin again
            error.close()
            part.unlink()
            raise _BrokenError("has no such part") from None
        raise
    with contextlib.closing(answer):
        if answer.status != 206 or not answer.headers.get("Content-Range", "").startswith(f"bytes {done}-"):
            if answer.status == 206:
                raise _BrokenError("answers with another part")
            done = 0
        length = answer.headers.get("Content-Length")
        total = done + int(length) if length is not None and length.isdigit() else 0
        most = file.bytes or _LARGEST_BYTES
        if total > most:
            raise DataError(f"{file.url}: is {total} bytes long, more than the {most} expected; it was changed")
        _require_room(part, max(total, file.bytes or 0) - done)
        etag = answer.headers.get("ETag", "")
        write_json(note, {
            "url": file.url,
            "etag": "" if etag.startswith("W/") else etag,  # a weak one does not promise the same bytes
            "last_modified": answer.headers.get("Last-Modified", ""),
        })  # fmt: skip
        with part.open("r+b" if done else "wb") as out:
            out.seek(done)
            out.truncate()
            while chunk := _read(answer):
                done += len(chunk)
                if done > most:
                    raise DataError(f"{file.url}: is longer than the {most} bytes expected; it was changed")
                out.write(chunk)
                if tell is not None:
                    tell(done, total)
    if total and done < total:
        raise _BrokenError(f"ended after {done} of {total} bytes")


def _read(answer: Any) -> bytes:
    """Read on. Raises `_BrokenError` for whatever befalls the network, which is no fault of the disk."""
    try:
        chunk: bytes = answer.read(_CHUNK_BYTES)
    except OSError as error:
        raise _BrokenError(_reason(error)) from error
    return chunk


def _open(url: str, headers: dict[str, str]) -> Any:
    """Open an address of the web, and follow it to no other kind of address."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler, urllib.request.HTTPHandler, urllib.request.HTTPSHandler,
        urllib.request.HTTPDefaultErrorHandler, _Redirects, urllib.request.HTTPErrorProcessor,
        urllib.request.UnknownHandler,
    ):  # fmt: skip
        opener.add_handler(handler())
    return opener.open(urllib.request.Request(url, headers=headers), timeout=TIMEOUT_S)


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Redirects, but none from https to where anybody could listen or answer."""

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        """Return the request that follows. Raises HTTPError for one that would be less safe."""
        if not newurl.startswith("https://" if req.full_url.startswith("https://") else ("http://", "https://")):
            raise urllib.error.HTTPError(req.full_url, code, "redirect to another kind of address", headers, fp)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _require_room(part: Path, needed: int) -> None:
    free = shutil.disk_usage(part.parent).free
    if needed > free:
        raise OutputError(f"{part.parent}: has {free / 1e9:.1f} GB free, {needed / 1e9:.1f} GB are needed; free space")


def _digest(path: Path, algorithm: str) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()


def _read_note(note: Path) -> dict[str, str]:
    try:
        content = json.loads(note.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _reason(error: BaseException) -> str:
    reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(str(reason).split()).lower()
