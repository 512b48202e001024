"""The mask of one annotated image: its shapes in their order, upright as the image is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ocuseg.errors import ImageError
from ocuseg.formats.labelling import painted_values
from ocuseg.formats.losses import LeftOutError, Losses, said_of
from ocuseg.formats.regions import bounds, cover
from ocuseg.formats.source import Page, Painted, Shape
from ocuseg.images import ImageHeader
from ocuseg.images.orientation import TURNS

__all__ = ["ORDERS", "Order", "paint"]

Order = Literal["source", "classes", "size"]
ORDERS: tuple[Order, ...] = ("source", "classes", "size")

_TRANSPOSED = (5, 6, 7, 8)


def paint(page: Page, header: ImageHeader, ids: Mapping[str, int], order: Order, losses: Losses) -> NDArray[np.uint8]:
    """Return the mask (H, W) of class ids of an image, of the size and orientation in which the image is read.

    `order` says which of two overlapping shapes lies on top: with "source" the one with the higher z-order, of equals
    the later one; with "classes" the one of the higher id; with "size" the one that covers fewer pixels. Shapes that
    cover nothing are counted as lost, those that nothing is seen of as hidden. Raises LeftOutError where the image is
    not of the size that was annotated.
    """
    if page.painted is not None:
        return _recoded(page, page.painted, header, ids, losses)
    size, is_stored = _frame(page, page.size, header, losses)
    mask = _drawn(page, size, ids, order, losses)
    return np.ascontiguousarray(TURNS[header.orientation](mask)) if is_stored else mask


def _frame(
    page: Page, annotated: tuple[int, int] | None, header: ImageHeader, losses: Losses
) -> tuple[tuple[int, int], bool]:
    """Return the size in which the annotations are, and whether that is the image as stored and not as it is shown.

    Tools show an image upright. Only where the source's own size is that of the stored image was it annotated so.
    """
    stored = header.size[::-1] if header.orientation in _TRANSPOSED else header.size
    if annotated is not None and annotated not in (header.size, stored):
        height, width = annotated
        found = f"{header.size[0]} x {header.size[1]} px, where {height} x {width} px were annotated"
        raise LeftOutError("image-size", found)
    if header.orientation != 1 and (annotated is None or stored == header.size):
        losses.say("orientation-unsure", page.name, f"EXIF orientation {header.orientation}; drawn as it is shown")
    is_stored = annotated == stored != header.size
    return (stored if is_stored else header.size), is_stored


def _drawn(
    page: Page, size: tuple[int, int], ids: Mapping[str, int], order: Order, losses: Losses
) -> NDArray[np.uint8]:
    """Return the mask, by way of the number of the uppermost shape at each pixel."""
    known = []
    for shape in page.shapes:
        if shape.label in ids:
            known.append(shape)
        else:
            losses.say("label-unknown", page.name, f"a shape of {shape.label!r}")
    ordered = _ordered(known, size, ids, order)
    uppermost = np.zeros(size, np.int32)
    covering = []
    for number, shape in enumerate(ordered, start=1):
        try:
            patch = cover(shape.region, size)
        except ValueError as error:
            losses.say("shape-damaged", page.name, f"a shape of {shape.label!r} with {error}")
            continue
        if patch is None:
            losses.say("shape-outside", page.name, f"a shape of {shape.label!r} wholly outside")
        elif not patch.pixels.any():
            losses.say("shape-tiny", page.name, f"a shape of {shape.label!r} without one")
        else:
            uppermost[patch.rows, patch.columns][patch.pixels] = number
            covering.append(number)
            _remark(page, shape, size, losses)
    seen = np.bincount(uppermost.ravel(), minlength=len(ordered) + 1)
    for number in covering:
        if not seen[number]:
            losses.say("shape-hidden", page.name, f"a shape of {ordered[number - 1].label!r} covered by others")
    table = np.array([0, *(ids[shape.label] for shape in ordered)], np.uint8)
    return table[uppermost]


def _ordered(shapes: Sequence[Shape], size: tuple[int, int], ids: Mapping[str, int], order: Order) -> list[Shape]:
    """Return the shapes from the lowest to the uppermost."""
    by_source = sorted(shapes, key=lambda shape: shape.z)
    if order == "classes":
        return sorted(by_source, key=lambda shape: ids[shape.label])
    if order == "size":
        return sorted(by_source, key=lambda shape: -_pixels(shape, size))
    return by_source


def _pixels(shape: Shape, size: tuple[int, int]) -> int:
    try:
        patch = cover(shape.region, size)
    except ValueError:  # said when it is drawn
        return 0
    return 0 if patch is None else int(np.count_nonzero(patch.pixels))


def _remark(page: Page, shape: Shape, size: tuple[int, int], losses: Losses) -> None:
    left, top, right, bottom = bounds(shape.region)
    if left < -1 or top < -1 or right > size[1] + 1 or bottom > size[0] + 1:
        losses.say("shape-clipped", page.name, f"a shape of {shape.label!r} beyond the border")
    if shape.remark is not None:
        what = "a box" if shape.remark == "box-filled" else "a group"
        losses.say(shape.remark, page.name, f"{what} of {shape.label!r}")


def _recoded(
    page: Page, painted: Painted, header: ImageHeader, ids: Mapping[str, int], losses: Losses
) -> NDArray[np.uint8]:
    try:
        values = painted_values(painted)
    except ImageError as error:
        raise LeftOutError("mask-unreadable", said_of(painted.path, error)) from error
    size = values.shape[0], values.shape[1]
    _, is_stored = _frame(page, size, header, losses)
    distinct, places = np.unique(values, return_inverse=True)
    table = np.zeros(len(distinct), np.uint8)
    for position, value in enumerate(distinct.tolist()):
        label = painted.labels.get(value)
        shown = f"#{value:06x}" if painted.as_colours else str(value)
        if label is None:
            losses.say("mask-values", page.name, f"pixels of the value {shown}")
        elif label not in ids:
            losses.say("label-unknown", page.name, f"pixels of {label!r}")
        else:
            table[position] = ids[label]
    mask = table[places.reshape(size)]
    return np.ascontiguousarray(TURNS[header.orientation](mask)) if is_stored else mask
