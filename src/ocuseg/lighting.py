"""Even light: the local mean and spread of each colour of a photograph are brought to one and the same."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ocuseg.field_of_view import FieldOfView
from ocuseg.resampling import ReadRows, resize, resize_rows

__all__ = ["Lighting", "measure_lighting"]

_SIDE_PX = 256
_READ_ROWS = 256
_LEVEL, _CONTRAST = 128.0, 42.0  # three standard deviations either way are kept
_FAINTEST = 2.0  # grey levels of spread, so that noise in an even area is not made a picture
_GREEN = 1
_LEAST_SHARE = 1e-3  # of a window that is lit, for its mean to be taken


@dataclass(frozen=True, slots=True, eq=False)
class Lighting:
    """The light of a picture: its local `mean` and `spread` (h, w, 3) float32, on the scale 0 to 255.

    `lit` (h, w) float32 is 1 inside the lit area and 0 outside and at its rim, which would else look like a vessel.
    """

    mean: NDArray[np.float32]
    spread: NDArray[np.float32]
    lit: NDArray[np.float32]

    def even(self, rows: NDArray[np.uint8], top: int, size: tuple[int, int]) -> NDArray[np.uint8]:
        """Return rows (n, w, 3), the first of which is `top`, of the picture at any `size` (h, w), in even light.

        What is not lit becomes as grey as the mean. Rows (n, w) are those of green alone.
        """
        lit = _enlarged(self.lit, size, top, top + len(rows))

        def evened(values: NDArray[np.uint8], colour: int) -> NDArray[np.uint8]:
            mean, spread = (
                _enlarged(light[..., colour], size, top, top + len(rows)) for light in (self.mean, self.spread)
            )
            levels = (values - mean) * (_CONTRAST / spread) * lit + _LEVEL
            level: NDArray[np.uint8] = np.clip(np.rint(levels), 0, 255).astype(np.uint8)
            return level

        if rows.ndim == 2:
            return evened(rows, _GREEN)
        return np.stack([evened(rows[..., colour], colour) for colour in range(3)], axis=2)


def measure_lighting(read: ReadRows, box: tuple[int, int, int, int], area: FieldOfView, window: float) -> Lighting:
    """Return the light of the `box` (top, left, bottom, right) of a photograph, of which `read` gives rows (n, W, 3).

    Mean and standard deviation are those under a Gaussian whose standard deviation is `window` of the box's longer
    side, of the pixels in the lit `area`, on the box reduced to at most 256 px. After Foracchia et al. 2005,
    doi:10.1016/j.media.2004.07.001, who estimate the light of a fundus photograph from its background alone.
    """
    picture, lit = _reduced(read, box, area)
    smooth = _Gaussian(lit.shape, window * max(lit.shape))
    share = smooth(lit)
    near = share > _LEAST_SHARE * smooth(np.ones_like(lit))

    def local(values: NDArray[np.float64]) -> NDArray[np.float64]:
        overall = float((values * lit).sum() / lit.sum())
        return np.where(near, smooth(values * lit) / np.where(near, share, 1.0), overall)

    mean, spread = np.empty(picture.shape, np.float32), np.empty(picture.shape, np.float32)
    for colour in range(3):
        values = picture[..., colour]
        level = local(values)
        mean[..., colour] = level
        spread[..., colour] = np.sqrt(local(np.square(values - level))) + _FAINTEST
    return Lighting(mean, spread, _without_rim(lit))


class _Gaussian:
    """Sums under a Gaussian at each pixel of a map (h, w): two products of matrices, quick for maps this small."""

    def __init__(self, size: tuple[int, ...], deviation_px: float) -> None:
        self._down, self._across = (_weights(length, deviation_px) for length in size)

    def __call__(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        sums: NDArray[np.float64] = self._down @ values @ self._across
        return sums


def _weights(length: int, deviation_px: float) -> NDArray[np.float64]:
    distances = np.subtract.outer(np.arange(length), np.arange(length)) / max(deviation_px, 1e-6)
    weights: NDArray[np.float64] = np.exp(-np.square(distances) / 2)
    return weights


def _reduced(
    read: ReadRows, box: tuple[int, int, int, int], area: FieldOfView
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The box of a photograph (h, w, 3), and 1 where all of a pixel is lit, else 0 (h, w); 1 everywhere if none is."""
    from PIL import Image

    top, left, bottom, right = box
    factor = max(1, math.ceil(max(bottom - top, right - left) / _SIDE_PX))
    step = factor * max(1, _READ_ROWS // factor)
    pictures, lit = [], []
    for start in range(top, bottom, step):
        stop = min(start + step, bottom)
        rows = np.ascontiguousarray(read(start, stop)[:, left:right])
        seen = area.rows(start, stop)[:, left:right].astype(np.uint8) * 255
        pictures.append(np.asarray(Image.fromarray(rows).reduce(factor), np.float64))
        lit.append(np.asarray(Image.fromarray(seen).reduce(factor)) == 255)
    inside = np.concatenate(lit)
    return np.concatenate(pictures), (inside if inside.any() else ~inside).astype(np.float64)


def _without_rim(lit: NDArray[np.float64]) -> NDArray[np.float32]:
    """The lit area (h, w) less the pixels at its rim; the border of the picture is none."""
    from PIL import Image, ImageFilter

    levels = np.pad((lit * 255).astype(np.uint8), 1, mode="edge")
    inner = np.asarray(Image.fromarray(levels).filter(ImageFilter.MinFilter(3)))[1:-1, 1:-1]
    return np.ascontiguousarray(inner, np.float32) / np.float32(255)


def _enlarged(light: NDArray[np.float32], size: tuple[int, int], top: int, bottom: int) -> NDArray[np.float32]:
    """Rows `top` to `bottom` of a map (h, w) at another size, bilinear."""
    contiguous = np.ascontiguousarray(light)
    if (top, bottom) == (0, size[0]):
        return resize(contiguous, size)
    rows: NDArray[np.float32] = resize_rows(lambda start, stop: contiguous[start:stop], light.shape, size, top, bottom)
    return rows
