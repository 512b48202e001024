"""What disease and age add to a drawn fundus photograph: none of it is a vessel, some of it looks like one."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ocuseg.phantom.texture import Floats, smooth_noise, soft_inside, stroke
from ocuseg.phantom.tree import Anatomy, Vessels

__all__ = ["draw_beneath_vessels", "draw_over_vessels"]

_PALE = np.array([0.20, 0.24, 0.14], np.float32)
_YELLOW = np.array([0.24, 0.28, 0.08], np.float32)
_WHITE = np.array([0.24, 0.26, 0.20], np.float32)
_PIGMENT = np.array([1.1, 1.0, 0.7], np.float32)
_BLOOD = np.array([0.45, 1.0, 0.7], np.float32)
_STRIPE = np.array([0.30, 0.55, 0.35], np.float32)


def draw_beneath_vessels(
    light: Floats, random: np.random.Generator, anatomy: Anatomy, x: Floats, y: Floats, radius_px: float
) -> Floats:
    """Return `light` (H, W, 3) with what lies deeper than the vessels, each kind by chance.

    That is choroidal stripes seen through a thin pigment layer, scars of laser treatment, drusen, hard exudates and
    clumps of pigment. `x` (1, W) and `y` (H, 1) are in radii of the picture.
    """
    spots = _Spots(light.shape[:2], random, radius_px)
    if random.random() < 0.5:
        light = light * np.exp(-_stripes(random, x, y, radius_px)[..., None] * _STRIPE)
    if random.random() < 0.35:
        light = _laser_scars(light, random, anatomy, spots)
    if random.random() < 0.4:
        places = anatomy.fovea + random.normal(0, random.uniform(0.1, 0.3), (int(random.integers(10, 90)), 2))
        light = light + spots.at(places, (0.006, 0.018), 0.9)[..., None] * _YELLOW * random.uniform(0.3, 0.8)
    if random.random() < 0.5:
        light = light + _exudates(random, spots)[..., None] * _YELLOW * random.uniform(0.7, 1.2)
    if random.random() < 0.3:
        places = random.uniform(-0.8, 0.8, (int(random.integers(1, 14)), 2))
        light = light * np.exp(-spots.at(places, (0.012, 0.05), 0.5)[..., None] * _PIGMENT)
    return light


def draw_over_vessels(
    light: Floats,
    random: np.random.Generator,
    anatomy: Anatomy,
    trees: tuple[Vessels, Vessels],
    x: Floats,
    y: Floats,
    radius_px: float,
) -> Floats:
    """Return `light` (H, W, 3) with what lies before the vessels, each kind by chance.

    That is bleeding (dots, blots, and flames along the nerve fibres), cotton wool spots, the sheen of a young retina
    beside its vessels, and haze of the eye's media. Arguments are those of `draw_beneath_vessels`.
    """
    spots = _Spots(light.shape[:2], random, radius_px)
    if random.random() < 0.6:
        dots = random.uniform(-0.8, 0.8, (int(random.integers(5, 60)), 2))
        blood = 0.7 * spots.at(dots, (0.004, 0.012), 0.9)
        blots = random.uniform(-0.75, 0.75, (int(random.integers(0, 14)), 2))
        blood = np.maximum(blood, spots.at(blots, (0.015, 0.06), 0.6))
        if random.random() < 0.5:
            blood = np.maximum(blood, 0.8 * _flames(random, anatomy, x, y, radius_px))
        light = light * np.exp(-blood[..., None] * _BLOOD * random.uniform(0.6, 1.2))
    if random.random() < 0.3:
        places = anatomy.disc + random.normal(0, 0.35, (int(random.integers(1, 7)), 2))
        wool = spots.at(places, (0.03, 0.08), 1.4)[..., None] * random.uniform(0.5, 1.0)
        light = light * (1 - 0.4 * wool) + wool * _WHITE
    if random.random() < 0.4:
        light = light + _sheen(random, trees, light.shape[:2], radius_px)[..., None] * _PALE
    if random.random() < 0.3:
        haze = np.clip(0.25 + 0.2 * smooth_noise(random, light.shape[:2], 0.5 * radius_px), 0, 0.6)[..., None]
        light = light * (1 - haze) + haze * light.mean(axis=(0, 1)) * np.float32(random.uniform(0.8, 1.3))
    return light.astype(np.float32)


class _Spots:
    """Round spots with ragged edges, of 1 inside and 0 outside."""

    def __init__(self, size: tuple[int, int], random: np.random.Generator, radius_px: float) -> None:
        self.size, self.random, self.radius_px = size, random, radius_px
        self.ragged = np.clip(1 + 0.16 * smooth_noise(random, size, 0.03 * radius_px), 0.6, 1.6)

    def at(self, places: NDArray[np.float64], radii: tuple[float, float], softness: float) -> Floats:
        """Return spots (H, W) at `places` (N, 2) as x, y, each of a radius between `radii`.

        Both are in radii of the picture; `softness` is the width of the edge as a share of a spot's radius.
        """
        found = np.zeros(self.size, np.float32)
        middle = np.array([self.size[1] / 2, self.size[0] / 2])
        for place in places * self.radius_px + middle:
            radius = max(self.random.uniform(*radii) * self.radius_px, 1.0)
            reach = math.ceil(2.5 * radius)
            left, top = (max(math.floor(at) - reach, 0) for at in place)
            window = np.s_[top : max(math.floor(place[1]) + reach, 0), left : max(math.floor(place[0]) + reach, 0)]
            part = found[window]
            if part.size:
                down = np.arange(part.shape[0], dtype=np.float32)[:, None] + np.float32(top + 0.5 - place[1])
                across = np.arange(part.shape[1], dtype=np.float32)[None, :] + np.float32(left + 0.5 - place[0])
                away = np.hypot(across, down) * self.ragged[window] / np.float32(radius)
                np.maximum(part, soft_inside(away - 1, softness), out=part)
        return found


def _stripes(random: np.random.Generator, x: Floats, y: Floats, radius_px: float) -> Floats:
    """Wavy dark stripes (H, W) of the choroid, which come and go, in a part of the picture."""
    size = (y.size, x.size)
    direction = random.uniform(0, math.pi)
    across = x * math.cos(direction) + y * math.sin(direction)
    wave = across / random.uniform(0.022, 0.06)
    wave = wave + random.uniform(0.6, 1.4) * smooth_noise(random, size, 0.12 * radius_px)
    wave = wave + 2 * smooth_noise(random, size, 0.4 * radius_px)
    dark = np.clip(np.sin(wave * math.pi), 0, 1) ** random.uniform(1.5, 4)
    broken = np.clip(0.6 + 0.7 * smooth_noise(random, size, 0.1 * radius_px), 0, 1)
    where = np.clip(0.3 + 0.9 * smooth_noise(random, size, 0.5 * radius_px), 0, 1)
    return np.asarray(dark * broken * where * random.uniform(0.2, 0.7), np.float32)


def _laser_scars(light: Floats, random: np.random.Generator, anatomy: Anatomy, spots: _Spots) -> Floats:
    """Rows of pale scars outside the macula, some with pigment in the middle or around."""
    step = random.uniform(0.07, 0.16)
    grid = np.mgrid[-0.95:0.95:step, -0.95:0.95:step].reshape(2, -1).T
    places = grid + random.normal(0, 0.25 * step, grid.shape)
    kept = np.hypot(*(places - anatomy.fovea).T) > random.uniform(0.25, 0.5)
    kept &= np.hypot(*(places - anatomy.disc).T) > anatomy.disc_diameter
    places = places[kept & (random.random(len(places)) < random.uniform(0.3, 0.9))]
    scars = spots.at(places, (0.25 * step, 0.4 * step), 0.7)
    light = light + scars[..., None] * _PALE * random.uniform(0.3, 1.0)
    pigmented = places[random.random(len(places)) < random.uniform(0, 0.4)]
    pigment = spots.at(pigmented, (0.08 * step, 0.25 * step), 0.6)
    return np.asarray(light * np.exp(-pigment[..., None] * _PIGMENT * random.uniform(0.5, 1.2)), np.float32)


def _exudates(random: np.random.Generator, spots: _Spots) -> Floats:
    """Bright clusters (H, W), and rings of them."""
    found = np.zeros(spots.size, np.float32)
    for _ in range(int(random.integers(1, 5))):
        count = int(random.integers(5, 40))
        angle = random.uniform(0, 2 * math.pi, count)
        ring = random.uniform(0.06, 0.2) + random.normal(0, 0.02, count) if random.random() < 0.4 else None
        away = random.normal(0, 0.1, count) if ring is None else ring
        places = random.uniform(-0.6, 0.6, 2) + np.stack([np.cos(angle), np.sin(angle)], 1) * away[:, None]
        found = np.maximum(found, spots.at(places, (0.004, 0.02), 0.5))
    return found


def _flames(random: np.random.Generator, anatomy: Anatomy, x: Floats, y: Floats, radius_px: float) -> Floats:
    """Bleeding (H, W) between the nerve fibres: streaks that point away from the disc."""
    size = (y.size, x.size)
    ragged = 0.3 * smooth_noise(random, size, 0.02 * radius_px)
    found = np.zeros(size, np.float32)
    for _ in range(int(random.integers(1, 12))):
        angle, away = random.uniform(0, 2 * math.pi), random.uniform(0.8, 3) * anatomy.disc_diameter
        towards = np.array([math.cos(angle), math.sin(angle)])
        centre = anatomy.disc + away * towards
        along = (x - centre[0]) * towards[0] + (y - centre[1]) * towards[1]
        beside = (y - centre[1]) * towards[0] - (x - centre[0]) * towards[1]
        length = random.uniform(0.03, 0.10)
        oval = np.hypot(along / length, beside / (length * random.uniform(0.15, 0.4)))
        found = np.maximum(found, soft_inside((oval + ragged - 1).astype(np.float32), 0.7))
    return found


def _sheen(
    random: np.random.Generator, trees: tuple[Vessels, Vessels], size: tuple[int, int], radius_px: float
) -> Floats:
    """Bright broken ribbons (H, W) beside the wider vessels."""
    tree = trees[int(random.integers(2))]
    wide = tree.radii.mean(axis=1) > np.quantile(tree.radii, 0.6)
    starts, ends = tree.starts[wide] * radius_px, tree.ends[wide] * radius_px
    along = ends - starts
    normal = np.stack([-along[:, 1], along[:, 0]], 1) / np.maximum(np.hypot(*along.T), 1e-9)[:, None]
    aside = (
        normal * random.choice([-1, 1]) * random.uniform(1.5, 3) * tree.radii[wide].mean(axis=1)[:, None] * radius_px
    )
    middle = np.array([size[1] / 2, size[0] / 2])
    _, axis = stroke(size, starts + aside + middle, ends + aside + middle, tree.radii[wide] * radius_px * 0.8)
    broken = np.clip(1.4 * smooth_noise(random, size, 0.15 * radius_px) - 0.5, 0, 1)
    return np.asarray(axis * broken * random.uniform(0.3, 0.9), np.float32)
