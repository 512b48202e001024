"""A picture resized whole or band by band, with the same result bit for bit."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

__all__ = ["ReadRows", "resize", "resize_rows", "rows_needed"]

ReadRows = Callable[[int, int], NDArray[Any]]
"""Gives the rows from the first number up to, not including, the second: (n, w) or (n, w, 3), uint8 or float32."""

_T = TypeVar("_T", bound=np.generic)

# The rows of the source that are read at once.
_READ_PX = 1 << 22
# The sums that are made at once.
_SUM_VALUES = 1 << 17
# Pillow weighs bytes in fixed point with this many bits (Resample.c).
_FIXED_BITS = 22


def resize(picture: NDArray[_T], size: tuple[int, int]) -> NDArray[_T]:
    """Return a picture (H, W) or (H, W, 3) of uint8 or float32 at another size (height, width), never the same array.

    Bilinear, antialiased where it is reduced, columns before rows: from version 13 on Pillow itself takes the rows
    first where the height is reduced more, and a model must see the same pixels whatever the version.
    """
    from PIL import Image

    bilinear = Image.Resampling.BILINEAR
    narrow = Image.fromarray(np.ascontiguousarray(picture)).resize((size[1], picture.shape[0]), bilinear)
    return cast("NDArray[_T]", np.asarray(narrow.resize(size[::-1], bilinear)))


def resize_rows(
    read: ReadRows, source: tuple[int, int], target: tuple[int, int], top: int, bottom: int
) -> NDArray[Any]:
    """Return rows `top` to `bottom` of a picture of the size `source` as `resize` brings it to `target`.

    The sizes are (height, width). Rows are weighed by the arithmetic of Pillow's Resample.c. `read` is asked for the
    rows that these need, and for no more at once than some four million pixels or one row of the result call for.
    """
    if source[0] == target[0]:
        return _resize_columns(read(top, bottom), target[1])
    first, weights = _row_weights(source[0], target[0], top, bottom)
    step = max(1, math.floor(_READ_PX / source[1] * target[0] / source[0]))
    parts = []
    for start in range(0, bottom - top, step):
        part = slice(start, start + step)
        begin = int(first[part][0])
        end = min(int(first[part][-1]) + weights.shape[1], source[0])
        rows = _resize_columns(read(begin, end), target[1])
        parts.append(_weighted(rows, first[part] - begin, weights[part]))
    return np.concatenate(parts) if len(parts) > 1 else parts[0]


def rows_needed(source: int, target: int, top: int, bottom: int) -> tuple[int, int]:
    """Return the rows of a picture, the first and one after the last, that `resize_rows` asks for at the most."""
    if source == target:
        return top, bottom
    first, weights = _row_weights(source, target, top, bottom)
    return int(first[0]), min(int(first[-1]) + weights.shape[1], source)


def _resize_columns(rows: NDArray[_T], width: int) -> NDArray[_T]:
    from PIL import Image

    if rows.shape[1] == width:
        return rows
    picture = Image.fromarray(np.ascontiguousarray(rows))
    return cast("NDArray[_T]", np.asarray(picture.resize((width, len(rows)), Image.Resampling.BILINEAR)))


def _row_weights(source: int, target: int, top: int, bottom: int) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """The first row of the source for each row of the result (n,), and the weights of it and those below it (n, k)."""
    scale = source / target
    support = max(scale, 1.0)
    centres = (np.arange(top, bottom) + 0.5) * scale
    first = np.maximum((centres - support + 0.5).astype(np.intp), 0)
    last = np.minimum((centres + support + 0.5).astype(np.intp), source)
    rows = first[:, None] + np.arange(int((last - first).max()))
    weights = np.maximum(0.0, 1.0 - np.abs((rows - centres[:, None] + 0.5) * (1.0 / support)))
    weights[rows >= last[:, None]] = 0.0
    # One after the other, as numpy's own sum adds in another order.
    totals = np.zeros(len(weights))
    for column in weights.T:
        totals += column
    return first, weights / totals[:, None]


def _weighted(rows: NDArray[Any], first: NDArray[np.intp], weights: NDArray[np.float64]) -> NDArray[Any]:
    """Sums of `rows` from `first` on, in the arithmetic of Pillow: fixed point for bytes, float64 for float32."""
    is_bytes = rows.dtype == np.uint8
    factors = np.floor(weights * (1 << _FIXED_BITS) + 0.5).astype(np.int32) if is_bytes else weights
    factors = factors.reshape(*weights.shape, *[1] * (rows.ndim - 1))
    result = np.empty((len(first), *rows.shape[1:]), rows.dtype)
    # By as many rows as stay in the processor's cache.
    step = max(1, _SUM_VALUES // max(1, rows[0].size))
    sums = np.empty((min(step, len(first)), *rows.shape[1:]), factors.dtype)
    products = np.empty_like(sums)
    last = len(rows) - 1
    for start in range(0, len(first), step):
        begin, factor = first[start : start + step], factors[start : start + step]
        total, product = sums[: len(begin)], products[: len(begin)]
        total.fill(1 << (_FIXED_BITS - 1) if is_bytes else 0)
        for offset in range(weights.shape[1]):
            np.multiply(rows[np.minimum(begin + offset, last)], factor[:, offset], out=product)
            total += product
        if is_bytes:
            total >>= _FIXED_BITS
            np.clip(total, 0, 255, out=total)
        result[start : start + step] = total
    return result
