"""Overlapping tiles of a large picture that are blended, a band of rows at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from ocuseg.errors import UsageError
from ocuseg.geometry import Box, Size

__all__ = ["ReadBytes", "blended_bands", "tile_weights", "tiles"]

ReadBytes = Callable[[int, int], NDArray[np.uint8]]
"""Gives rows of prepared images: (N, 3, rows, w) from the first number up to, not including, the second."""


def blended_bands(
    see: Callable[[NDArray[np.uint8]], NDArray[np.float32]],
    read: ReadBytes,
    size: Size,
    *,
    tile_px: int,
    overlap_px: int,
    multiple: int,
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Return an iterator over the first row and the probabilities (N, C, rows, w) of bands of rows, from the top.

    `see` gives the probabilities (N, C, h, w) of a part (N, 3, h, w) of images of `size`, a multiple of `multiple`. No
    more than one row of tiles is held.
    """
    # Tiles start on the network's own grid: there its pooling meets the same pixels as in the whole image.
    overlap = math.ceil(overlap_px / multiple)
    tile = max(tile_px // multiple, overlap + 1)
    boxes = [
        (top * multiple, left * multiple, bottom * multiple, right * multiple)
        for top, left, bottom, right in tiles((size[0] // multiple, size[1] // multiple), tile, overlap)
    ]
    rim = overlap * multiple // 4
    down = sorted({(top, bottom) for top, _, bottom, _ in boxes})
    across = sorted({(left, right) for _, left, _, right in boxes})
    rows, columns = _shares(down, size[0], rim), _shares(across, size[1], rim)
    begun: NDArray[np.float32] | None = None  # what earlier tiles have added to the rows from `top` on
    for number, (top, bottom) in enumerate(down):
        seen = read(top, bottom)
        found: NDArray[np.float32] | None = None
        for left, right in across:
            part = see(seen[:, :, :, left:right])
            part *= rows[top, bottom][:, None] * columns[left, right]
            if found is None:
                found = np.zeros((*part.shape[:2], bottom - top, size[1]), np.float32)
                if begun is not None:
                    found[:, :, : begun.shape[2]] = begun
            found[:, :, :, left:right] += part
        assert found is not None
        done = (down[number + 1][0] if number + 1 < len(down) else bottom) - top
        begun = found[:, :, done:].copy()
        finished = found[:, :, :done]
        yield top, np.clip(finished, 0, 1, out=finished)


def _shares(spans: list[tuple[int, int]], length: int, rim: int) -> dict[tuple[int, int], NDArray[np.float32]]:
    """Weights along one side for each span: smooth, adding up to 1 at every pixel.

    The `rim` pixels at an end inside the image count for nothing where a neighbour sees them better: there the
    network met the padding of its own convolutions instead of the image.
    """
    total = np.zeros(length)
    weights = {}
    for start, stop in spans:
        weight = tile_weights((stop - start, 1))[:, 0].astype(np.float64)
        if start > 0:
            weight[:rim] = 0
        if stop < length:
            weight[len(weight) - rim :] = 0
        total[start:stop] += weight
        weights[start, stop] = weight
    return {(start, stop): (weight / total[start:stop]).astype(np.float32) for (start, stop), weight in weights.items()}


def tiles(size: Size, tile_px: int, overlap_px: int) -> list[Box]:
    """Return boxes that cover a picture of `size`, evenly spread, neighbours sharing at least `overlap_px`.

    All are of one size: of as few as sides of at most `tile_px` allow, the smallest that overlap. Raises UsageError
    where the overlap is not less than the tile.
    """
    if tile_px < 1 or not 0 <= overlap_px < tile_px:
        raise UsageError(f"tiles of {tile_px} px cannot overlap by {overlap_px} px; give an overlap less than the tile")
    rows, columns = (_spans(side, tile_px, overlap_px) for side in size)
    return [(top, left, bottom, right) for top, bottom in rows for left, right in columns]


def tile_weights(size: Size) -> NDArray[np.float32]:
    """Return weights (h, w) that fade a tile out towards its border: a raised cosine from 1 to just above 0."""
    rows, columns = (np.sin(np.pi * (np.arange(side) + 0.5) / side) ** 2 * 0.999 + 0.001 for side in size)
    return np.outer(rows, columns).astype(np.float32)


def _spans(side: int, tile_px: int, overlap_px: int) -> list[tuple[int, int]]:
    if side <= tile_px:
        return [(0, side)]
    count = math.ceil((side - overlap_px) / (tile_px - overlap_px))
    tile = math.ceil((side + (count - 1) * overlap_px) / count)
    starts = [round(index * (side - tile) / (count - 1)) for index in range(count)]
    return [(start, start + tile) for start in starts]
