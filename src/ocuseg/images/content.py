"""The bytes of an image file: held while they are few, read when they are needed where they are many."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from io import BufferedReader, BytesIO, RawIOBase
from pathlib import Path
from typing import BinaryIO, cast

from ocuseg.errors import ImageError

__all__ = ["Content", "held_content", "read_content"]

_HELD_BYTES = 1 << 25
_HEAD_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Content:
    """What a file holds: `num_bytes` in all, of which `head` are the first; `held` are all of them, if they are few."""

    path: Path
    num_bytes: int
    head: bytes
    held: bytes | None

    def open(self, on_read: Callable[[], object] | None = None) -> BinaryIO:
        """Return the bytes as a file, of which nothing has to be closed; `on_read` is called at each turn to the disk.

        Without `on_read` the bytes are read from memory if they are held.
        """
        if self.held is not None and on_read is None:
            return BytesIO(self.held)
        return cast("BinaryIO", BufferedReader(_Reopened(self.path, self.num_bytes, on_read), _HEAD_BYTES))


class _Reopened(RawIOBase):
    """A file that is opened for each read, so that no system handle outlives whoever forgets about it."""

    def __init__(self, path: Path, num_bytes: int, on_read: Callable[[], object] | None) -> None:
        self._path, self._num_bytes, self._on_read = path, num_bytes, on_read
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        self._position = offset + (0, self._position, self._num_bytes)[whence]
        return self._position

    def readinto(self, buffer: object) -> int:
        if self._on_read is not None:
            self._on_read()
        with self._path.open("rb", buffering=0) as file:
            file.seek(self._position)
            count = file.readinto(memoryview(buffer)) or 0  # type: ignore[arg-type]
        self._position += count
        return count


def held_content(name: str, held: bytes) -> Content:
    """Return the content of a file that is in memory alone; errors call it `name`. Raises ImageError where it is empty.

    It is for what came over a network and must not meet a disk.
    """
    if not held:
        raise ImageError(f"{name}: is empty (0 bytes); copy or export it again")
    return Content(Path(name), len(held), held[:_HEAD_BYTES], held)


def read_content(path: Path) -> Content:
    """Return the content of a file that is there, regular, readable and not empty; else raise ImageError."""
    try:
        if path.is_dir():
            raise ImageError(f"{path}: is a folder, not an image; give the files in it")
        if path.exists() and not path.is_file():
            raise ImageError(f"{path}: is not a regular file; give an image file")
        num_bytes = path.stat().st_size
        held = None
        if num_bytes <= _HELD_BYTES:
            held = path.read_bytes()
            head, num_bytes = held[:_HEAD_BYTES], len(held)
        else:
            with path.open("rb") as file:
                head = file.read(_HEAD_BYTES)
    except FileNotFoundError as error:
        raise ImageError(f"{path}: does not exist; correct the path") from error
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ImageError(f"{path}: cannot be opened ({reason}); make it readable") from error
    if not head:
        raise ImageError(f"{path}: is empty (0 bytes); copy or export it again")
    return Content(path, num_bytes, head, held)
