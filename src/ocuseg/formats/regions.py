"""What an annotated shape covers: outlines, ellipses and bitmaps, and the pixels that they take.

One rule holds for every format. Coordinates are (x, y) from the upper left corner of the image; the pixel in column c
and row r is the square from (c, r) to (c + 1, r + 1). A pixel belongs to an outline if its centre (c + 0.5, r + 0.5)
lies inside, by the even-odd rule; a centre on the outline belongs to the side to its right or, on a level edge, below.
So outlines along the edges of pixels give back exactly these pixels, and shapes that share an edge share no pixel.
Tools whose vertices are whole pixels, which the outline takes with it, are `through=True`: there every pixel that the
outline passes through belongs as well.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Bitmap", "Ellipse", "Outline", "Patch", "Region", "bounds", "cover", "pack", "rectangle", "ring"]

Ring = NDArray[np.float64]

_FARTHEST_PX = 1e7
_MOST_STEPS = 100_000_000
_STEPS_AT_ONCE = 1 << 18  # what bounds the memory: a few kilobytes of corners can ask for all of them


@dataclass(frozen=True, slots=True)
class Outline:
    """One or more polygons, each an outer ring (N, 2) followed by its holes; together they cover their union."""

    parts: tuple[tuple[Ring, ...], ...]
    through: bool = False


@dataclass(frozen=True, slots=True)
class Ellipse:
    """An ellipse by its centre, its half axes and the angle of the first of them, clockwise as seen."""

    centre: tuple[float, float]
    radii: tuple[float, float]
    angle_rad: float = 0.0


@dataclass(frozen=True, slots=True)
class Bitmap:
    """Pixels (H, W) with their upper left corner at (left, top), kept packed as there may be very many."""

    packed: bytes
    size: tuple[int, int]
    left: int
    top: int

    @property
    def pixels(self) -> NDArray[np.bool_]:
        """The pixels as (H, W) bool."""
        height, width = self.size
        bits = np.frombuffer(zlib.decompress(self.packed), np.uint8)
        return np.unpackbits(bits, count=height * width).reshape(height, width).astype(bool)


Region = Outline | Ellipse | Bitmap


@dataclass(frozen=True, slots=True)
class Patch:
    """The pixels (h, w) of a region inside an image, and where they lie in it."""

    rows: slice
    columns: slice
    pixels: NDArray[np.bool_]


def pack(pixels: NDArray[Any], left: int = 0, top: int = 0) -> Bitmap:
    """Return pixels (H, W), set where they are not zero, as a bitmap with its corner at (left, top)."""
    height, width = pixels.shape
    return Bitmap(zlib.compress(np.packbits(pixels.astype(bool)).tobytes(), 1), (height, width), left, top)


def ring(points: Iterable[Sequence[Any]]) -> Ring:
    """Return points as a ring (N, 2).

    Raises ValueError where they are no finite pairs of numbers, or farther off than any image is large.
    """
    array = np.array([[float(point[0]), float(point[1])] for point in points], np.float64).reshape(-1, 2)
    if not np.isfinite(array).all() or np.abs(array).max(initial=0) > _FARTHEST_PX:
        raise ValueError("coordinates that are no numbers, or far outside")
    return array


def rectangle(
    left: float,
    top: float,
    right: float,
    bottom: float,
    degrees: float = 0.0,
    pivot: tuple[float, float] | None = None,
) -> Outline:
    """Return a rectangle, turned clockwise as seen about `pivot` (default: its centre)."""
    corners = ring([(left, top), (right, top), (right, bottom), (left, bottom)])
    if degrees:
        x, y = pivot or ((left + right) / 2, (top + bottom) / 2)
        cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
        corners = ring((corners - (x, y)) @ np.array([[cosine, sine], [-sine, cosine]]) + (x, y))
    return Outline(((corners,),))


def bounds(region: Region) -> tuple[float, float, float, float]:
    """Return left, top, right and bottom of a region, in pixels."""
    if isinstance(region, Bitmap):
        height, width = region.size
        return region.left, region.top, region.left + width, region.top + height
    if isinstance(region, Ellipse):
        (x, y), (first, second) = region.centre, region.radii
        cosine, sine = math.cos(region.angle_rad), math.sin(region.angle_rad)
        across, down = math.hypot(first * cosine, second * sine), math.hypot(first * sine, second * cosine)
        return x - across, y - down, x + across, y + down
    points = np.concatenate([rings[0] for rings in region.parts])
    (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
    more = 1 if region.through else 0
    return float(left), float(top), float(right) + more, float(bottom) + more


def cover(region: Region, size: tuple[int, int]) -> Patch | None:
    """Return the pixels of a region in an image of this (height, width), None where it lies outside altogether.

    Raises ValueError where an outline is so large and has so many edges that it cannot be meant.
    """
    left, top, right, bottom = bounds(region)
    columns = slice(max(0, math.floor(left)), min(size[1], math.ceil(right)))
    rows = slice(max(0, math.floor(top)), min(size[0], math.ceil(bottom)))
    if rows.start >= rows.stop or columns.start >= columns.stop:
        return None
    if isinstance(region, Bitmap):
        inside = region.pixels[
            rows.start - region.top : rows.stop - region.top, columns.start - region.left : columns.stop - region.left
        ]
        return Patch(rows, columns, inside)
    if isinstance(region, Ellipse):
        return Patch(rows, columns, _in_ellipse(region, rows, columns))
    pixels = np.zeros((rows.stop - rows.start, columns.stop - columns.start), bool)
    for rings in region.parts:
        pixels |= _in_rings(rings, rows, columns, through=region.through)
    return Patch(rows, columns, pixels)


def _in_ellipse(region: Ellipse, rows: slice, columns: slice) -> NDArray[np.bool_]:
    cosine, sine = math.cos(region.angle_rad), math.sin(region.angle_rad)
    x = np.arange(columns.start, columns.stop)[np.newaxis] + 0.5 - region.centre[0]
    y = np.arange(rows.start, rows.stop)[:, np.newaxis] + 0.5 - region.centre[1]
    inside: NDArray[np.bool_] = ((x * cosine + y * sine) / region.radii[0]) ** 2 + (
        (y * cosine - x * sine) / region.radii[1]
    ) ** 2 <= 1
    return inside


def _in_rings(rings: tuple[Ring, ...], rows: slice, columns: slice, *, through: bool) -> NDArray[np.bool_]:
    if not through:
        return _even_odd(rings, rows, columns)
    # The vertices are pixels: their centres are the corners, and the pixels under the edges belong to the ring.
    pixels = [np.floor(one) for one in rings]
    whole = [_even_odd((one + 0.5,), rows, columns) | _under_edges(one, rows, columns) for one in pixels]
    covered = whole[0]
    for hole in whole[1:]:
        covered &= ~hole
    return covered


def _even_odd(rings: tuple[Ring, ...], rows: slice, columns: slice) -> NDArray[np.bool_]:
    """Return which pixel centres of a window have an odd number of edges to their left."""
    height, width = rows.stop - rows.start, columns.stop - columns.start
    starts = np.concatenate(rings)
    ends = np.concatenate([np.roll(one, -1, axis=0) for one in rings])
    y0, y1 = starts[:, 1], ends[:, 1]
    first = np.clip(np.ceil(np.minimum(y0, y1) - 0.5), rows.start, rows.stop).astype(np.int64)
    after = np.clip(np.ceil(np.maximum(y0, y1) - 0.5), rows.start, rows.stop).astype(np.int64)
    flips = np.zeros((height, width + 1), np.uint8)
    for edge, step in _steps(after - first):
        row = first[edge] + step
        slope = (ends[edge, 0] - starts[edge, 0]) / (y1[edge] - y0[edge])
        x = starts[edge, 0] + (row + 0.5 - y0[edge]) * slope
        column = np.clip(np.ceil(x - 0.5), columns.start, columns.stop).astype(np.int64) - columns.start
        np.bitwise_xor.at(flips, (row - rows.start, column), np.uint8(1))
    return np.bitwise_xor.accumulate(flips, axis=1)[:, :width].astype(bool)


def _under_edges(pixels: Ring, rows: slice, columns: slice) -> NDArray[np.bool_]:
    """Return the pixels of straight lines from pixel to pixel of a ring, eight-connected."""
    ends = np.roll(pixels, -1, axis=0)
    lengths = np.abs(ends - pixels).max(axis=1)
    under = np.zeros((rows.stop - rows.start, columns.stop - columns.start), bool)
    for edge, step in _steps(lengths.astype(np.int64) + 1):
        share = (step / np.maximum(lengths[edge], 1))[:, np.newaxis]
        points = np.floor(pixels[edge] + share * (ends[edge] - pixels[edge]) + 0.5).astype(np.int64)
        points -= (columns.start, rows.start)
        inside = ((points >= 0) & (points < under.shape[::-1])).all(axis=1)
        under[points[inside, 1], points[inside, 0]] = True
    return under


def _steps(counts: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yield for counts (2, 0, 3) the numbers (0, 0, 2, 2, 2) and the steps (0, 1, 0, 1, 2), a part at a time."""
    ends = np.cumsum(counts)
    if ends[-1] > _MOST_STEPS:
        raise ValueError("too many long edges")
    first = 0
    while first < len(counts):
        done = ends[first] - counts[first]
        after = max(first + 1, int(np.searchsorted(ends, done + _STEPS_AT_ONCE, side="right")))
        part = counts[first:after]
        number = np.repeat(np.arange(first, after), part)
        yield number, np.arange(number.size) - np.repeat(np.cumsum(part) - part, part)
        first = after
