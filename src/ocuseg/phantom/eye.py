"""Draw photographs of the front of the eye during cataract surgery, with the mask of what is seen."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ocuseg.classes import Classes, parse_classes
from ocuseg.phantom.texture import Floats, Phantom, photograph, smooth_noise, soft_inside, stroke

__all__ = ["draw_eye", "eye_classes"]

_IRIS_COLOURS = ((112, 132, 108), (120, 84, 50), (92, 118, 146), (74, 52, 38), (140, 138, 118))
_DRAPE_COLOURS = ((18, 42, 24), (22, 34, 52), (70, 46, 34), (96, 66, 50))
_SCLERA = (0.80, 0.74, 0.66)


def eye_classes() -> Classes:
    """Return the classes of a drawn eye: background, iris, pupil, cataract (a part of the pupil), instrument."""
    names = ("background", "iris", "pupil", "cataract", "instrument")
    parents = {"cataract": {"parent": "pupil"}}
    return parse_classes(
        [{"id": class_id, "name": name, **parents.get(name, {})} for class_id, name in enumerate(names)]
    )


def draw_eye(seed: int, size: int | tuple[int, int] = 256) -> Phantom:
    """Return a drawn photograph of the front of an eye with the mask of `eye_classes`; its field of view is all True.

    The same `seed` and `size` (one side, or height and width, in pixels) always give the same picture. A cataract
    clouds part of most pupils, instruments reach into most pictures, and what lies in front hides what is behind.
    """
    height, width = (size, size) if isinstance(size, int) else size
    random = np.random.default_rng((seed, 0xE7E))
    unit_px = min(height, width) / 2
    x = ((np.arange(width, dtype=np.float32) + 0.5 - width / 2) / unit_px)[None, :]
    y = ((np.arange(height, dtype=np.float32) + 0.5 - height / 2) / unit_px)[:, None]
    centre = random.normal(0, 0.10, 2)
    limbus = float(random.uniform(0.42, 0.56))
    pupil = limbus * float(random.uniform(0.42, 0.74))
    across, down = x - centre[0], (y - centre[1]) * random.uniform(0.97, 1.05)
    distance, angle = np.hypot(across, down), np.arctan2(down, across)
    mask = np.zeros((height, width), np.uint8)

    light = _draw_surround(random, x, y, centre, unit_px)
    light = _draw_iris(light, random, distance, angle, limbus, pupil)
    mask[distance <= limbus] = 1
    border = pupil * (1 + random.uniform(0, 0.025) * np.cos(3 * angle + random.uniform(0, 6)))
    light = _draw_pupil(light, random, distance, down, border, unit_px)
    mask[distance <= border] = 2
    if random.random() < 0.8:
        light, cloudy = _draw_cataract(light, random, across, down, pupil, unit_px)
        mask[cloudy & (distance <= border)] = 3
    light = _draw_highlights(light, random, across, down, pupil)
    light *= _lamp(random, distance)[..., None]
    for _ in range(int(random.choice(3, p=(0.2, 0.5, 0.3)))):
        light, instrument = _draw_instrument(light, random, centre, limbus, unit_px)
        mask[instrument] = 4
    image = photograph(light, random, random.uniform(0.003, 0.008) * unit_px, random.uniform(2, 6))
    return Phantom(image, mask, np.ones((height, width), np.bool_))


def _cover(light: NDArray[np.floating], colour: NDArray[np.floating], amount: NDArray[np.floating]) -> Floats:
    return np.asarray(light + amount[..., None] * (colour - light), np.float32)


def _draw_surround(
    random: np.random.Generator, x: Floats, y: Floats, centre: NDArray[np.float64], unit_px: float
) -> Floats:
    size = (y.size, x.size)
    drape = np.array(_DRAPE_COLOURS[int(random.integers(len(_DRAPE_COLOURS)))], np.float32) / 255
    folds = 1 + 0.25 * smooth_noise(random, size, 0.4 * unit_px) + 0.06 * smooth_noise(random, size, 4)
    light = np.asarray(drape * folds[..., None], np.float32)
    # The lids leave an opening between two arcs.
    across, down = x - centre[0], y - centre[1]
    upper, lower = random.uniform(0.55, 0.85, 2)
    lids = np.where(down < 0, -down / upper, down / lower) + np.square(across / random.uniform(0.95, 1.25)) - 1
    lids = (lids + 0.02 * smooth_noise(random, size, 0.3 * unit_px)).astype(np.float32)
    lid = np.array([0.62, 0.36, 0.28], np.float32) * np.float32(random.uniform(0.6, 1.0))
    light = _cover(light, lid, 0.7 * np.exp(-np.square(lids / 0.18)))
    sclera = np.array(_SCLERA, np.float32) * (1 + 0.025 * smooth_noise(random, size, 0.15 * unit_px))[..., None]
    threads = np.exp(-np.square(smooth_noise(random, size, 0.11 * unit_px) / 0.10))
    threads *= np.clip(smooth_noise(random, size, 0.4 * unit_px), 0, 1) * random.uniform(0.3, 1)
    reddened = sclera * (1 - threads[..., None] * np.array([0.10, 0.45, 0.40], np.float32))
    return _cover(light, reddened, soft_inside(lids, 0.12))


def _draw_iris(
    light: Floats, random: np.random.Generator, distance: Floats, angle: Floats, limbus: float, pupil: float
) -> Floats:
    colour = np.array(_IRIS_COLOURS[int(random.integers(len(_IRIS_COLOURS)))], np.float32) / 255
    colour = colour * random.normal(1, 0.06, 3).astype(np.float32)
    fibres = random.standard_normal(361)
    fibres[-1] = fibres[0]
    part = np.clip((distance - pupil) / (limbus - pupil), 0, 1)
    rays = np.interp(angle + 0.05 * part, np.linspace(-np.pi, np.pi, 361), fibres, period=2 * np.pi)
    shade = 1 + 0.14 * rays - 0.35 * np.square(part) + 0.25 * np.exp(-np.square((part - 0.25) / 0.12))
    iris = colour * np.asarray(shade, np.float32)[..., None]
    return _cover(light, iris, soft_inside((distance - limbus).astype(np.float32), random.uniform(0.03, 0.09)))


def _draw_pupil(
    light: Floats, random: np.random.Generator, distance: Floats, down: Floats, border: Floats, unit_px: float
) -> Floats:
    glow = float(random.uniform(0, 1)) ** 1.5  # the red reflex of the fundus, from none to strong
    colour = np.array([0.08 + 0.72 * glow, 0.05 + 0.22 * glow, 0.05 + 0.08 * glow], np.float32)
    uneven = 1 + random.uniform(-0.8, 0.8) * down + 0.08 * smooth_noise(random, light.shape[:2], 0.15 * unit_px)
    inside = soft_inside((distance - border).astype(np.float32), 3 / unit_px)
    return _cover(light, colour * np.asarray(np.clip(uneven, 0.2, 2), np.float32)[..., None], inside)


def _draw_cataract(
    light: Floats, random: np.random.Generator, across: Floats, down: Floats, pupil: float, unit_px: float
) -> tuple[Floats, NDArray[np.bool_]]:
    size = light.shape[:2]
    off = random.normal(0, 0.2 * pupil, 2)
    radius = pupil * random.uniform(0.45, 0.85)
    ragged = 0.10 * smooth_noise(random, size, 0.18 * unit_px) + 0.04 * smooth_noise(random, size, 0.06 * unit_px)
    edge = (np.hypot(across - off[0], down - off[1]) / radius - 1 + ragged).astype(np.float32)
    inside = soft_inside((np.hypot(across, down) - pupil).astype(np.float32), 3 / unit_px)
    colour = np.array([0.66, 0.64, 0.56], np.float32) * random.normal(1, 0.06, 3).astype(np.float32)
    streaks = 1 + 0.07 * smooth_noise(random, size, 0.1 * unit_px)
    cloud = soft_inside(edge, random.uniform(0.15, 0.35)) * inside * random.uniform(0.55, 0.95)
    return _cover(light, colour * streaks[..., None], cloud), edge <= 0


def _draw_highlights(light: Floats, random: np.random.Generator, across: Floats, down: Floats, pupil: float) -> Floats:
    for _ in range(int(random.integers(1, 4))):
        place, radius = random.normal(0, 0.4 * pupil, 2), random.uniform(0.012, 0.03)
        away = np.hypot((across - place[0]) / random.uniform(1, 2), down - place[1])
        light = _cover(light, np.ones(3, np.float32), soft_inside((away / radius - 1).astype(np.float32), 0.8))
    return light


def _lamp(random: np.random.Generator, distance: Floats) -> Floats:
    away = np.clip(distance - random.uniform(0.5, 0.75), 0, None)
    return np.asarray(random.uniform(0.85, 1.15) * np.exp(-np.square(away / random.uniform(0.35, 0.8))), np.float32)


def _draw_instrument(
    light: Floats, random: np.random.Generator, centre: NDArray[np.float64], limbus: float, unit_px: float
) -> tuple[Floats, NDArray[np.bool_]]:
    height, width = light.shape[:2]
    direction = random.uniform(-0.3, math.pi + 0.3)  # the surgeon's hands are below
    tip = centre + random.uniform(-0.6, 0.6, 2) * limbus
    far = tip + 4 * np.array([math.cos(direction), math.sin(direction)])
    neck = tip + random.uniform(0.35, 0.8) * (far - tip) / 4
    thick = random.uniform(0.035, 0.06)
    thin = thick * random.uniform(0.35, 0.6)
    middle = np.array([width / 2, height / 2])
    starts = np.array([tip, neck]) * unit_px + middle
    ends = np.array([neck, far]) * unit_px + middle
    radii = np.maximum(np.array([[thin, thin * 1.1], [thick, thick * 1.6]]) * unit_px, 0.8)
    depth, axis = stroke((height, width), starts, ends, radii)
    metal = np.array([0.55, 0.58, 0.60], np.float32) * np.float32(random.uniform(0.35, 1.0))
    shine = 0.45 + 0.5 * axis + 0.9 * np.clip(axis - 0.85, 0, 1) / 0.15 * random.uniform(0.2, 1)
    return _cover(light, metal * shine[..., None].astype(np.float32), (depth > 0).astype(np.float32)), depth > 0
