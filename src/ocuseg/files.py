"""Files that are written whole or not at all, and what identifies their content."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePath
from typing import Any

from ocuseg.errors import OutputError

__all__ = ["hash_bytes", "hash_file", "make_folder", "stem_of", "write_json", "write_text", "written_whole"]

_NAMED_BY = 20
"""Characters of a file's name that its temporary one begins with."""
_READING_UMASK = threading.Lock()


def make_folder(path: Path | str) -> Path:
    """Return `path` as an existing folder, made if need be.

    Raises OutputError where it cannot be made or is not a folder.
    """
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"{folder}: cannot be made as a folder ({_reason(error)}); give another output folder"
        ) from error
    return folder


@contextlib.contextmanager
def written_whole(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path beside `path` that takes its place once the block ends without an error.

    Whatever happens inside, `path` holds either what it held before or the whole new content.
    Raises OutputError where the file cannot be written (no permission, no space, no such folder).
    """
    target = Path(path)
    temporary: Path | None = None
    try:
        # The beginning of the name is enough: one that is as long as names may be has no room for more.
        prefix, suffix = f".{target.name[:_NAMED_BY]}.", f".tmp{target.suffix[:_NAMED_BY]}"
        handle, name = tempfile.mkstemp(prefix=prefix, suffix=suffix, dir=target.parent)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(target)
    except OSError as error:
        raise OutputError(
            f"{target}: cannot be written ({_reason(error)}); free space or give another output folder"
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def write_text(path: Path | str, text: str) -> Path:
    """Write `text` as UTF-8 to `path`, whole or not at all, and return the path."""
    with written_whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")
    return Path(path)


def write_json(path: Path | str, content: Any) -> Path:
    """Write `content` as indented JSON to `path`, whole or not at all; NaN is not accepted (write null)."""
    return write_text(path, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def stem_of(path: PurePath) -> str:
    """Return the name of a file without its suffix: `.nii.gz` is one, and a number, as DICOM files have it, is none."""
    suffix = path.suffix[1:]
    if suffix.isdecimal():
        return path.name
    stem = path.stem
    return stem[:-4] if suffix.lower() == "gz" and stem.lower().endswith(".nii") else stem


def hash_file(path: Path | str) -> str:
    """Return the SHA-256 of a file's bytes as 64 hexadecimal digits."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_bytes(parts: Iterable[bytes | str]) -> str:
    """Return the SHA-256 of several parts, each with its length, as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return digest.hexdigest()


def _umask() -> int:
    """What new files may not allow; it can only be read by setting it, which two threads must not do at once."""
    with _READING_UMASK:
        mask = os.umask(0)
        os.umask(mask)
    return mask


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
