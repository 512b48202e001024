"""Draw the eyeball of an eye under surgery: the sclera with its vessels, the iris, and where they lie."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ocuseg.phantom.canvas import Canvas, Window
from ocuseg.phantom.texture import Floats

__all__ = ["Eye", "draw_iris", "draw_sclera", "place_eye"]

_IRIS_COLOURS = (
    (0.56, 0.60, 0.50),  # grey-green
    (0.68, 0.64, 0.46),  # yellow-grey
    (0.42, 0.31, 0.21),  # brown
    (0.22, 0.16, 0.12),  # dark brown
    (0.46, 0.53, 0.60),  # blue
    (0.64, 0.66, 0.62),  # pale grey
    (0.36, 0.42, 0.38),
    (0.60, 0.49, 0.33),  # amber
)
_SCLERA_COLOURS = ((0.92, 0.88, 0.80), (0.86, 0.80, 0.66), (0.90, 0.74, 0.66), (0.80, 0.82, 0.84), (0.95, 0.90, 0.88))
_LIMBUS_COLOURS = ((0.66, 0.66, 0.60), (0.55, 0.60, 0.64), (0.75, 0.70, 0.55), (0.45, 0.46, 0.42))

# What reddened sclera and vessels take from red, green and blue.
_REDDENED = (0.05, 0.45, 0.42)
_BLOOD = (0.22, 0.80, 0.75)


@dataclass(frozen=True, slots=True)
class Eye:
    """Where an eye lies in the picture, in the unit of the canvas, and each pixel's place in it.

    `window` holds the cornea with a margin. In it, `from_limbus` and `from_pupil` (h, w) are distances from those
    borders, negative inside; `angle` (h, w) goes around the pupil, `across` and `down` (h, w) are the place in it in
    its radii. `radius` (H, W) is the distance from the centre of the cornea, 1 at the limbus, of the whole picture.
    """

    centre: tuple[float, float]
    limbus: float
    pupil_centre: tuple[float, float]
    pupil: float
    window: Window
    radius: Floats
    from_limbus: Floats
    from_pupil: Floats
    angle: Floats
    across: Floats
    down: Floats


def place_eye(canvas: Canvas) -> Eye:
    """Return an eye anywhere near the middle, with a limbus of .27 to .8 of half the picture, tilted or not."""
    number = canvas.number
    limbus = float(np.clip(canvas.random.normal(0.51, 0.1), 0.27, 0.8))
    spread = 0.12 if canvas.chance(0.7) else 0.3
    x, y = np.clip(canvas.random.normal(0, (1.3 * spread, spread)), -0.6, 0.6).tolist()
    squeeze, tilt = number(0.80, 1.02), canvas.random.normal(math.pi / 2, 0.5)
    radius = _ellipse(canvas.x - x, canvas.y - y, limbus, squeeze, tilt)
    share = float(np.clip(canvas.random.normal(0.72, 0.12), 0.28, 0.9))
    off = canvas.random.normal(0, 0.04, 2) * limbus
    room = max(0.96 - share, 0.0) * limbus * 0.7
    off *= min(1.0, room / max(float(np.hypot(*off)), 1e-6))
    pupil_x, pupil_y, pupil = x + float(off[0]), y + float(off[1]), share * limbus
    window = canvas.near(x, y, 1.45 * limbus)
    columns, rows = canvas.grid(window)
    across, down = (columns - pupil_x) / pupil, (rows - pupil_y) / pupil
    across, down = np.broadcast_arrays(across, down)
    angle = np.arctan2(down, across)
    border = np.ones_like(angle)
    rough = 0.012 if canvas.chance(0.8) else 0.04  # a few pupils are torn, stuck or held by hooks
    for wave in range(3, 8):
        border += np.float32(canvas.random.normal(0, rough / wave * 2)) * np.cos(wave * angle + number(0, 6.3))
    apart = _ellipse(across, down, 1.0, squeeze * number(0.95, 1.05), tilt)
    from_limbus = (radius[window] - 1) * np.float32(limbus)
    from_pupil = np.maximum((apart - border) * np.float32(pupil), from_limbus + np.float32(0.03 * limbus))
    return Eye(
        (x, y),
        limbus,
        (pupil_x, pupil_y),
        pupil,
        window,
        radius,
        from_limbus,
        np.asarray(from_pupil, np.float32),
        angle,
        across,
        down,
    )


def draw_sclera(canvas: Canvas, eye: Eye) -> None:
    """Draw the sclera over the whole picture: its curve, red and swollen places, vessels and bleeding."""
    number = canvas.number
    white = canvas.colour(_SCLERA_COLOURS, 0.04)
    curve = np.clip(eye.radius - 1, 0, None)
    shade = 1 - number(0, 0.35) * np.minimum(curve, 2) ** 2 + number(0.01, 0.05) * canvas.noise(0.15)
    shade += number(0, 0.15) * canvas.noise(0.5)
    red = number(0, 0.7) ** 1.5 * np.clip(canvas.noise(0.5) + number(-1, 0.8) + number(0, 1.8) * curve, 0, 1)
    vessels = canvas.ink(_scleral_vessels(canvas, eye)) * np.clip(1 + 0.7 * canvas.noise(0.25), 0.1, 1.4)
    vessels = np.clip(number(0.15, 0.75) * vessels, 0, 1)
    for channel in range(3):
        canvas.light[channel] = (
            shade * white[channel] * (1 - red * _REDDENED[channel]) * (1 - vessels * _BLOOD[channel])
        )
    for _ in range(canvas.count(0.7, 0.2, 0.1)):
        _bleed(canvas, eye)


def draw_iris(canvas: Canvas, eye: Eye) -> None:
    """Draw the iris and the limbus, a broad soft zone whose middle is the edge of the iris."""
    number = canvas.number
    window, softness = eye.window, eye.limbus * (number(0.08, 0.35) if canvas.chance(0.85) else number(0.02, 0.08))
    ring = np.maximum(eye.limbus - eye.pupil, 0.05)
    part = np.clip(eye.from_pupil / ring, 0, 1).astype(np.float32)
    fibres, crypts = _fibres(canvas, eye.angle, part)
    contrast = number(0.0, 0.22) ** 1.3 * 1.5
    shade = 1 + contrast * fibres + number(0, 0.2) * np.minimum(crypts, 0)
    shade += number(-0.1, 0.35) * np.exp(-np.square((part - number(0.1, 0.4)) / number(0.06, 0.2)))  # the collarette
    shade -= number(0, 0.45) * np.square(part)
    colour = canvas.colour(_IRIS_COLOURS, 0.08)
    other = canvas.colour(_IRIS_COLOURS, 0.08)
    mixed = colour + number(0, 0.8) * np.exp(-part / number(0.1, 0.6)) * (other - colour)
    mixed = mixed * number(0.75, 1.35)
    canvas.cover(canvas.inside(eye.from_limbus, softness), mixed * np.clip(shade, 0.1, 2), window)
    if canvas.chance(0.7):  # the grey zone of the limbus, or the white ring of old age inside it
        place = number(-0.10, 0.03) * eye.limbus
        zone = np.exp(-np.square((eye.from_limbus - place) / (number(0.03, 0.10) * eye.limbus)))
        zone *= np.clip(1 + 0.4 * canvas.noise(0.3, window), 0, 1.5)
        canvas.cover(np.clip(number(0.1, 0.7) * zone, 0, 1), canvas.colour(_LIMBUS_COLOURS) * number(0.7, 1.3), window)
    dark_rim = np.exp(-np.square(eye.from_pupil / (number(0.008, 0.03) * eye.limbus)))
    canvas.dim(1 - number(0, 0.8) * dark_rim, window)
    if canvas.chance(0.6):  # one side lies in the shade or in a second light
        slope = eye.across * number(-0.8, 0.8) + eye.down * number(-0.8, 0.8)
        inside = canvas.inside(eye.from_limbus, softness)
        canvas.dim(np.clip(1 + inside * slope * 0.5, 0.3, 1.6), window)


def _ellipse(x: Floats, y: Floats, radius: float, squeeze: float, tilt: float) -> Floats:
    """Return the distance, 1 on an ellipse that is `squeeze` times as wide along the angle `tilt` as across it."""
    along, aside = x * math.cos(tilt) + y * math.sin(tilt), y * math.cos(tilt) - x * math.sin(tilt)
    return np.asarray(np.hypot(along / squeeze, aside) / radius, np.float32)


def _fibres(canvas: Canvas, angle: Floats, part: Floats) -> tuple[Floats, Floats]:
    from PIL import Image

    steps_in, steps_around = 32, 1024
    textures = []
    for inwards, around in ((3, int(canvas.number(60, 300))), (6, int(canvas.number(20, 50)))):
        coarse = canvas.random.standard_normal((inwards, around), dtype=np.float32)
        coarse[:, -1] = coarse[:, 0]
        fine = Image.fromarray(coarse).resize((steps_around, steps_in), Image.Resampling.BICUBIC)
        row = np.asarray(part * (steps_in - 1), np.intp)
        column = np.asarray((angle + math.pi) * ((steps_around - 1) / (2 * math.pi)), np.intp)
        textures.append(np.asarray(fine)[row, column])
    return textures[0], textures[1]


def _scleral_vessels(canvas: Canvas, eye: Eye) -> list[tuple[NDArray[np.float64], float]]:
    """Return vessels that wind from the fornix towards the limbus, and their branches."""
    random = canvas.random
    count, wiggle = int(random.integers(8, 150)), canvas.number(0.1, 0.45)
    width = canvas.number(0.003, 0.009)
    around = np.where(
        random.random(count) < 0.5, random.normal(canvas.number(0, 6.3), 0.7, count), random.uniform(0, 6.3, count)
    )
    place = eye.limbus * random.uniform(1.15, 2.4, count)[:, None] * np.stack([np.cos(around), np.sin(around)], axis=1)
    trunks = _winding(random, place + eye.centre, around + math.pi + random.normal(0, 0.5, count), wiggle, eye.limbus)
    parents = random.integers(count, size=count)
    forks = trunks[parents, random.integers(2, 20, count)]
    twigs = _winding(random, forks, around[parents] + math.pi + random.normal(0, 0.9, count), wiggle, eye.limbus)
    curves = []
    for lines, thick in ((trunks, width), (twigs, 0.6 * width)):
        apart = np.hypot(*(lines - eye.centre).transpose(2, 0, 1))
        ends = np.minimum(
            np.argmin(apart > canvas.number(1.0, 1.12) * eye.limbus, axis=1), random.integers(6, 40, count)
        )
        ends = np.where((apart > eye.limbus).all(axis=1), 20, ends)
        widths = thick * random.uniform(0.4, 1.3, count)
        curves += [(line[:end], float(wide)) for line, end, wide in zip(lines, ends, widths, strict=True) if end > 2]
    return curves


def _winding(
    random: np.random.Generator,
    starts: NDArray[np.float64],
    headings: NDArray[np.float64],
    wiggle: float,
    limbus: float,
) -> NDArray[np.float64]:
    """Return lines (N, 40, 2) that leave `starts` (N, 2) along `headings` (N,) and wander."""
    turns = headings[:, None] + wiggle * np.cumsum(random.normal(0, 0.8, (len(starts), 40)), axis=1)
    steps = 0.035 * limbus * np.stack([np.cos(turns), np.sin(turns)], axis=2)
    return np.asarray(starts[:, None, :] + np.cumsum(steps, axis=1))


def _bleed(canvas: Canvas, eye: Eye) -> None:
    around, apart = canvas.number(-math.pi, math.pi), eye.limbus * canvas.number(1.0, 1.5)
    x, y = eye.centre[0] + apart * math.cos(around), eye.centre[1] + apart * math.sin(around)
    reach = canvas.number(0.04, 0.25)
    window = canvas.near(x, y, 2 * reach)
    columns, rows = canvas.grid(window)
    if not columns.size or not rows.size:
        return
    ragged = 1.2 * canvas.texture(0.6 * reach, window)
    apart_here = np.hypot(columns - x, (rows - y) * canvas.number(0.7, 3)) / reach
    amount = canvas.inside(np.asarray(apart_here - 0.7 + 0.5 * ragged, np.float32), canvas.number(0.1, 0.8))
    canvas.cover(canvas.number(0.3, 0.9) * amount, canvas.colour(((0.62, 0.07, 0.06), (0.4, 0.03, 0.04))), window)
