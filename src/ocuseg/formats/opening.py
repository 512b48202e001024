"""Which format a source of annotations is in, and its content read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from ocuseg.errors import DataError, UsageError
from ocuseg.formats import coco, cvat, geojson, labelme, labelstudio, nnunet, supervisely, via
from ocuseg.formats.finding import Images
from ocuseg.formats.losses import Losses
from ocuseg.formats.reading import files_in, read_json
from ocuseg.formats.source import Page
from ocuseg.wording import meant

__all__ = ["FORMATS", "read_source", "recognise"]

FORMATS = ("coco", "cvat", "geojson", "labelme", "labelstudio", "nnunet", "supervisely", "via")

_BY_FOLDER: dict[str, Callable[[Path], bool]] = {
    "cvat": cvat.is_source,
    "nnunet": nnunet.is_source,
    "supervisely": supervisely.is_source,
}
_BY_CONTENT: dict[str, ModuleType] = {
    "coco": coco, "labelme": labelme, "labelstudio": labelstudio, "geojson": geojson, "via": via,
}  # fmt: skip


def read_source(
    source: Path, format: str | None, images_folder: Path | None, attribute: str | None, losses: Losses
) -> tuple[str, list[Page], dict[str, str | None]]:
    """Return the format, the images with their shapes, and the labels with their colours in the source's order.

    Raises UsageError where there is no such source, folder or format, DataError where nothing can be read.
    """
    if not source.exists():
        raise UsageError(f"{source}: does not exist; give the file or folder that the annotation tool exported")
    if images_folder is not None and not images_folder.is_dir():
        raise UsageError(f"{images_folder}: is no folder; give the folder of the images with --images")
    if format is not None and format not in FORMATS:
        raise UsageError(f"{format!r} is no format; {meant(format, FORMATS)}give one of {', '.join(FORMATS)}")
    name = format or recognise(source)
    if attribute is not None and name != "via":
        raise UsageError(f"--attribute is for VIA, and {source} is in the format {name}; leave it out")
    images = Images(source, images_folder)
    labels: dict[str, str | None]
    if name == "nnunet":
        pages, labels = nnunet.read(source, losses)
    elif name == "supervisely":
        pages, labels = supervisely.read(source, losses)
    elif name == "via":
        pages, labels = via.read(source, images, losses, attribute)
    else:
        readers: dict[str, Any] = {**_BY_CONTENT, "cvat": cvat}
        pages, labels = readers[name].read(source, images, losses)
    return name, pages, labels


def recognise(source: Path) -> str:
    """Return the format of a source, by its files and, where these do not tell, by what is in the first of them.

    Raises DataError where it is none, or more than one, of those that are read.
    """
    if source.is_file() and source.suffix.lower() in (".zip", ".tar", ".gz", ".tgz", ".7z"):
        raise DataError(f"{source}: is an archive; unpack it, and give the folder")
    found = [name for name, is_source in _BY_FOLDER.items() if is_source(source)]
    if len(found) > 1:
        raise DataError(f"{source}: could be {' or '.join(found)}; say which with --format")
    if found:
        return found[0]
    for path in files_in(source, ".json", ".geojson", ".csv"):
        name = _kind(path)
        if name is not None:
            return name
    raise DataError(f"{source}: is in no format that is known; say which with --format: {', '.join(FORMATS)}")


def _kind(path: Path) -> str | None:
    if path.suffix.lower() == ".csv":
        return "via" if via.is_table(path) else None
    try:
        content = read_json(path)
    except DataError:
        return None
    return next((name for name, module in _BY_CONTENT.items() if module.is_content(content)), None)
