"""Find the lit area of a photograph that a camera has surrounded with dark."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from ocuseg.resampling import ReadRows, resize_rows

__all__ = ["FieldOfView", "bounding_box", "estimate_field_of_view", "find_field_of_view"]

_ESTIMATE_SIDE_PX = 600
_SMALLEST_ESTIMATE_PX = 16
_BAND_ROWS = 256


@dataclass(frozen=True, eq=False)
class FieldOfView:
    """The lit area of a photograph of `size` (height, width), given by its rows as it is never held whole.

    `small` is the area on a picture reduced `factor` times, None where everything counts as lit; `margin_px` is the
    width of a square rim around the area.
    """

    size: tuple[int, int]
    small: NDArray[np.bool_] | None
    factor: int = 1
    margin_px: int = 0

    def rows(self, top: int, bottom: int) -> NDArray[np.bool_]:
        """Return rows `top` to `bottom` of the area as (bottom - top, width)."""
        if self.small is None:
            return np.ones((bottom - top, self.size[1]), np.bool_)
        above, below = max(0, top - self.margin_px), min(self.size[0], bottom + self.margin_px)
        if self.factor == 1:
            area = self.small[above:below]
        else:
            # `reduce` made blocks of `factor` pixels, the last ones cut off: enlarge to whole blocks, then cut.
            levels = self.small.astype(np.uint8) * 255
            blocks = (levels.shape[0] * self.factor, levels.shape[1] * self.factor)
            enlarged = resize_rows(lambda start, stop: levels[start:stop], levels.shape, blocks, above, below)
            area = enlarged[:, : self.size[1]] > 127
        if self.margin_px:
            area = _widened(area, self.margin_px)
        return area[top - above : bottom - above]

    def sampled(self, box: tuple[int, int, int, int], size: tuple[int, int]) -> NDArray[np.bool_]:
        """Return whether the area, without its rim, is at the pixels of its `box` resized to `size` (h, w)."""
        if self.small is None:
            return np.ones(size, np.bool_)
        top, left, bottom, right = box
        rows, columns = (
            (start + (np.arange(count) + 0.5) * (stop - start) / count).astype(np.intp) // self.factor
            for start, stop, count in ((top, bottom, size[0]), (left, right, size[1]))
        )
        return self.small[rows[:, None], columns[None, :]]

    @functools.cached_property
    def box(self) -> tuple[int, int, int, int]:
        """The (top, left, bottom, right) of the area, for which all of its rows are gone through, once."""
        if self.small is None:
            return 0, 0, *self.size
        top, bottom, columns = self.size[0], 0, np.zeros(self.size[1], np.bool_)
        for start in range(0, self.size[0], _BAND_ROWS):
            area = self.rows(start, min(start + _BAND_ROWS, self.size[0]))
            lit = np.flatnonzero(area.any(axis=1))
            if lit.size:
                top, bottom = min(top, start + int(lit[0])), start + int(lit[-1]) + 1
            columns |= area.any(axis=0)
        across = np.flatnonzero(columns)
        return top, int(across[0]), bottom, int(across[-1]) + 1


def find_field_of_view(read: ReadRows, size: tuple[int, int]) -> FieldOfView:
    """Return the lit area of a photograph (height, width, 3) of uint8 with a dark surround, of which `read` gives rows.

    It is everything where no such surround is seen. The brightest colour of each pixel is thresholded a little above
    the level of the dark corners, on a picture reduced to at most 600 px. The largest component, filled and smoothed,
    is the field of view if it is compact and what lies outside is evenly dark, as the mask of a fundus camera is, and
    not a dark part of the scene.
    """
    from PIL import Image

    factor = math.ceil(max(size) / _ESTIMATE_SIDE_PX)
    if min(size) < _SMALLEST_ESTIMATE_PX or min(size) // factor < _SMALLEST_ESTIMATE_PX:
        return FieldOfView(size, None)
    step = factor * max(1, _BAND_ROWS // factor)
    bands = (np.ascontiguousarray(read(top, min(top + step, size[0]))) for top in range(0, size[0], step))
    if factor > 1:
        bands = (np.asarray(Image.fromarray(band).reduce(factor)) for band in bands)
    small = _lit_area(np.concatenate(list(bands)))
    return FieldOfView(size, small, factor)


def estimate_field_of_view(image: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return the lit area (H, W) of a photograph (H, W, 3), as `find_field_of_view` sees it."""
    height, width = image.shape[:2]
    return find_field_of_view(lambda top, bottom: image[top:bottom], (height, width)).rows(0, height)


