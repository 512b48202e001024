"""What pictures a model was made for, by plain features that are kept of them, and how others differ."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ocuseg.field_of_view import FieldOfView
from ocuseg.resampling import ReadRows, resize_rows

__all__ = [
    "FEATURES",
    "Feature",
    "MadeFor",
    "count_foreground",
    "differences",
    "features",
    "learn_features",
]

MadeFor = Sequence[Mapping[str, float]]
"""The features of pictures that a model was made for, of each of them those that are defined."""


class Feature(NamedTuple):
    """How far a picture may lie below and above one that is known, and what it is called beyond that."""

    margins: tuple[float, float]
    words: tuple[str, str]


FEATURES = {
    "brightness": Feature((0.9, 0.9), ("darker", "brighter")),
    "red": Feature((0.62, 0.62), ("less red", "redder")),
    "blue": Feature((1.9, 1.9), ("less blue", "bluer")),
    "saturation": Feature((0.38, 0.38), ("paler", "more colourful")),
    "variety": Feature((0.75, 0.75), ("more even in colour", "more varied in colour")),
    "structure": Feature((0.62, 0.62), ("flatter", "richer in contrast")),
    "fineness": Feature((0.62, 0.62), ("smoother", "more finely textured")),
    "centre": Feature((0.9, 0.9), ("darker in the centre", "brighter in the centre")),
    "foreground": Feature((0.75, 0.75), ("less found", "more found")),
    # There is nothing wrong with more than was learnt from.
    "sharpness": Feature((0.25, 1.0), ("less certain", "more certain")),
}
"""The features, the margins that other cameras and people need, measured on all sets at hand, and the words."""

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


def learn_features(rows: Iterable[Mapping[str, float]]) -> list[dict[str, float]]:
    """Return the features of pictures as they are kept: to three digits behind the point, each set of them once."""
    kept = [{name: round(value, 3) for name, value in row.items() if name in FEATURES} for row in rows]
    return [row for place, row in enumerate(kept) if row and row not in kept[:place]]


def differences(found: Mapping[str, float], made_for: MadeFor) -> tuple[str, ...]:
    """Return in words how a picture differs from all those that a model was made for, the farthest off first.

    It is like one of them if each feature lies within its margin of that one's; then, or where `made_for` is empty,
    nothing is returned. Else it is compared with the nearest, that with the smallest of the largest deviations, in
    margins. A feature that either of them lacks is not compared.
    """
    nearest = min((_deviations(found, known) for known in made_for), key=_farthest, default={})
    beyond = {word: deviation for word, deviation in nearest.items() if deviation > 1}
    return tuple(sorted(beyond, key=lambda word: -beyond[word]))


def _deviations(found: Mapping[str, float], known: Mapping[str, float]) -> dict[str, float]:
    """How far each feature is from that of a known picture, in margins, by the word for it."""
    deviations = {}
    for name, feature in FEATURES.items():
        if name in found and name in known:
            above = found[name] > known[name]
            deviations[feature.words[above]] = abs(found[name] - known[name]) / feature.margins[above]
    return deviations


def _farthest(deviations: Mapping[str, float]) -> float:
    return max(deviations.values(), default=0.0)


def _reduced(read: ReadRows, area: FieldOfView) -> tuple[NDArray[Any], NDArray[np.bool_], float]:
    """The picture (h, w, 3) in 0 to 1, the lit area (h, w) in it, and about how many pixels that has in full size."""
    top, left, bottom, right = area.box
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
