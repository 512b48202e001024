"""The files in an archive or a folder, one after the other; an archive that is not what it seems is refused."""

from __future__ import annotations

import gzip
import lzma
import os
import re
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from ocuseg.errors import DataError

__all__ = ["Member", "members"]

_MOST_MEMBERS = 200_000
_COPIED_BYTES = 1 << 18
# What Deflate can do at best is 1032; what is packed again and again to exhaust a disk does better than pictures do.
_MOST_RATIO = 1032
_MOST_NAME_BYTES = 1 << 20
_ABOUT_THE_NEXT = (
    tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE,
)  # fmt: skip

_DAMAGE = (
    zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError,
    RuntimeError,
)  # fmt: skip
"""What the readers of archives raise; the last where a password is missing."""


@dataclass(frozen=True, slots=True)
class Member:
    """A file in an archive: its path, without `.gz` if it was packed on its own, and a function that writes it out.

    `copy` writes it to a path and returns the bytes; it raises DataError beyond `most` bytes.
    """

    name: str
    copy: Callable[[Path, int], int]


def members(source: Path) -> Iterator[Member]:
    """Return the files of a zip, a tar (plain, gz, bz2, xz) or a folder; of an archive each is to be copied in turn.

    Raises DataError, before anything is copied where that can be known, on a path that leads out, a link or device, two
    files of one name, a password, more files or bytes than there can be, and on damage.
    """
    if source.is_dir():
        for path in sorted(path for path in source.rglob("*") if path.is_file() and not path.is_symlink()):
            yield _member(path.relative_to(source).as_posix(), lambda path=path: path.open("rb"), source)  # type: ignore[misc]
        return
    try:
        if zipfile.is_zipfile(source):
            yield from _zip_members(source)
        else:
            yield from _tar_members(source)
    except _DAMAGE as error:
        raise _damaged(source, error) from error


def _zip_members(source: Path) -> Iterator[Member]:
    with zipfile.ZipFile(source) as archive:
        entries = archive.infolist()
        if len(entries) > _MOST_MEMBERS:
            raise DataError(f"{source}: holds {len(entries)} files, more than {_MOST_MEMBERS}; it is no data set")
        seen = set[str]()
        for entry in entries:
            kind = stat.S_IFMT(entry.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise DataError(f"{source}: holds the link or device {entry.filename!r}; it is no data set")
            if entry.file_size > _MOST_RATIO * max(1, entry.compress_size) + 1024:
                raise DataError(f"{source}: {entry.filename!r} claims more than its bytes can hold; it is no data set")
            _require_safe(source, entry.filename, seen, is_folder=entry.is_dir())
        for entry in entries:
            if not entry.is_dir():
                yield _member(entry.filename, lambda entry=entry: archive.open(entry), source)  # type: ignore[misc]


class _Entry(tarfile.TarInfo):
    """An entry whose name is no longer than names are: tarfile reads it as a whole, however long it says it is."""

    def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo:  # made to be overridden, says tarfile
        if self.type in _ABOUT_THE_NEXT and self.size > _MOST_NAME_BYTES:
            raise DataError(f"{os.fsdecode(archive.name or '')}: holds a name of {self.size} bytes; it is no data set")
        found: tarfile.TarInfo = super()._proc_member(archive)  # type: ignore[misc]
        return found


def _tar_members(source: Path) -> Iterator[Member]:
    seen = set[str]()
    try:
        opened = tarfile.open(source, "r:*", tarinfo=_Entry)  # noqa: SIM115 - closed below
    except tarfile.ReadError as error:
        raise DataError(f"{source}: is neither zip nor tar; unpack it and give the folder") from error
    with opened as archive:
        for entry in archive:
            if not (entry.isreg() or entry.isdir()):
                raise DataError(f"{source}: holds the link or device {entry.name!r}; it is no data set")
            _require_safe(source, entry.name, seen, is_folder=entry.isdir())
            if len(seen) > _MOST_MEMBERS:
                raise DataError(f"{source}: holds more than {_MOST_MEMBERS} files; it is no data set")
            if entry.isreg():
                yield _member(entry.name, lambda entry=entry: _content(archive, entry), source)  # type: ignore[misc]


def _content(archive: tarfile.TarFile, entry: tarfile.TarInfo) -> IO[bytes]:
    content = archive.extractfile(entry)
    assert content is not None  # as it is for every regular file
    return content


def _require_safe(source: Path, name: str, seen: set[str], *, is_folder: bool) -> None:
    parts = name.split("/")
    leads_out = name.startswith("/") or ".." in parts or "\\" in name or "\0" in name or re.match(r"[A-Za-z]:", name)
    if leads_out:
        raise DataError(f"{source}: holds {name!r}, which leads out of its folder; it is no data set")
    if is_folder:
        return
    folded = PurePosixPath(name).as_posix().casefold()
    if folded in seen:
        raise DataError(f"{source}: holds {name!r} twice; it is no data set")
    seen.add(folded)


def _member(name: str, open_it: Callable[[], IO[bytes]], source: Path) -> Member:
    packed = name.lower().endswith(".gz") and not name.lower().endswith((".nii.gz", ".tar.gz"))

    def copy(target: Path, most: int) -> int:
        done = 0
        try:
            with open_it() as raw, target.open("wb") as out:
                stream: IO[bytes] = gzip.GzipFile(fileobj=raw) if packed else raw  # type: ignore[assignment]
                while chunk := stream.read(_COPIED_BYTES):
                    done += len(chunk)
                    if done > most:
                        raise DataError(f"{source}: inflates to more than it may; raise inflated_bytes if it is right")
                    out.write(chunk)
        except _DAMAGE as error:
            raise _damaged(source, error) from error
        return done

    return Member(name[:-3] if packed else name, copy)


def _damaged(source: Path, error: Exception) -> DataError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return DataError(f"{source}: is a damaged archive or needs a password ({reason}); fetch it again")
