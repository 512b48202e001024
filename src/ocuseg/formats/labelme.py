"""LabelMe: a JSON file for each image, with polygons, masks and simple shapes (github.com/wkentaro/labelme)."""

from __future__ import annotations

import base64
import binascii
import io
import math
from pathlib import Path
from typing import Any

import numpy as np

from ocuseg.errors import DataError
from ocuseg.formats.finding import Images
from ocuseg.formats.regions import pack, rectangle, ring
from ocuseg.formats.source import (
    LeftOutError,
    Losses,
    Page,
    Shape,
    collect,
    ellipse,
    json_files,
    outline,
    read_json,
    split_in,
    words_of,
)

__all__ = ["is_content", "read"]


def is_content(content: Any) -> bool:
    """Whether the content of a JSON file is of this format."""
    return isinstance(content, dict) and isinstance(content.get("shapes"), list) and "imagePath" in content


def read(source: Path, images: Images, losses: Losses) -> tuple[list[Page], dict[str, str | None]]:
    """Return the pages of a folder, or of one file, and the labels: those of `labels.txt`, else in the alphabet."""
    pages = []
    for path in json_files(source):
        try:
            content = read_json(path)
        except DataError as error:
            losses.say("file-damaged", path.name, str(error).partition(": ")[2].rpartition(";")[0])
            continue
        if is_content(content):
            try:
                pages.append(_page(path, content, source, images, losses))
            except LeftOutError as skipped:
                losses.say(skipped.code, path.name, skipped.what)
    listed = source / "labels.txt"
    names = listed.read_text(encoding="utf-8").splitlines() if listed.is_file() else []
    return pages, {name.strip(): None for name in names if name.strip()}


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
    split = split_in(path.parent.name) if source.is_dir() and path.parent != source else None
    return Page(name, found, size, shapes, split=split, content=held)


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
