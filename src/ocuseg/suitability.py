"""What pictures a model was made for: ranges of plain features, learnt when it is made, and how others differ."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ocuseg.field_of_view import FieldOfView
from ocuseg.resampling import ReadRows, resize_rows

__all__ = [
    "FEATURES",
    "Feature",
    "Ranges",
    "count_foreground",
    "differences",
    "features",
    "learn_ranges",
    "merge_ranges",
]

Ranges = Mapping[str, tuple[float, float]]
"""The lowest and the highest value of each feature that a picture may have."""


class Feature(NamedTuple):
    """How far a picture may lie below and above all that were learnt from, and what it is called beyond that."""

    margins: tuple[float, float]
    words: tuple[str, str]


FEATURES = {
    "brightness": Feature((0.7, 0.7), ("darker", "brighter")),
    "red": Feature((0.5, 0.5), ("less red", "redder")),
    "blue": Feature((1.5, 1.5), ("less blue", "bluer")),
    "saturation": Feature((0.3, 0.3), ("paler", "more colourful")),
    "variety": Feature((0.6, 0.6), ("more even in colour", "more varied in colour")),
    "structure": Feature((0.5, 0.5), ("flatter", "richer in contrast")),
    "fineness": Feature((0.5, 0.5), ("smoother", "more finely textured")),
    "centre": Feature((0.7, 0.7), ("darker in the centre", "brighter in the centre")),
    "foreground": Feature((0.6, 0.6), ("less found", "more found")),
    # There is nothing wrong with more than was learnt from.
    "sharpness": Feature((0.2, 1.0), ("less certain", "more certain")),
}
"""The features, the margins that other cameras need, measured on two sets of fundus photographs, and the words."""

_SIDE_PX = 128
_FINE_PX, _COARSE_PX = 1.5, 8.0
_CENTRE = 0.25
_LEVELS = (0.25, 0.5, 0.75)


def features(read: ReadRows, area: FieldOfView, levels: NDArray[np.int64]) -> dict[str, float]:
    """Return the `FEATURES` of a photograph, of which `read` gives the rows (n, W, 3) uint8, and of its prediction.

    They are those of its lit `area`, brought to 128 px at the longer side, with colours from 0 to 1 and their mean as
    the grey. Logarithms are natural.

    - `brightness`: the logarithm of the mean grey.
    - `red`, `blue`: the logarithm of red, and of blue, over green in the mean colour.
    - `saturation`: the mean of the largest less the smallest colour of a pixel, over that of the largest.
    - `variety`: the logarithm of the spread of the colours' shares in a pixel, from pixel to pixel.
    - `structure`: the logarithm of the contrast of what is between 1.5 and 8 px wide (Gaussians); contrast is the
      spread of the logarithm of the grey.
    - `fineness`: the logarithm of the contrast of what is finer, over that.
    - `centre`: the logarithm of the mean grey up to a quarter of the shorter side from the centre, over that elsewhere.

    Of the prediction, by its `count_foreground`:

    - `foreground`: the logarithm of the share of the area with a probability from .5 on.
    - `sharpness`: the pixels from .75 on over those from .25 on; left out where there are none.

    Small numbers are added where something could be zero, so that all others are always defined.
    """
    picture, seen, pixels = _reduced(read, area)
    red, green, blue = (picture[..., colour] for colour in range(3))  # by whole planes: sums over three are slow
    grey = (red + green + blue) / 3
    colours = [plane[seen] for plane in (red, green, blue)]
    mean = [float(colour.mean()) + 0.01 for colour in colours]
    largest = np.maximum(np.maximum(colours[0], colours[1]), colours[2])
    smallest = np.minimum(np.minimum(colours[0], colours[1]), colours[2])
    total = colours[0] + colours[1] + colours[2] + 0.05
    variety = sum(float((colour / total).std()) for colour in colours) / 3
    brightness = float(grey[seen].mean())
    light = np.log(grey + 0.05)
    smooth, coarse = _smoothed(light, seen, _FINE_PX), _smoothed(light, seen, _COARSE_PX)
    fine, middle = (float(part[seen].std()) + 0.005 for part in (light - smooth, smooth - coarse))
    found = {
        "brightness": math.log(brightness + 0.02),
        "red": math.log(mean[0] / mean[1]),
        "blue": math.log(mean[2] / mean[1]),
        "saturation": float((largest - smallest).mean() / max(largest.mean(), 0.001)),
        "variety": math.log(variety + 0.01),
        "structure": math.log(middle),
        "fineness": math.log(fine / middle),
        "centre": _centre(grey, seen),
        "foreground": math.log(levels[1] / pixels + 0.003),
    }
    if levels[0]:
        found["sharpness"] = float(levels[2] / levels[0])
    return found


def count_foreground(probabilities: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return how many pixels of probabilities (C, H, W) are foreground from .25, .5 and .75 on (3,).

    Of one channel it is that of class 1, of more the sum of all but class 0. The counts of parts can be added.
    """
    foreground = probabilities[0] if len(probabilities) == 1 else 1 - probabilities[0]
    return np.array([np.count_nonzero(foreground >= level) for level in _LEVELS], np.int64)


