"""The scale of each training image at which its reference's vessels are as wide as the recipe wants them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from statistics import median

import numpy as np
from numpy.typing import NDArray

from ocuseg.encoding import MaskEncoding
from ocuseg.errors import DataError
from ocuseg.field_of_view import find_field_of_view
from ocuseg.geometry import Preprocessing
from ocuseg.images import read_image, read_mask
from ocuseg.index import Record
from ocuseg.machine import usable_cores
from ocuseg.metrics import mean_width
from ocuseg.training.settings import PreprocessingSettings

__all__ = ["at_width", "typical_diameter", "usual_preprocessing"]

_log = logging.getLogger("ocuseg")

_LEAST, _MOST = 0.4, 2.5


def usual_preprocessing(
    settings: PreprocessingSettings,
    multiple: int,
    records: Sequence[Record],
    encoding: MaskEncoding,
    ignore_index: int | None = None,
) -> Preprocessing:
    """Return the preprocessing of a recipe for most images, its scale measured on the training images if need be.

    Where it is, prediction finds the scale of each image. Mean and deviation are left to whoever has the pixels. Raises
    DataError as `typical_diameter` does.
    """
    wanted = settings.model_dump(exclude={"mean", "std", "vessel_width_px"})
    if settings.vessel_width_px is not None:
        diameter = typical_diameter(
            records, encoding, settings.vessel_width_px, ignore_index=ignore_index, threads=usable_cores()
        )
        wanted |= {"field_of_view_diameter_px": diameter, "find_scale": True}
        _log.info("vessels are %g px wide where the field of view is %d", settings.vessel_width_px, diameter)
    return Preprocessing(**wanted, multiple=multiple)


def typical_diameter(
    records: Sequence[Record],
    encoding: MaskEncoding,
    width_px: float,
    *,
    ignore_index: int | None = None,
    threads: int = 4,
) -> int:
    """Return the width of the field of view, in pixels, at which vessels are `width_px` wide: the median of the images.

    Raises DataError where no reference shows any vessel.
    """

    def wanted(record: Record) -> float | None:
        image, mask = _read(record, encoding)
        return _diameter(image, mask, width_px, ignore_index)

    with ThreadPoolExecutor(max(1, threads)) as pool:
        found = [each for each in pool.map(wanted, records) if each is not None]
    if not found:
        raise DataError("'preprocessing.vessel_width_px' is given, but no training mask shows anything to measure")
    return round(median(found))


def at_width(
    preprocessing: Preprocessing,
    image: NDArray[np.uint8],
    mask: NDArray[np.uint8],
    width_px: float | None,
    ignore_index: int | None = None,
) -> Preprocessing:
    """Return the preprocessing at which the vessels of one image are `width_px` wide; as it is without a width.

    Widths are those of all classes but the background in the reference (`ocuseg.metrics.mean_width`). The scale is 0.4
    to 2.5 times the usual one, and the usual one where the reference is empty.
    """
    usual = preprocessing.field_of_view_diameter_px
    wanted = None if width_px is None or usual is None else _diameter(image, mask, width_px, ignore_index)
    if wanted is None or usual is None:
        return preprocessing
    return replace(preprocessing, field_of_view_diameter_px=round(min(max(wanted, _LEAST * usual), _MOST * usual)))


def _read(record: Record, encoding: MaskEncoding) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    if record.mask is None:
        raise DataError(f"{record.image}: has no mask; add one or leave the image out of the split")
    return read_image(record.image), encoding.decode(read_mask(record.mask), str(record.mask))


def _diameter(
    image: NDArray[np.uint8], mask: NDArray[np.uint8], width_px: float, ignore_index: int | None
) -> float | None:
    width = mean_width((mask > 0) & (mask != (0 if ignore_index is None else ignore_index)))
    if width is None:
        return None
    top, left, bottom, right = find_field_of_view(lambda start, stop: image[start:stop], mask.shape).box
    return width_px / width * max(bottom - top, right - left)
