"""LabelMe: a JSON file for each image, with polygons, masks and simple shapes (github.com/wkentaro/labelme)."""

from __future__ import annotations

import base64
import binascii
import io
import math
from pathlib import Path
from typing import Any

import numpy as np

from ocuseg.formats.finding import Images
from ocuseg.formats.losses import LeftOutError, Losses
from ocuseg.formats.reading import contents, folder_split, lines_of, words_of
from ocuseg.formats.regions import pack, rectangle, ring
from ocuseg.formats.source import Page, Shape, collect, ellipse, outline

__all__ = ["is_content", "read"]


def is_content(content: Any) -> bool:
    """Whether the content of a JSON file is of this format."""
    return isinstance(content, dict) and isinstance(content.get("shapes"), list) and "imagePath" in content


def read(source: Path, images: Images, losses: Losses) -> tuple[list[Page], dict[str, str | None]]:
    """Return the pages of a folder, or of one file, and the labels: those of `labels.txt`, else in the alphabet."""
    pages = []
    for path, content in contents(source, is_content, losses):
        with losses.leaving_out(path.name, "a file that is no annotation"):
            pages.append(_page(path, content, source, images, losses))
    listed = source / "labels.txt"
    return pages, {words_of(name): None for name in lines_of(listed)} if listed.is_file() else {}


def _page(path: Path, content: dict[str, Any], source: Path, images: Images, losses: Losses) -> Page:
    name = str(content["imagePath"] or "")
    found, held = None, None
    try:
        found = images.find(name, path.parent)
    except LeftOutError:
        held = _held_image(content.get("imageData"))
        if held is None:
            raise
    height, width = content.get("imageHeight"), content.get("imageWidth")
    shapes = collect(content["shapes"], _shape, path.name, losses)
    size = (height, width) if isinstance(height, int) and isinstance(width, int) else None
    return Page(name, found, size, shapes, split=folder_split(source, path), content=held)


def _held_image(data: Any) -> bytes | None:
    """Return the picture that the file itself holds, upright; None where it holds none."""
    if not isinstance(data, str) or not data:
        return None
    try:
        return base64.b64decode(data, validate=True)
    except (ValueError, binascii.Error):
        return None


def _shape(item: dict[str, Any]) -> Shape:
    label, kind = words_of(item["label"]), item.get("shape_type") or "polygon"
    points = ring(item["points"])
    if kind == "polygon":
        return Shape(label, outline(label, [[points]]))
    if kind == "rectangle":
        (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
        if left == right or top == bottom:
            raise LeftOutError("shape-degenerate", f"a rectangle of {label!r} with no area")
        return Shape(label, rectangle(left, top, right, bottom), remark="box-filled")
    if kind == "circle":
        radius = math.dist(points[0], points[1])
        return Shape(label, ellipse(label, (points[0][0], points[0][1]), (radius, radius)))
    if kind == "mask":
        left, top = np.round(points.min(axis=0)).astype(int).tolist()
        return Shape(label, pack(_pixels(item["mask"]), left, top))
    raise LeftOutError("shape-without-area", f"a {kind} of {label!r}")


def _pixels(data: str) -> np.ndarray[Any, Any]:
    from ocuseg.formats.pictures import decode_pixels

    return decode_pixels(io.BytesIO(base64.b64decode(data, validate=True)))
