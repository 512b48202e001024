"""Arrays kept on disk from run to run, one file each, which processes share through memory maps."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import tempfile
import threading
import time
import zlib
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ocuseg.errors import OutputError, UsageError

__all__ = ["ArrayCache", "CacheContents", "cache_folder", "empty_cache", "open_cache"]

_log = logging.getLogger("ocuseg")

_LIMIT_BYTES = 10_000_000_000
_MOST_MAPS = 30_000  # Linux gives a process 65,530
_HEADER_BYTES, _CHECKSUM_BYTES = 128, 4
_KEY_DIGITS = 64
_ABANDONED_S = 24 * 3600


@dataclass(frozen=True, slots=True)
class CacheContents:
    """How many arrays a cache holds, or held before it was emptied, and their bytes."""

    folder: Path
    arrays: int
    bytes: int


class ArrayCache:
    """Arrays of uint8 in a folder, each under a key of 64 hexadecimal digits: `KEY.npy`, followed by its CRC-32.

    Any number of threads and processes may use one folder at a time: a file is written beside its place and renamed,
    and never changed afterwards. One that is damaged is said, and is as if it were not there. When the folder holds
    `limit_bytes` (10 GB by default, and at most half of what is free), the arrays that were not asked for longest give
    way, but for those that this object has promised to `keep`. A folder that cannot be written is said once.
    """

    def __init__(self, folder: Path, limit_bytes: int | None = None) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._kept: set[str] = set()
        self._maps = 0
        self._failed = False
        files = sorted((status.st_mtime, status.st_size, path) for path, status in _files(folder))
        self._oldest = deque((path, size) for _, size, path in files)
        self._held = sum(size for _, size, _ in files)
        if limit_bytes is None:
            limit_bytes = min(_LIMIT_BYTES, (shutil.disk_usage(folder).free + self._held) // 2)
        self.limit_bytes = limit_bytes
        _remove_abandoned(folder)

    def keep(self, keys: Iterable[str]) -> None:
        """Let none of these keys give way to others, as their arrays are about to be asked for."""
        self._kept.update(keys)

    def get(self, key: str) -> NDArray[np.uint8] | None:
        """Return the array under a key, mapped; None where there is none, or a damaged one.

        What is written into it stays in this process.
        """
        path = self._path(key)
        try:
            array = self._mapped(path)
        except FileNotFoundError:
            return None
        except (ValueError, EOFError, RuntimeError, OSError) as error:
            _log.warning("%s: cannot be used (%s); the image is decoded anew", path, " ".join(str(error).split()))
            return None
        with contextlib.suppress(OSError):
            os.utime(path)  # the time of its last use
        return array

    def put(self, key: str, array: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Keep an array, and return it mapped; or as it is, where it cannot be kept or there is no room for it."""
        path = self._path(key)
        with self._lock:
            if self._failed or not self._make_room(_HEADER_BYTES + array.nbytes + _CHECKSUM_BYTES):
                return array
        temporary: Path | None = None
        try:
            handle, name = tempfile.mkstemp(prefix=f".{key}.", suffix=".tmp", dir=self.folder)
            temporary = Path(name)
            with os.fdopen(handle, "wb") as file:
                np.save(file, array)
                file.write(_checksum(array))
            temporary.replace(path)
            return self._mapped(path)
        except (OSError, RuntimeError) as error:
            self._give_up(error)
            return array
        finally:
            if temporary is not None:
                with contextlib.suppress(OSError):
                    temporary.unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.npy"

    def _mapped(self, path: Path) -> NDArray[np.uint8]:
        """Return the array in a file; raises ValueError and what NumPy and the system raise where it is damaged."""
        import torch

        header = np.lib.format.open_memmap(path, mode="r")
        shape, start = header.shape, header.offset
        del header  # NumPy's map holds the file open; of open files there may be no more than 1,024, or 256
        with self._lock:
            self._maps += 1
        if self._maps > _MOST_MAPS:
            content: NDArray[np.uint8] = np.fromfile(path, np.uint8)
        else:
            content = torch.from_file(str(path), size=path.stat().st_size, dtype=torch.uint8).numpy()
        array = content[start:-_CHECKSUM_BYTES].reshape(shape)
        if content[-_CHECKSUM_BYTES:].tobytes() != _checksum(array):
            raise ValueError("it is damaged")
        return array

    def _make_room(self, size: int) -> bool:
        if size > self.limit_bytes:
            return False
        while self._held + size > self.limit_bytes and self._oldest:
            path, freed = self._oldest.popleft()
            if path.stem not in self._kept:
                with contextlib.suppress(OSError):  # on Windows a mapped file cannot be removed
                    path.unlink(missing_ok=True)
                    self._held -= freed
        if self._held + size > self.limit_bytes:
            return False
        self._held += size
        return True

    def _give_up(self, error: Exception) -> None:
        with self._lock:
            said, self._failed = self._failed, True
        if not said:
            reason = getattr(error, "strerror", None) or str(error)
            _log.warning("%s: decoded images cannot be kept there (%s); training goes on without", self.folder, reason)


def cache_folder() -> Path:
    """Return the folder for decoded images by the platform's convention, such as `~/.cache/ocuseg/samples`.

    It need not exist. Raises UsageError where training is not installed.
    """
    try:
        import platformdirs
    except ImportError as error:
        raise UsageError("decoded images are kept by training alone; pip install 'ocuseg[train]'") from error
    return platformdirs.user_cache_path("ocuseg", appauthor=False) / "samples"


def open_cache(choice: str | Path, data: str | Path) -> ArrayCache | None:
    """Return the cache in a folder, in the user's own cache folder (`on`), or None (`off`).

    A folder that is made here is the user's alone. Raises UsageError where it lies among `data`, OutputError where it
    cannot be made; the user's own is then done without, which is said.
    """
    if choice == "off":
        return None
    folder = cache_folder() if choice == "on" else Path(choice)
    if Path(data).is_dir() and folder.resolve().is_relative_to(Path(data).resolve()):
        raise UsageError(f"{folder}: lies in the data folder; give another folder for decoded images, or 'off'")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return ArrayCache(folder)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        if choice != "on":
            raise OutputError(f"{folder}: cannot be made as a folder ({reason}); give another, or 'off'") from error
        _log.warning("%s: cannot be made as a folder (%s); decoded images are not kept", folder, reason)
        return None


def empty_cache(folder: Path, *, clear: bool) -> CacheContents:
    """Return what a cache folder holds; with `clear` its arrays are deleted, and nothing else that lies there.

    Raises OutputError where one cannot be deleted.
    """
    files = [(path, status.st_size) for path, status in _files(folder)]
    if clear:
        try:
            for path, _ in files:
                path.unlink(missing_ok=True)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise OutputError(f"{path}: cannot be deleted ({reason}); end the runs that use it") from error
        _remove_abandoned(folder, age_s=0)
    return CacheContents(folder, len(files), sum(size for _, size in files))


def _files(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    for path in folder.glob("*.npy"):
        if len(path.stem) == _KEY_DIGITS and set(path.stem) <= set("0123456789abcdef"):
            with contextlib.suppress(FileNotFoundError):  # another process may have removed it
                yield path, path.stat()


def _remove_abandoned(folder: Path, age_s: float = _ABANDONED_S) -> None:
    """Remove what processes that were killed have left half-written."""
    for path in folder.glob(f".{'[0-9a-f]' * _KEY_DIGITS}.*.tmp"):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime >= age_s:
                path.unlink()


def _checksum(array: NDArray[np.uint8]) -> bytes:
    return zlib.crc32(array.data).to_bytes(_CHECKSUM_BYTES, "little")
