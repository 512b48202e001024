"""The probabilities of one image by bands of rows, so that memory is bounded whatever its size."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ocuseg.field_of_view import FieldOfView
from ocuseg.geometry import Placement, Size, place_rows
from ocuseg.images import ImageRows
from ocuseg.prediction.predictor import Predictor
from ocuseg.prediction.tiling import ReadBytes
from ocuseg.resampling import ReadRows, resize_rows, rows_needed

__all__ = ["Banded", "probability_bands"]

Bands = Iterator[tuple[int, NDArray[np.float32]]]

_BAND_PX = 1 << 20
_SEEN_ROWS = 512


class Banded(NamedTuple):
    """The first row and the probabilities (C, rows, W) of bands of an image, from the top, and its field of view.

    `area` is None where it did not have to be found.
    """

    bands: Bands
    area: FieldOfView | None


def probability_bands(predictor: Predictor, image: ImageRows) -> Banded:
    """Return the probabilities of an image, an iterator over bands of it.

    They are those of `Predictor.probabilities`, to the last bit. What is held at once is a row of tiles, or the image
    at the working size where that is no larger than a tile.
    """
    placement, area = place_rows(image.rows, image.size, predictor.preprocessing)
    if predictor.preprocessing.find_scale:
        placement, found = predictor.adapt(placement, lambda plain, at: _whole(_working_bands(plain, image, at)))
        working = iter([(0, found)])
    else:
        working = _working_bands(predictor, image, placement)
    if predictor.smallest_piece_px is not None:  # a piece can cross bands; the working size is a few megapixels then
        working = iter([(0, predictor.without_small_pieces(_whole(working)))])
    if area is None and placement == Placement(image.size, (0, 0, *image.size), image.size):
        return Banded(working, placement.area)
    return Banded(_native_bands(working, placement, area, predictor.classes.out_channels), placement.area)


def _working_bands(predictor: Predictor, image: ImageRows, placement: Placement) -> Bands:
    """Bands (C, rows, w) of the prepared image, as the network sees it."""
    height, width = placement.working_size

    def prepared(start: int, stop: int) -> NDArray[np.uint8]:
        return placement.apply_rows(image.rows, start, stop)

    multiple = predictor.preprocessing.multiple
    padded = (height + -height % multiple, width + -width % multiple)
    padded_rows = _padded(prepared, (height, width), padded)
    if max(height, width) <= predictor.tile_px:
        yield 0, predictor.window(padded_rows(0, padded[0]))[0, :, :height, :width]
        return
    for start, band in predictor.tiled_bands(padded_rows, padded):
        if start < height:
            yield start, band[0, :, : height - start, :width]


def _whole(bands: Bands) -> NDArray[np.float32]:
    return np.concatenate([band for _, band in bands], axis=1)


def _padded(read: ReadRows, size: Size, padded: Size) -> ReadBytes:
    """The rows of a picture that is padded at the bottom and the right as `pad_to_multiple` does, (1, 3, rows, w)."""
    rows, columns = (
        np.pad(np.arange(side), (0, whole - side), mode="reflect") if whole > side else np.arange(side)
        for side, whole in zip(size, padded, strict=True)
    )

    def read_padded(start: int, stop: int) -> NDArray[np.uint8]:
        wanted = rows[start:stop]
        first = int(wanted.min())
        band = read(first, int(wanted.max()) + 1)
        if stop > size[0]:
            band = band[wanted - first]
        if padded[1] > size[1]:
            band = band[:, columns]
        return band.transpose(2, 0, 1)[None]

    return read_padded


def _native_bands(working: Bands, placement: Placement, area: FieldOfView | None, channels: int) -> Bands:
    """Bands (C, rows, W) at the original size: enlarged, or reduced, and background outside the box and `area`."""
    height, width = placement.original_size
    top, left, bottom, right = placement.box
    box: Size = (bottom - top, right - left)
    step = max(1, _BAND_PX // (channels * width))
    seen = None if area is None else _by_blocks(area.rows, height)
    held, first = np.empty((channels, 0, placement.working_size[1]), np.float32), 0
    for start in range(0, height, step):
        stop = min(start + step, height)
        native = np.zeros((channels, stop - start, width), np.float32)
        if channels > 1:
            native[0] = 1.0
        begin, end = max(start, top), min(stop, bottom)
        if begin < end:
            needed = rows_needed(placement.working_size[0], box[0], begin - top, end - top)
            held, first = _moved_on(held, first, needed, working)
            for channel in range(channels):
                rows = _slices(held[channel], first)
                values = resize_rows(rows, placement.working_size, box, begin - top, end - top)
                native[channel, begin - start : end - start, left:right] = values
            if seen is not None:
                dark = ~seen(start, stop)
                native[:, dark] = 0.0
                if channels > 1:
                    native[0, dark] = 1.0
        yield start, native


def _moved_on(
    held: NDArray[np.float32], first: int, needed: tuple[int, int], working: Bands
) -> tuple[NDArray[np.float32], int]:
    """The rows that are held from the first needed one on, with as many more as are needed, and the first one."""
    held, first = held[:, needed[0] - first :], needed[0]
    while first + held.shape[1] < needed[1]:
        held = np.concatenate([held, next(working)[1]], axis=1)
    return held, first


def _slices(rows: NDArray[np.float32], first: int) -> ReadRows:
    return lambda start, stop: rows[start - first : stop - first]


def _by_blocks(read: Callable[[int, int], NDArray[np.bool_]], height: int) -> Callable[[int, int], NDArray[np.bool_]]:
    """The same rows, read in blocks, as those of a field of view need many of their neighbours."""

    @functools.lru_cache(maxsize=2)
    def block(number: int) -> NDArray[np.bool_]:
        return read(number * _SEEN_ROWS, min((number + 1) * _SEEN_ROWS, height))

    def rows(start: int, stop: int) -> NDArray[np.bool_]:
        numbers = range(start // _SEEN_ROWS, (stop - 1) // _SEEN_ROWS + 1)
        parts = [block(one)[max(0, start - one * _SEEN_ROWS) : stop - one * _SEEN_ROWS] for one in numbers]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    return rows