def learn_ranges(rows: Iterable[Mapping[str, float]]) -> dict[str, tuple[float, float]]:
    """Return the ranges that the features of these pictures span, widened by the margins of `FEATURES`."""
    values: dict[str, list[float]] = {}
    for row in rows:
        for name, value in row.items():
            values.setdefault(name, []).append(value)
    return {
        name: (round(min(found) - FEATURES[name].margins[0], 3), round(max(found) + FEATURES[name].margins[1], 3))
        for name, found in values.items()
    }


def merge_ranges(parts: Iterable[Ranges]) -> dict[str, tuple[float, float]]:
    """Return the ranges that hold what any of these ranges hold."""
    merged: dict[str, tuple[float, float]] = {}
    for part in parts:
        for name, (low, high) in part.items():
            before = merged.get(name, (low, high))
            merged[name] = (min(low, before[0]), max(high, before[1]))
    return merged


def differences(found: Mapping[str, float], ranges: Ranges) -> tuple[str, ...]:
    """Return in words how a picture differs from those that `ranges` were learnt from, the farthest off first.

    Nothing where all of its features lie inside their ranges; a feature without a range is not compared.
    """
    excess: dict[str, float] = {}
    for name, (low, high) in ranges.items():
        if name in found and name in FEATURES and not low <= found[name] <= high:
            above = found[name] > high
            beyond = found[name] - high if above else low - found[name]
            excess[FEATURES[name].words[above]] = beyond / FEATURES[name].margins[above]
    return tuple(sorted(excess, key=lambda word: -excess[word]))


def _reduced(read: ReadRows, area: FieldOfView) -> tuple[NDArray[Any], NDArray[np.bool_], float]:
    """The picture (h, w, 3) in 0 to 1, the lit area (h, w) in it, and about how many pixels that has in full size."""
    top, left, bottom, right = area.box()
    box = (bottom - top, right - left)
    scale = _SIDE_PX / max(box)
    size = (max(1, round(box[0] * scale)), max(1, round(box[1] * scale)))

    def picture(start: int, stop: int) -> NDArray[np.uint8]:
        return read(top + start, top + stop)[:, left:right]

    def lit(start: int, stop: int) -> NDArray[np.uint8]:
        return area.rows(top + start, top + stop)[:, left:right] * np.uint8(255)

    seen = resize_rows(lit, box, size, 0, size[0]) > 127
    seen |= not seen.any()
    return resize_rows(picture, box, size, 0, size[0]) / 255, seen, float(seen.mean() * box[0] * box[1])


def _smoothed(light: NDArray[Any], seen: NDArray[np.bool_], width_px: float) -> NDArray[Any]:
    """`light` (h, w) under a Gaussian that looks at what is seen alone."""
    from scipy.ndimage import gaussian_filter

    weights = gaussian_filter(seen.astype(np.float64), width_px)
    smoothed: NDArray[Any] = gaussian_filter(np.where(seen, light, 0.0), width_px) / np.maximum(weights, 0.001)
    return smoothed


def _centre(grey: NDArray[Any], seen: NDArray[np.bool_]) -> float:
    height, width = grey.shape
    down, across = np.ogrid[0.5 - height / 2 : height / 2, 0.5 - width / 2 : width / 2]
    near = np.hypot(down, across) < _CENTRE * min(height, width)
    inner, outer = grey[seen & near], grey[seen & ~near]
    if not inner.size or not outer.size:
        return 0.0
    return math.log((inner.mean() + 0.02) / (outer.mean() + 0.02))
