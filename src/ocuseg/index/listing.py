"""Which files of a folder are pictures, in an order that no file system decides."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ocuseg.errors import DataError, UsageError

__all__ = ["IMAGE_SUFFIXES", "Listing", "find_images", "list_folder"]

IMAGE_SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".jpe", ".tif", ".tiff", ".bmp", ".ppm", ".pgm", ".pbm", ".pnm", ".gif", ".webp"}
)
_SYSTEM_NAMES = frozenset({"thumbs.db", "desktop.ini", "__macosx"})


@dataclass(frozen=True, slots=True)
class Listing:
    """What a folder holds, each part sorted by name: pictures, other files, folders; hidden files are left out."""

    images: tuple[Path, ...]
    others: tuple[Path, ...]
    folders: tuple[Path, ...]


def list_folder(folder: Path) -> Listing:
    """Return what `folder` holds, told apart by the file name alone; no file is opened.

    Raises DataError where the folder cannot be read.
    """
    try:
        entries = sorted((entry for entry in folder.iterdir() if not _is_hidden(entry)), key=lambda entry: entry.name)
        folders = tuple(entry for entry in entries if entry.is_dir())
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise DataError(f"{folder}: cannot be read ({reason}); give a folder that you may read") from error
    files = [entry for entry in entries if entry not in set(folders)]
    images = tuple(entry for entry in files if entry.suffix.lower() in IMAGE_SUFFIXES)
    return Listing(images, tuple(entry for entry in files if entry.suffix.lower() not in IMAGE_SUFFIXES), folders)


def find_images(paths: Path | str | Iterable[Path | str]) -> list[Path]:
    """Return the pictures to predict on: the files given and, for each folder given, the pictures in it.

    A file that is named outright is kept whatever its suffix; none is returned twice.
    Raises UsageError for a path that does not exist, DataError for a folder without pictures.
    """
    given = [Path(paths)] if isinstance(paths, str | Path) else [Path(path) for path in paths]
    found: dict[Path, None] = {}
    for path in given:
        if path.is_dir():
            images = list_folder(path).images
            if not images:
                raise DataError(
                    f"{path}: holds no image (folders in it are not searched); "
                    "give a folder with PNG, JPEG, TIFF, BMP, PPM, GIF or WebP files"
                )
            found.update(dict.fromkeys(images))
        elif path.exists():
            found[path] = None
        else:
            raise UsageError(f"{path}: does not exist; give an image or a folder of images")
    return list(found)


def _is_hidden(path: Path) -> bool:
    return path.name.startswith(".") or path.name.lower() in _SYSTEM_NAMES
