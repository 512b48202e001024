"""Draw colour photographs of the back of the eye whose vessels are known exactly."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ocuseg.phantom.disease import draw_beneath_vessels, draw_over_vessels
from ocuseg.phantom.texture import Floats, Phantom, photograph, smooth_noise, soft_inside, stroke
from ocuseg.phantom.tree import Anatomy, Vessels, draw_anatomy, grow_vessels

__all__ = ["draw_fundus"]

# What cameras and skins make of the same tissue, as RGB on the 0 to 255 scale.
_FUNDUS_COLOURS = ((205, 112, 62), (158, 72, 28), (222, 84, 44), (150, 94, 46), (196, 118, 88), (184, 98, 36))
_ARTERY_ABSORPTION = (0.10, 0.62, 0.42)
_VEIN_ABSORPTION = (0.26, 0.84, 0.50)
_THINNEST_PX = 0.75
_THINNEST = (0.0035, 0.007)
_RIM = 0.97


def draw_fundus(seed: int, size: int | tuple[int, int] = 320, *, diseased: bool = False) -> Phantom:
    """Return a drawn fundus photograph with the mask of its vessels (1) and its field of view.

    The same `seed` and `size` (one side, or height and width, in pixels) always give the same picture. Vessels
    fork and taper from the optic disc along the arcades; the choroid, nerve fibres and lesions that are drawn too
    are not in the mask. A vessel pixel is one whose centre lies in a vessel and in the field of view. A `diseased`
    eye has the same vessels, and many more lesions of more kinds (`ocuseg.phantom.disease`).
    """
    height, width = (size, size) if isinstance(size, int) else size
    random = np.random.default_rng((seed, 0xF0))
    radius_px = _RIM * min(height, width) / 2
    anatomy = draw_anatomy(random)
    trees = grow_vessels(anatomy, random, float(np.clip(_THINNEST_PX / radius_px, *_THINNEST)))
    x = ((np.arange(width, dtype=np.float32) + 0.5 - width / 2) / radius_px)[None, :]
    y = ((np.arange(height, dtype=np.float32) + 0.5 - height / 2) / radius_px)[:, None]
    from_centre = np.hypot(x, y)

    light = _draw_tissue(random, anatomy, x, y, radius_px)
    light = _draw_disc(light, random, anatomy, x, y)
    disease = np.random.default_rng((seed, 0xD1))  # one of its own, so that the eye is the same without it
    if diseased:
        light = draw_beneath_vessels(light, disease, anatomy, x, y, radius_px)
    light, vessel = _draw_vessels(light, random, trees, radius_px)
    light = _draw_lesions(light, random, x, y, radius_px)
    if diseased:
        light = draw_over_vessels(light, disease, anatomy, trees, x, y, radius_px)
    light *= _illumination(random, x, y)[..., None]

    edge = np.maximum(from_centre - 1, np.abs(y) - (random.uniform(0.82, 0.95) if random.random() < 0.25 else 2))
    softness = 1.5 / radius_px + (0.02 if random.random() < 0.3 else 0)
    light *= soft_inside(edge.astype(np.float32) + softness / 2, softness)[..., None]
    light += np.float32(random.uniform(0.005, 0.025))
    image = photograph(light, random, random.uniform(0.003, 0.006) * radius_px, random.uniform(2.5, 7))
    field_of_view = edge <= 0
    return Phantom(image, (vessel & field_of_view).astype(np.uint8), field_of_view)


def _draw_tissue(random: np.random.Generator, anatomy: Anatomy, x: Floats, y: Floats, radius_px: float) -> Floats:
    size = (y.size, x.size)
    base = np.array(_FUNDUS_COLOURS[int(random.integers(len(_FUNDUS_COLOURS)))], np.float32) / 255
    base = base * random.normal(1, 0.06, 3).astype(np.float32) * np.float32(random.uniform(0.85, 1.15))
    light = np.empty((*size, 3), np.float32)
    light[:] = base

    # Choroidal vessels show as a blurred net of bands where a random field crosses zero.
    field = smooth_noise(random, size, random.uniform(0.10, 0.16) * radius_px)
    field += 0.2 * smooth_noise(random, size, 0.05 * radius_px)
    where = np.clip(0.4 + 0.6 * smooth_noise(random, size, 0.5 * radius_px), 0, 1)
    net = (np.exp(-np.square(field / random.uniform(0.5, 0.8))) - 0.5) * where * random.uniform(0.02, 0.22)
    light *= 1 + net[..., None] * np.array([0.8, 1.0, 0.5], np.float32)

    blotches = smooth_noise(random, size, 0.35 * radius_px) * random.uniform(0.02, 0.07)
    grain = smooth_noise(random, size, 0.012 * radius_px) * random.uniform(0.008, 0.03)
    light *= (1 + blotches + grain)[..., None]

    # Macula: a broad shade with a darker middle, deepest in green and blue.
    distance = np.hypot(x - anatomy.fovea[0], y - anatomy.fovea[1]) / anatomy.disc_diameter
    shade = random.uniform(0.15, 0.4) * np.exp(-np.square(distance / 0.45))
    shade += random.uniform(0.08, 0.2) * np.exp(-np.square(distance / 1.1))
    light *= 1 - shade[..., None] * np.array([0.6, 1.0, 0.9], np.float32)
    if random.random() < 0.4:
        light += (0.10 * np.exp(-np.square(distance / 0.06)))[..., None].astype(np.float32)
    return light + _nerve_fibres(random, anatomy, x, y)[..., None] * np.array([0.5, 0.55, 0.3], np.float32)


def _nerve_fibres(random: np.random.Generator, anatomy: Anatomy, x: Floats, y: Floats) -> Floats:
    across, down = (x - anatomy.disc[0]) * anatomy.temporal, y - anatomy.disc[1]
    distance = np.hypot(across, down) / anatomy.disc_diameter
    angle = np.arctan2(down, across) * (1 + 0.10 * distance)  # they bend around the macula
    rays = random.standard_normal(512, dtype=np.float32)
    rays = rays + np.roll(rays, 1) + np.roll(rays, 2)
    streaks = np.interp(angle, np.linspace(-2 * np.pi, 2 * np.pi, rays.size), rays).astype(np.float32)
    poles = np.exp(-np.square((np.abs(angle) - 1.15) / 0.5))
    along = distance * np.exp(-np.square(distance / 1.6))
    strength = random.uniform(0.01, 0.06)
    return np.asarray(strength * np.clip(streaks, 0, 3) * poles * along, np.float32)


def _draw_disc(light: Floats, random: np.random.Generator, anatomy: Anatomy, x: Floats, y: Floats) -> Floats:
    across, down = (x - anatomy.disc[0]) * anatomy.temporal, y - anatomy.disc[1]
    half = anatomy.disc_diameter / 2
    angle = np.arctan2(down, across)
    wobble = 1 + 0.02 * np.cos(2 * angle + random.uniform(0, 6)) + 0.015 * np.cos(3 * angle + random.uniform(0, 6))
    rim = np.hypot(across / random.uniform(0.86, 0.98), down / random.uniform(0.98, 1.06)) / (half * wobble)
    if random.random() < 0.5:  # a pale crescent of thin tissue at the temporal side
        crescent = soft_inside(np.hypot(across - 0.22 * half, down) / half - 1.02, 0.15) * 0.14
        light = light + (crescent * np.clip(1.2 * rim - 0.6, 0, 1))[..., None] * np.array([1, 0.7, 0.4], np.float32)
    pale = np.clip(light.mean(axis=(0, 1)) * np.array([1.3, 1.65, 1.7], np.float32), 0.15, 1)
    pale *= np.float32(random.uniform(0.9, 1.1))
    cover = (soft_inside((rim - 1).astype(np.float32), random.uniform(0.12, 0.3)) * random.uniform(0.75, 0.95))[
        ..., None
    ]
    light = light * (1 - cover) + pale * cover
    cup = np.hypot(across - random.uniform(0, 0.25) * half, down) / (half * random.uniform(0.35, 0.65))
    glow = (soft_inside((cup - 1).astype(np.float32), random.uniform(0.4, 0.9)) * random.uniform(0.1, 0.3))[..., None]
    return light + glow * np.array([0.6, 1.0, 0.85], np.float32)


def _draw_vessels(
    light: Floats, random: np.random.Generator, trees: tuple[Vessels, Vessels], radius_px: float
) -> tuple[Floats, NDArray[np.bool_]]:
    height, width = light.shape[:2]
    middle = np.array([width / 2, height / 2])
    vessel = np.zeros((height, width), np.bool_)
    strength = random.uniform(0.75, 1.2)
    unevenness = 1 + 0.15 * smooth_noise(random, (height, width), 0.2 * radius_px)
    reflex = random.uniform(0.10, 0.30)
    for tree, absorption, shine in zip(
        trees, (_ARTERY_ABSORPTION, _VEIN_ABSORPTION), (reflex, 0.3 * reflex), strict=True
    ):
        # On a small picture the finest vessels are widened to what its pixels can show.
        radii = np.maximum(tree.radii * radius_px, 0.9 * _THINNEST_PX)
        starts, ends = tree.starts * radius_px + middle, tree.ends * radius_px + middle
        depth, axis = stroke((height, width), starts, ends, radii)
        vessel |= depth > 0
        thickness = (depth / (0.018 * radius_px)) ** 0.7 * unevenness * strength
        light = light * np.exp(-thickness[..., None] * np.array(absorption, np.float32))
        # The wall mirrors the flash along the middle of the wider vessels.
        wide = np.clip(depth / (0.008 * radius_px) - 1, 0, 1)
        light = light * (1 + shine * wide * np.clip(axis - 0.86, 0, 1) / 0.14)[..., None] if shine else light
    return light.astype(np.float32), vessel


def _draw_lesions(light: Floats, random: np.random.Generator, x: Floats, y: Floats, radius_px: float) -> Floats:
    if random.random() < 0.55:
        return light
    size = light.shape[:2]
    ragged = np.clip(1 + 0.2 * smooth_noise(random, size, 0.03 * radius_px), 0.6, 2)

    def spot(centre: NDArray[np.float64], radius: float) -> Floats:
        return soft_inside(((np.hypot(x - centre[0], y - centre[1]) * ragged) / radius - 1).astype(np.float32), 0.9)

    dark, bright = np.zeros(size, np.float32), np.zeros(size, np.float32)
    for _ in range(int(random.integers(0, 8))):
        dark = np.maximum(dark, spot(random.uniform(-0.7, 0.7, 2), max(random.uniform(0.006, 0.02), 1 / radius_px)))
    for _ in range(int(random.integers(0, 3))):
        dark = np.maximum(dark, 0.8 * spot(random.uniform(-0.7, 0.7, 2), random.uniform(0.03, 0.06)))
    cluster = random.uniform(-0.55, 0.55, 2)
    for _ in range(int(random.integers(0, 12))):
        place = cluster + random.normal(0, 0.12, 2)
        bright = np.maximum(bright, spot(place, max(random.uniform(0.006, 0.022), 1 / radius_px)))
    light = light * np.exp(-dark[..., None] * np.array([0.35, 0.8, 0.6], np.float32))
    return light + bright[..., None] * np.array([0.22, 0.26, 0.10], np.float32)


def _illumination(random: np.random.Generator, x: Floats, y: Floats) -> Floats:
    off_x, off_y = random.normal(0, 0.22, 2)
    falloff = 1 - random.uniform(0.2, 0.5) * np.square(np.hypot(x - off_x, y - off_y))
    if random.random() < 0.4:  # the pupil cuts off part of the light
        direction = random.uniform(0, 2 * math.pi)
        side = x * math.cos(direction) + y * math.sin(direction)
        falloff = falloff * (1 - random.uniform(0.2, 0.55) * np.clip(side - random.uniform(0.1, 0.4), 0, 1))
    return np.asarray(np.clip(falloff, 0.15, 1.2), np.float32)
