"""Measures of the vessels in a mask: how much of the field of view they cover, how long and how wide they are."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ocuseg.field_of_view import FieldOfView
from ocuseg.metrics.overlap import number
from ocuseg.metrics.threads import skeleton_of
from ocuseg.resampling import ReadRows, resize_rows

__all__ = ["VESSEL_COLUMNS", "vessel_measures"]

VESSEL_COLUMNS = (
    "field_of_view_diameter_px",
    "vessel_density",
    "skeleton_length_px",
    "skeleton_density",
    "mean_width_px",
    "mean_width_share",
)

_DIAMETER_PX = 1000
_BLOCK_PX = 1 << 20


def vessel_measures(read: ReadRows, area: FieldOfView) -> dict[str, Any]:
    """Return the `VESSEL_COLUMNS` of a mask, of which `read` gives the rows (n, W), with 1 for vessel.

    Only pixels in the field of view, `area`, count; its diameter is the longer side of its box. After Chu et al. 2016
    (J. Biomed. Opt. 21(6), doi:10.1117/1.JBO.21.6.066008), who measure vessels in angiograms:

    - `vessel_density`, 0 to 1: vessel pixels over pixels of the field of view (their vessel area density).
    - `skeleton_length_px`: the pixels of the skeleton, in pixels of the image. The skeleton is that of the mask reduced
      to a field of view of 1,000 px, where it is larger, so that what is found in large photographs is measured alike.
      As with Chu, a diagonal step counts as one pixel: a straight vessel is measured short by up to 29 %, by 10 % on
      average over its directions.
    - `skeleton_density`: pixels of the skeleton over those of the field of view, both as they would be if its diameter
      were 1,000 px (their vessel skeleton density, which only so can be compared between cameras).
    - `mean_width_px`: vessel pixels over skeleton length, in pixels of the image (their vessel diameter index), and
      `mean_width_share`, the same over the diameter. None where there is no skeleton.

    Memory is bounded, whatever the size of the mask.
    """
    top, left, bottom, right = area.box
    box = (bottom - top, right - left)
    diameter = max(box)

    def lit(start: int, stop: int) -> NDArray[np.uint8]:
        return area.rows(top + start, top + stop)[:, left:right] * np.uint8(255)

    def vessels(start: int, stop: int) -> NDArray[np.uint8]:
        inside = read(top + start, top + stop)[:, left:right] == 1
        return np.where(inside, lit(start, stop), np.uint8(0))

    lit_px = vessel_px = 0
    step = max(1, _BLOCK_PX // box[1])
    for start in range(0, box[0], step):
        stop = min(start + step, box[0])
        lit_px += int(np.count_nonzero(lit(start, stop)))
        vessel_px += int(np.count_nonzero(vessels(start, stop)))
    scale = min(1.0, _DIAMETER_PX / diameter)
    size = (max(1, round(box[0] * scale)), max(1, round(box[1] * scale)))
    skeleton_px = int(np.count_nonzero(skeleton_of(resize_rows(vessels, box, size, 0, size[0]) > 127)))
    length_px = skeleton_px / scale
    width_px = vessel_px / length_px if skeleton_px else None
    found = {
        "vessel_density": vessel_px / lit_px,
        "skeleton_length_px": length_px,
        "skeleton_density": length_px / lit_px * diameter / _DIAMETER_PX,
        "mean_width_px": width_px,
        "mean_width_share": None if width_px is None else width_px / diameter,
    }
    rounded = {name: None if value is None else number(value) for name, value in found.items()}
    return {"field_of_view_diameter_px": diameter} | rounded
