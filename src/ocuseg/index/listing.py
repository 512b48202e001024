"""Which files of a folder are pictures, in an order that no file system decides."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePath

from ocuseg.errors import DataError, UsageError
from ocuseg.images import is_dicom

__all__ = ["IMAGE_SUFFIXES", "Listing", "find_images", "has_image_suffix", "list_folder"]

IMAGE_SUFFIXES = frozenset(
    {
        ".png", ".jpg", ".jpeg", ".jpe", ".tif", ".tiff", ".bmp", ".ppm", ".pgm", ".pbm", ".pnm", ".gif", ".webp",
        ".dcm", ".dicom", ".nii", ".nii.gz",
    }
)  # fmt: skip
_SYSTEM_NAMES = frozenset({"thumbs.db", "desktop.ini", "__macosx"})


@dataclass(frozen=True, slots=True)
class Listing:
    """What a folder holds, each part sorted by name: pictures, other files, folders; hidden files are left out."""

    images: tuple[Path, ...]
    others: tuple[Path, ...]
    folders: tuple[Path, ...]


def list_folder(folder: Path) -> Listing:
    """Return what `folder` holds, told apart by the file name alone.

    Only a file without a suffix, or with a number for one, as DICOM files have it, is looked into. Raises DataError
    where the folder cannot be read or a name in it is not UTF-8, as after an old ZIP file.
    """
    try:
        entries = sorted((entry for entry in folder.iterdir() if not _is_hidden(entry)), key=lambda entry: entry.name)
        folders = tuple(entry for entry in entries if entry.is_dir())
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise DataError(f"{folder}: cannot be read ({reason}); give a folder that you may read") from error
    for entry in entries:
        _require_utf8(entry)
    files = [entry for entry in entries if entry not in set(folders)]
    images = tuple(entry for entry in files if has_image_suffix(entry) or _is_bare_dicom(entry))
    return Listing(images, tuple(entry for entry in files if entry not in set(images)), folders)


def has_image_suffix(path: PurePath) -> bool:
    """Return whether a name ends as that of a picture."""
    name = path.name.lower()
    return path.suffix.lower() in IMAGE_SUFFIXES or name.endswith(".nii.gz")


def find_images(paths: Path | str | Iterable[Path | str]) -> list[Path]:
    """Return the pictures to predict on: the files given and, for each folder given, the pictures in it.

    A file that is named outright is kept whatever its suffix; none is returned twice.
    Raises UsageError for a path that does not exist, DataError for a folder without pictures and for a name that is not
    UTF-8.
    """
    given = [Path(paths)] if isinstance(paths, str | Path) else [Path(path) for path in paths]
    found: dict[Path, None] = {}
    for path in given:
        _require_utf8(path)
        if path.is_dir():
            images = list_folder(path).images
            if not images:
                raise DataError(
                    f"{path}: holds no image (folders in it are not searched); "
                    "give a folder with PNG, JPEG, TIFF, BMP, PPM, GIF, WebP, DICOM or NIfTI files"
                )
            found.update(dict.fromkeys(images))
        elif path.exists():
            found[path] = None
        else:
            raise UsageError(f"{path}: does not exist; give an image or a folder of images")
    return list(found)


def _require_utf8(path: Path) -> None:
    name = os.fsencode(path)
    try:
        name.decode()
    except UnicodeDecodeError as error:
        told = name.decode(errors="backslashreplace")
        raise DataError(f"{told}: the name is not UTF-8, so no table or page can hold it; rename it") from error


def _is_bare_dicom(path: Path) -> bool:
    """Whether a file without a suffix, or with a number for one, is a picture in DICOM's format."""
    if (path.suffix and not path.suffix[1:].isdecimal()) or path.name.upper() == "DICOMDIR":
        return False
    try:
        with path.open("rb") as file:
            return is_dicom(file.read(132))
    except OSError:
        return False


def _is_hidden(path: Path) -> bool:
    return path.name.startswith(".") or path.name.lower() in _SYSTEM_NAMES
