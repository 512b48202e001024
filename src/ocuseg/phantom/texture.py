"""What drawn pictures share: smooth noise, soft edges, strokes, and the camera that takes them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Floats", "Phantom", "photograph", "smooth_noise", "soft_inside", "stroke"]

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Phantom:
    """A drawn picture: `image` (H, W, 3) uint8, `mask` (H, W) uint8 class ids, `field_of_view` (H, W) bool."""

    image: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    field_of_view: NDArray[np.bool_]


def smooth_noise(random: np.random.Generator, size: tuple[int, int], scale_px: float) -> Floats:
    """Return random values (H, W) of about mean 0 and deviation 1 that change over about `scale_px`."""
    from PIL import Image

    scale = max(scale_px, 1.0)
    coarse = tuple(math.ceil(side / scale) + 3 for side in size)
    values = random.standard_normal(coarse, dtype=np.float32)
    height, width = size
    box = (1.0, 1.0, 1.0 + width / scale, 1.0 + height / scale)
    smooth = np.asarray(Image.fromarray(values).resize((width, height), Image.Resampling.BICUBIC, box=box))
    return np.asarray(smooth * np.float32(1.25))


def soft_inside(distance: Floats, softness: float) -> Floats:
    """Return 1 where `distance` is well below 0, 0 well above, and between them a smooth step `softness` wide."""
    step = np.clip(0.5 - distance / softness, 0, 1)
    return np.asarray(step * step * (3 - 2 * step), np.float32)


def stroke(
    size: tuple[int, int], starts: NDArray[np.float64], ends: NDArray[np.float64], radii: NDArray[np.float64]
) -> tuple[Floats, Floats]:
    """Return (depth, axis), both (H, W), of round strokes: pieces (P, 2) as x, y in pixels with (P, 2) radii.

    `depth` is half the thickness in pixels where a ray through the pixel's centre meets a tube, else 0. `axis` is
    1 on the centre line, 0 at the surface and outside.
    """
    height, width = size
    squared = np.zeros(height * width, np.float32)
    axis = np.zeros(height * width, np.float32)
    middle = (starts + ends) / 2
    reach = np.ceil(np.hypot(*(ends - starts).T) / 2 + radii.max(axis=1, initial=0) + 0.5).astype(int)
    for half in np.unique(reach):
        window = np.arange(-half, half + 1)
        for chosen in _chunks(np.flatnonzero(reach == half), max(1, 400_000 // window.size**2)):
            column = np.floor(middle[chosen, 0]).astype(int)[:, None, None] + window[None, None, :]
            row = np.floor(middle[chosen, 1]).astype(int)[:, None, None] + window[None, :, None]
            start, along = starts[chosen], ends[chosen] - starts[chosen]
            x = (column + 0.5 - start[:, 0, None, None]).astype(np.float32)
            y = (row + 0.5 - start[:, 1, None, None]).astype(np.float32)
            step_x, step_y = (along[:, k, None, None].astype(np.float32) for k in (0, 1))
            part = np.clip((x * step_x + y * step_y) / np.maximum(step_x**2 + step_y**2, 1e-9), 0, 1)
            first, last = (radii[chosen, k, None, None].astype(np.float32) for k in (0, 1))
            radius = first + part * (last - first)
            deep = radius**2 - (x - part * step_x) ** 2 - (y - part * step_y) ** 2
            hit = (deep > 0) & (row >= 0) & (row < height) & (column >= 0) & (column < width)
            place = (row * width + column)[hit]
            np.maximum.at(squared, place, deep[hit])
            np.maximum.at(axis, place, (deep / np.maximum(radius, 1e-6) ** 2)[hit])
    return np.sqrt(squared).reshape(size), axis.reshape(size)


def photograph(light: Floats, random: np.random.Generator, blur_px: float, noise: float) -> NDArray[np.uint8]:
    """Return `light` (H, W, 3) on the 0 to 1 scale as a camera would store it: blurred, noisy, clipped, 8 bit.

    `noise` is the deviation at full light in grey levels of 255; it grows with the root of the light.
    """
    from scipy import ndimage

    seen = ndimage.gaussian_filter(light, (blur_px, blur_px, 0), truncate=3) if blur_px > 0.2 else light
    grain = random.standard_normal(light.shape, dtype=np.float32)
    above = 0.45 * grain[:-1]  # neighbours share some of it, as after demosaicing
    grain[1:] *= 0.8
    grain[1:] += above
    grain *= np.sqrt(np.clip(seen, 0.02, 1)) * noise
    grain += seen * 255
    return np.asarray(np.clip(np.rint(grain, out=grain), 0, 255, out=grain), np.uint8)


def _chunks(indices: NDArray[np.intp], length: int) -> list[NDArray[np.intp]]:
    return [indices[start : start + length] for start in range(0, indices.size, length)]
