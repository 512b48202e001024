"""Files on a disc or in object storage, by path or URI, as fsspec knows them."""

from __future__ import annotations

import contextlib
import os
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ocuseg.errors import OutputError, UsageError

__all__ = ["Storage", "open_file_system", "reason_of", "shown_path"]


def open_file_system(uri: str) -> tuple[Any, str]:
    """Return the fsspec file system of a path or URI, and the path in it.

    Raises UsageError where the package for this kind of storage is not installed or there is no such kind.
    """
    from fsspec.core import url_to_fs

    try:
        file_system, path = url_to_fs(uri)
    except (ImportError, ValueError) as error:
        raise UsageError(
            f"{uri}: cannot be opened ({reason_of(error)}); install what it needs, here and on the workers"
        ) from error
    return file_system, str(path)


def shown_path(file_system: Any, path: str) -> str:
    """Return a path of a file system as rows and messages have it: absolute, with the protocol unless it is local."""
    return path if _is_local(file_system) else str(file_system.unstrip_protocol(path))


def reason_of(error: BaseException) -> str:
    """Return what a storage says of a failure, in one line; every storage has exceptions of its own."""
    text = getattr(error, "strerror", None) or str(error)
    return " ".join(text.split())[:300].rstrip(".") or type(error).__name__


class Storage:
    """A folder that is written to from several machines; names are relative to it, with `/` between their parts."""

    def __init__(self, uri: str) -> None:
        self._files, path = open_file_system(uri)
        self._root = path.rstrip("/")
        self.uri = shown_path(self._files, self._root)  # absolute: a worker has another working folder

    def shown(self, name: str) -> str:
        """Return the whole path of `name` for a message or a row."""
        return shown_path(self._files, f"{self._root}/{name}")

    def is_empty(self) -> bool:
        """Return whether nothing is in the folder, or no folder there."""
        return not self._asked(lambda: self._files.ls(self._root, detail=False), "")

    def names(self, folder: str) -> set[str]:
        """Return the names of the files that lie directly in `folder`, whole ones only."""
        path = f"{self._root}/{folder}"
        found = self._asked(lambda: self._files.ls(path, detail=False), folder)
        names = {str(one).rstrip("/").rpartition("/")[2] for one in found}
        return {name for name in names if not name.startswith(".") and not name.endswith(".tmp")}

    def has(self, name: str) -> bool:
        """Return whether `name` is there."""
        self._files.invalidate_cache()
        return bool(self._files.exists(f"{self._root}/{name}"))

    def read(self, name: str) -> bytes:
        """Return the content of `name`; raises OutputError where it cannot be read."""
        try:
            content: bytes = self._files.cat_file(f"{self._root}/{name}")
        except Exception as error:
            raise OutputError(
                f"{self.shown(name)}: cannot be read ({reason_of(error)}); see that it is there"
            ) from error
        return content

    def remove(self, names: set[str]) -> None:
        """Remove files, as far as they are there."""
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                self._files.rm_file(f"{self._root}/{name}")

    @contextlib.contextmanager
    def written_whole(self, name: str) -> Iterator[Path]:
        """Yield a local path whose content takes the place of `name` once the block ends without an error.

        On a disc and in object storage alike nobody ever sees half of it. Raises OutputError where it cannot be
        written.
        """
        path = f"{self._root}/{name}"
        with tempfile.TemporaryDirectory(prefix="ocuseg-") as folder:
            local = Path(folder) / "content"
            yield local
            # What a killed worker leaves must not look like a table to those who read `rows/*.parquet`.
            beside = f"{path}.{uuid.uuid4().hex}.tmp"
            try:
                self._put(local, beside)
                if _is_local(self._files):
                    Path(beside).replace(path)
                else:
                    self._files.mv(beside, path)
            except Exception as error:
                raise OutputError(
                    f"{self.shown(name)}: cannot be written ({reason_of(error)}); see that it may be, run it again"
                ) from error

    def write(self, name: str, content: bytes) -> None:
        """Write `content` to `name`, whole or not at all; raises OutputError where it cannot be written."""
        with self.written_whole(name) as path:
            path.write_bytes(content)

    def table(self, folder: str) -> Any:
        """Return all Parquet files of `folder`, of which there is one at least, as one `pyarrow.dataset.Dataset`."""
        from pyarrow import dataset

        paths = [f"{self._root}/{folder}/{name}" for name in sorted(self.names(folder))]
        return dataset.dataset(paths, format="parquet", filesystem=self._files)

    def _put(self, local: Path, path: str) -> None:
        try:
            self._files.put_file(str(local), path)
        except FileNotFoundError:  # object storage has no folders, others want theirs made
            self._files.makedirs(path.rpartition("/")[0], exist_ok=True)
            self._files.put_file(str(local), path)
        if _is_local(self._files):
            with Path(path).open("rb+") as file:
                os.fsync(file.fileno())

    def _asked(self, ask: Callable[[], list[str]], name: str) -> list[str]:
        self._files.invalidate_cache()
        try:
            return ask()
        except (FileNotFoundError, NotADirectoryError):
            return []
        except Exception as error:
            raise OutputError(
                f"{self.shown(name)}: cannot be listed ({reason_of(error)}); give another --out"
            ) from error


def _is_local(file_system: Any) -> bool:
    from fsspec.implementations.local import LocalFileSystem

    return isinstance(file_system, LocalFileSystem)
