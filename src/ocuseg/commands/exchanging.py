"""The command that takes what an annotation tool exported."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ocuseg.commands.opening import Progress

if TYPE_CHECKING:
    from ocuseg.formats.importing import Imported

__all__ = ["import_annotations"]


def import_annotations(
    source: str | Path,
    *,
    out: str | Path,
    format: str | None = None,
    classes: str | Path | None = None,
    order: Literal["source", "classes", "size"] = "source",
    images: str | Path | None = None,
    attribute: str | None = None,
    link: bool = False,
    progress: Progress | None = None,
) -> Imported:
    """Return what was made of annotations: a data set in `out` with images, masks, classes, and splits if known.

    `source` is the file or folder that a tool exported, in one of the `format`s coco, cvat, geojson (QuPath), labelme,
    labelstudio, nnunet, supervisely and via, by default the one that it is recognised as. `classes` is a table such as
    `classes.yaml`; without it the labels become classes, in the source's order. `order` says which of two overlapping
    shapes lies on top: the later one of the source, or its z-order ("source"), the later class ("classes") or the
    smaller ("size"). `images` is where the images lie if not with the source; `attribute` the region attribute of VIA
    that names the class. With `link` images are not copied but listed where they are.

    What cannot be taken is among the result's `findings`, with level error; the rest is taken. Raises UsageError on
    wrong arguments, DataError where nothing can be taken, OutputError where `out` is not empty or cannot be written;
    then nothing is written at all.
    """
    from ocuseg.formats.importing import import_source

    return import_source(
        Path(source),
        Path(out),
        format=format,
        classes=None if classes is None else Path(classes),
        order=order,
        images=None if images is None else Path(images),
        attribute=attribute,
        link=link,
        progress=progress,
    )
