"""Find the lit area of a photograph that a camera has surrounded with dark."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["bounding_box", "estimate_field_of_view"]

_ESTIMATE_SIDE_PX = 600
_SMALLEST_ESTIMATE_PX = 16


def estimate_field_of_view(image: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return the lit area (H, W) of a photograph with a dark surround; all True where no such surround is seen.

    The brightest colour of each pixel is thresholded a little above the level of the dark corners, on a picture
    reduced to at most 600 px. The largest component, filled and smoothed, is the field of view if it is compact and
    what lies outside is evenly dark, as the mask of a fundus camera is, and not a dark part of the scene.
    """
    from PIL import Image

    height, width = image.shape[:2]
    everywhere = np.ones((height, width), np.bool_)
    if min(height, width) < _SMALLEST_ESTIMATE_PX:
        return everywhere
    picture = Image.fromarray(np.ascontiguousarray(image))
    factor = math.ceil(max(height, width) / _ESTIMATE_SIDE_PX)
    if min(height, width) // factor < _SMALLEST_ESTIMATE_PX:
        return everywhere
    small = _lit_area(np.asarray(picture.reduce(factor) if factor > 1 else picture))
    if small is None:
        return everywhere
    if factor == 1:
        return small
    # `reduce` makes blocks of `factor` pixels, the last ones cut off: enlarge to whole blocks, then cut.
    blocks = (small.shape[1] * factor, small.shape[0] * factor)
    enlarged = Image.fromarray(small.astype(np.uint8) * 255).resize(blocks, Image.Resampling.BILINEAR)
    return np.asarray(enlarged)[:height, :width] > 127


def bounding_box(area: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """Return (top, left, bottom, right) of the True pixels of `area` (H, W), of which there must be one."""
    rows, columns = np.flatnonzero(area.any(axis=1)), np.flatnonzero(area.any(axis=0))
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1


def _lit_area(image: NDArray[np.uint8]) -> NDArray[np.bool_] | None:
    from scipy import ndimage

    brightness = ndimage.median_filter(image.max(axis=2), size=3)
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
    area = ndimage.binary_fill_holes(labels == largest)
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