def bounding_box(area: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """Return (top, left, bottom, right) of the True pixels of `area` (H, W), of which there must be one."""
    rows, columns = np.flatnonzero(area.any(axis=1)), np.flatnonzero(area.any(axis=0))
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1


def _widened(area: NDArray[np.bool_], margin_px: int) -> NDArray[np.bool_]:
    """Return an area (H, W) with a square rim of `margin_px` around it."""
    from scipy.ndimage import maximum_filter1d

    rows = maximum_filter1d(area.view(np.uint8), 2 * margin_px + 1, axis=0)
    return cast("NDArray[np.bool_]", maximum_filter1d(rows, 2 * margin_px + 1, axis=1).view(np.bool_))


def _lit_area(image: NDArray[np.uint8]) -> NDArray[np.bool_] | None:
    from scipy import ndimage

    brightness = _median_of_nine(np.maximum(np.maximum(image[..., 0], image[..., 1]), image[..., 2]))
    side = max(2, min(brightness.shape) // 40)
    corners = [
        brightness[rows, columns]
        for rows in (slice(side), slice(-side, None))
        for columns in (slice(side), slice(-side, None))
    ]
    levels = sorted(float(np.median(corner)) for corner in corners)
    surround = levels[1]  # two dark corners are enough: one side of a photograph may be cut off
    bright = float(np.percentile(brightness, 90))
    threshold = surround + max(6.0, 0.1 * (bright - surround))
    if bright <= threshold:
        return None
    labels, count = ndimage.label(brightness > threshold)
    if count == 0:
        return None
    largest = int(np.argmax(np.bincount(labels.ravel())[1:])) + 1
    area = _filled(labels == largest)
    area = ndimage.gaussian_filter(area.astype(np.float32), min(2.0, min(area.shape) / 200)) > 0.5
    if not area.any():
        return None
    return area if _looks_like_field_of_view(area, brightness, surround, bright) else None


def _looks_like_field_of_view(
    area: NDArray[np.bool_], brightness: NDArray[np.uint8], surround: float, bright: float
) -> bool:
    outside = brightness[~area]
    if outside.size < 0.01 * area.size or area.mean() < 0.15:
        return False
    top, left, bottom, right = bounding_box(area)
    compact = area[top:bottom, left:right].mean() > 0.7
    even = float(np.percentile(outside, 90)) - float(np.percentile(outside, 10)) < max(8.0, 0.08 * (bright - surround))
    return bool(compact and even and surround < 0.25 * bright)


def _filled(area: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return an area (H, W) without holes: what is not in it and does not reach the border is."""
    from scipy import ndimage

    labels, count = ndimage.label(~area)
    inside = np.ones(count + 1, np.bool_)  # the area itself has the label 0
    for edge in (labels[0], labels[-1], labels[:, 0], labels[:, -1]):
        inside[edge[edge > 0]] = False
    return cast("NDArray[np.bool_]", inside[labels])


def _median_of_nine(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the median (H, W) of each pixel and its eight neighbours, borders mirrored, as SciPy's `median_filter`.

    Forty times as fast, by whole arrays: each column of three is sorted, and the median of the nine is that of the
    highest of the low ones, the median of the middle ones and the lowest of the high ones.
    """
    padded = np.pad(image, 1, mode="symmetric")
    low, middle, high = _sorted_three(padded[:-2], padded[1:-1], padded[2:])
    left, centre, right = (slice(0, -2), slice(1, -1), slice(2, None))
    lowest = np.maximum(np.maximum(low[:, left], low[:, centre]), low[:, right])
    highest = np.minimum(np.minimum(high[:, left], high[:, centre]), high[:, right])
    _, middle, _ = _sorted_three(middle[:, left], middle[:, centre], middle[:, right])
    return _sorted_three(lowest, middle, highest)[1]


def _sorted_three(
    first: NDArray[np.uint8], second: NDArray[np.uint8], third: NDArray[np.uint8]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]:
    """Return the lowest, the middle and the highest of three values at each place."""
    low, high = np.minimum(first, second), np.maximum(first, second)
    return np.minimum(low, third), np.maximum(low, np.minimum(high, third)), np.maximum(high, third)
