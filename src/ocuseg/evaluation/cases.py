"""One record to arrays that can be compared: image, reference, region, second observer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ocuseg.classes import Classes
from ocuseg.encoding import MaskEncoding
from ocuseg.errors import DataError, ImageError
from ocuseg.images import read_field_of_view, read_image, read_mask
from ocuseg.index.records import Record

__all__ = ["Case", "RegionRule", "read_case", "read_reference"]

RegionRule = Literal["field_of_view", "image"]


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """The arrays of one record at the image's own size, and what could not be read of it.

    `region` is None where every pixel counts. `second` and `second_region` are None without a second observer;
    `problem` says why a second mask that should be there is not.
    """

    record: Record
    image: NDArray[np.uint8]
    reference: NDArray[np.uint8]
    region: NDArray[np.bool_] | None
    second: NDArray[np.uint8] | None = None
    second_region: NDArray[np.bool_] | None = None
    problem: str | None = None


def read_case(
    record: Record, encoding: MaskEncoding, classes: Classes, *, region: RegionRule, second_observer: bool = False
) -> Case:
    """Return the arrays of a record; only pixels in the field of view (if any) that are not ignored count.

    Raises DataError where a file cannot be read, the sizes differ or a mask holds a class that `classes` lacks.
    """
    image = read_image(record.image)
    height, width = image.shape[:2]
    field_of_view = None
    if region == "field_of_view" and record.field_of_view is not None:
        field_of_view = read_field_of_view(record.field_of_view)
        _require_size(field_of_view.shape, (height, width), record, str(record.field_of_view))
    reference = read_reference(record, encoding)
    _require_size(reference.shape, (height, width), record, str(record.mask))
    counted = _counted(reference, field_of_view, classes, str(record.mask))
    if not second_observer or record.second_mask is None:
        return Case(record, image, reference, counted)
    try:
        second = encoding.decode(read_mask(record.second_mask), str(record.second_mask))
        _require_size(second.shape, (height, width), record, str(record.second_mask))
        both = _counted(second, counted, classes, str(record.second_mask))
    except DataError as error:
        return Case(record, image, reference, counted, problem=str(error))
    return Case(record, image, reference, counted, second, both)


def read_reference(record: Record, encoding: MaskEncoding) -> NDArray[np.uint8]:
    """Return the mask (H, W) of a record as class ids. Raises DataError where it has none or it cannot be read."""
    if record.mask is None:
        raise DataError(f"{record.image}: has no mask to be compared with; add it, or leave the image out")
    return encoding.decode(read_mask(record.mask), str(record.mask))


def _counted(
    mask: NDArray[np.uint8], region: NDArray[np.bool_] | None, classes: Classes, where: str
) -> NDArray[np.bool_] | None:
    """The region less the ignored id, whose other pixels are all known classes."""
    if classes.ignore_index is not None and (ignored := mask == classes.ignore_index).any():
        region = ~ignored if region is None else region & ~ignored
    inside = mask if region is None else mask[region]
    highest = int(inside.max()) if inside.size else 0
    if highest >= len(classes):
        raise ImageError(
            f"{where}: holds the class {highest}, but the model knows only 0 to {len(classes) - 1} "
            f"({', '.join(classes.names)}); evaluate a model of these classes, or correct the mask"
        )
    return region


def _require_size(found: tuple[int, ...], expected: tuple[int, int], record: Record, where: str) -> None:
    if found != expected:
        raise ImageError(
            f"{where}: is {found[1]} x {found[0]} pixels, but its image {record.image.name} is "
            f"{expected[1]} x {expected[0]}; save both in one size"
        )
