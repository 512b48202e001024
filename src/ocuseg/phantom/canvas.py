"""A picture in the making: its light, its random numbers, and lengths in half of its shorter side."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from ocuseg.phantom.texture import Floats, smooth_noise, soft_inside

__all__ = ["WHOLE", "Canvas", "Window"]

Window = tuple[slice, slice]  # rows, columns
WHOLE: Window = (slice(None), slice(None))
_SUPERSAMPLING = 3
_FINEST_OCTAVE = -5  # noise changes over 1/32 of half the picture at least


class Canvas:
    """A picture of `size` (height, width) that is drawn layer over layer.

    `light` (3, H, W) is on the 0 to 1 scale, colours are (3, 1, 1). Lengths and places are in half of the shorter
    side, `unit_px` pixels, from the middle of the picture, y downwards; `x` (1, W) and `y` (H, 1) are those of the
    pixels' centres.
    """

    def __init__(self, random: np.random.Generator, size: tuple[int, int]) -> None:
        height, width = size
        self.random = random
        self.size = size
        self.unit_px = min(size) / 2
        self.x = ((np.arange(width, dtype=np.float32) + 0.5 - width / 2) / self.unit_px)[None, :]
        self.y = ((np.arange(height, dtype=np.float32) + 0.5 - height / 2) / self.unit_px)[:, None]
        self._noise: dict[int, Floats] = {}
        self.light: Floats = np.zeros((3, height, width), np.float32)

    def number(self, low: float, high: float) -> float:
        """Return a number drawn between `low` and `high`."""
        return float(self.random.uniform(low, high))

    def count(self, *chances: float) -> int:
        """Return 0, 1, 2, ... with the given chances, which add up to 1."""
        return int(self.random.choice(len(chances), p=chances))

    def chance(self, probability: float) -> bool:
        """Return True with the given probability."""
        return float(self.random.random()) < probability

    def colour(self, choices: Sequence[tuple[float, float, float]], spread: float = 0.06) -> Floats:
        """Return a colour (3, 1, 1) between two of `choices`, off by about the share `spread` in each channel."""
        first, second = self.random.integers(len(choices), size=2)
        mixed = np.array(choices[first]) + self.number(0, 0.5) * (np.array(choices[second]) - choices[first])
        varied = np.clip(mixed * self.random.normal(1, spread, 3), 0, 1.2)
        return np.asarray(varied[:, None, None], np.float32)

    def near(self, x: float, y: float, reach: float) -> Window:
        """Return the window of all pixels within `reach` of a place; it is empty where the place is far outside."""
        column, row = x * self.unit_px + self.size[1] / 2, y * self.unit_px + self.size[0] / 2
        half = reach * self.unit_px + 1
        return (_slice(row - half, row + half, self.size[0]), _slice(column - half, column + half, self.size[1]))

    def grid(self, window: Window) -> tuple[Floats, Floats]:
        """Return `x` (1, w) and `y` (h, 1) of a window."""
        return self.x[:, window[1]], self.y[window[0]]

    def noise(self, scale: float, window: Window = WHOLE) -> Floats:
        """Return smooth noise (h, w) of about mean 0 and deviation 1 that changes over about `scale`.

        It is a random part, turned over or not, of noise that is drawn once for each octave of scales.
        """
        octave = max(round(math.log2(scale)), _FINEST_OCTAVE)
        if octave not in self._noise:
            whole = (self.size[0] * 5 // 4, self.size[1] * 5 // 4)
            self._noise[octave] = smooth_noise(self.random, whole, 2.0**octave * self.unit_px)
        whole_noise = self._noise[octave][:: self.random.choice((-1, 1)), :: self.random.choice((-1, 1))]
        height, width = (len(range(*part.indices(side))) for part, side in zip(window, self.size, strict=True))
        row = self.random.integers(whole_noise.shape[0] - height + 1)
        column = self.random.integers(whole_noise.shape[1] - width + 1)
        return whole_noise[row : row + height, column : column + width]

    def texture(self, scale: float, window: Window = WHOLE) -> Floats:
        """Return noise (h, w) of deviation 1 that changes over `scale` and, less, over its half and quarter."""
        whole = self.noise(scale, window) + 0.6 * self.noise(scale / 2, window) + 0.4 * self.noise(scale / 4, window)
        return np.asarray(whole * np.float32(0.8), np.float32)

    def inside(self, distance: NDArray[np.floating], softness: float = 0.0) -> Floats:
        """Return how far, 0 to 1, pixels lie inside an edge that is `softness` wide, but no less than a pixel."""
        return soft_inside(np.asarray(distance, np.float32), max(softness, 1.2 / self.unit_px))

    def cover(self, amount: NDArray[np.floating], colour: Floats, window: Window = WHOLE) -> None:
        """Lay `colour`, (3, 1, 1) or (3, h, w), over a window as far as `amount` (h, w) says."""
        seen = amount > 0.004
        rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
        if not rows.size:
            return
        box = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))  # most layers cover only a part
        part = self.light[:, window[0], window[1]][:, box[0], box[1]]
        laid = colour if colour.shape[1] == 1 else colour[:, box[0], box[1]]
        share = amount[box]
        for channel in range(3):  # one after another, as all at once would not fit in a processor's cache
            part[channel] += share * (laid[channel] - part[channel])

    def dim(self, factor: NDArray[np.floating], window: Window = WHOLE) -> None:
        """Multiply the light of a window by `factor`, (h, w) or (3, h, w)."""
        self.light[:, window[0], window[1]] *= factor

    def ink(self, curves: Iterable[tuple[NDArray[np.float64], float]], closed: bool = False) -> Floats:
        """Return how far (H, W) pixels are covered by curves: points (P, 2) with a width, or `closed` areas."""
        from PIL import Image, ImageDraw

        height, width = self.size
        drawn = Image.new("L", (width * _SUPERSAMPLING, height * _SUPERSAMPLING))
        pen = ImageDraw.Draw(drawn)
        middle = np.array([width, height]) / 2
        for points, thickness in curves:
            places = [tuple(place) for place in ((points * self.unit_px + middle) * _SUPERSAMPLING).tolist()]
            if closed:
                pen.polygon(places, fill=255)
            else:
                pen.line(
                    places, fill=255, width=max(1, round(thickness * self.unit_px * _SUPERSAMPLING)), joint="curve"
                )
        return np.asarray(drawn.reduce(_SUPERSAMPLING), np.float32) / np.float32(255)


def _slice(first: float, last: float, length: int) -> slice:
    start = min(max(int(np.floor(first)), 0), length)
    return slice(start, max(start, min(int(np.ceil(last)), length)))
