"""Folders that are written whole or not at all."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import shutil
import sys
import tempfile
import uuid
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from ocuseg.errors import OutputError

__all__ = ["folder_written_whole", "require_replaceable", "require_writable", "safe_name"]

# What desktops leave in any folder that was looked at.
_LITTER = {".DS_Store", "Thumbs.db", "desktop.ini"}


@contextlib.contextmanager
def folder_written_whole(folder: Path | str) -> Iterator[Path]:
    """Yield a new empty folder beside `folder` that takes its place once the block ends without an error.

    Whatever happens inside, `folder` holds either what it held before or the whole new content. A folder that lies
    there already is exchanged for the new one in one step where the system can do that (Linux, macOS), else by two
    renames. Raises OutputError where the folder cannot be written.
    """
    target = Path(folder).resolve()
    staging = target.with_name(f".{target.name}.{uuid.uuid4().hex}.tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        staging.mkdir()
        yield staging
        for path in staging.rglob("*"):
            if path.is_file():
                with path.open("rb+") as file:
                    os.fsync(file.fileno())
        _put_in_place(staging, target)
    except OSError as error:
        raise _not_written(folder, error) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def require_writable(folder: Path | str) -> None:
    """Raise OutputError where `folder` could not be written; to be asked before the work. Nothing is left behind."""
    target = Path(folder).absolute()
    try:
        place = next(parent for parent in target.parents if parent.exists())
        with tempfile.TemporaryDirectory(dir=place, prefix=f".{target.name}."):
            pass
    except OSError as error:
        raise _not_written(folder, error) from error


def require_replaceable(
    folder: Path | str, files: Collection[str], is_ours: Callable[[Path], bool], *, result: str, foreign: str
) -> None:
    """Raise OutputError unless `folder` can be written anew; to be asked before the work.

    It can where nothing is yet, where the folder is empty, and where it holds nothing but `files` of an earlier result,
    as which `is_ours` knows it. `result` ("the bundle") and `foreign` ("which is no part of a bundle") go into the
    error.
    """
    target = Path(folder)
    if target.is_dir():
        found = {path.name for path in target.iterdir()} - _LITTER
        other = found - set(files) if is_ours(target) else found
        if other:
            raise OutputError(f"{folder}: holds {min(other)}, {foreign}; give a new or empty folder")
    elif target.exists():
        raise OutputError(f"{folder}: is a file; give a folder for {result}")
    require_writable(folder)


def safe_name(name: str) -> str:
    """Return a name as one part of a path: of letters, digits, `_`, `-` and `.`, with none of these dots at an end."""
    return re.sub(r"[^\w.-]+", "_", name).strip(".") or "_"


def _not_written(folder: Path | str, error: OSError) -> OutputError:
    reason = (error.strerror or str(error)).lower()
    return OutputError(f"{folder}: cannot be written ({reason}); free space or give another folder")


def _put_in_place(staging: Path, target: Path) -> None:
    if not target.exists():
        staging.rename(target)
        return
    if _exchanged(staging, target):
        return
    old = target.with_name(f".{target.name}.{uuid.uuid4().hex}.old")
    target.rename(old)
    try:
        staging.rename(target)
    except OSError:
        old.rename(target)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _exchanged(first: Path, second: Path) -> bool:
    """Whether two folders of one file system took each other's place in a single step."""
    if sys.platform == "win32":
        return False
    system = ctypes.CDLL(None)
    paths = os.fsencode(first), os.fsencode(second)
    # Neither call is in Python's os: renameat2(2) with RENAME_EXCHANGE, renamex_np(2) with RENAME_SWAP.
    if hasattr(system, "renameat2"):
        here = ctypes.c_int(-100)  # AT_FDCWD
        return bool(system.renameat2(here, paths[0], here, paths[1], ctypes.c_uint(2)) == 0)
    if hasattr(system, "renamex_np"):
        return bool(system.renamex_np(*paths, ctypes.c_uint(2)) == 0)
    return False
