"""Draw retro-illumination photographs of the lens: its cataract dark on the red reflex, with an exact mask."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ocuseg.classes import Classes, parse_classes
from ocuseg.phantom.camera import take_picture
from ocuseg.phantom.canvas import Canvas
from ocuseg.phantom.texture import Floats, Phantom

__all__ = ["draw_retro", "retro_classes"]

_CLEAR, _CATARACT = 1, 2
_VISIBLE = 0.15  # the share of light that is lost where an opacity counts as cataract


@dataclass(frozen=True, slots=True)
class _Lens:
    """Each pixel's place (H, W) in the pupil.

    `gap` is the distance from its edge in the unit of the canvas, negative inside; `across`, `down` and `away`, the
    distance from the centre, are in radii; `angle` goes around the centre.
    """

    centre: tuple[float, float]
    radius: float
    gap: Floats
    across: Floats
    down: Floats
    away: Floats
    angle: Floats


def retro_classes() -> Classes:
    """Return the classes of a drawn retro-illumination photograph: background, clear lens, cataract."""
    rows = [("background", "#000000"), ("clear lens", "#f2b134"), ("cataract", "#e5534b")]
    return parse_classes([{"id": number, "name": name, "colour": colour} for number, (name, colour) in enumerate(rows)])


def draw_retro(seed: int, size: int | tuple[int, int] = (256, 384)) -> Phantom:
    """Return a drawn retro-illumination photograph with the mask of `retro_classes`; its field of view is all True.

    The same `seed` and `size` (one side, or height and width, in pixels) always give the same picture. Cataract is
    where opacities (wedges from the rim, clouds, spokes, dots, vacuoles) take at least .15 of the light; uneven
    glow, the dark bands of a polariser and reflections count as clear lens. About a third of the lenses are clear; in a
    quarter the reflex is weak, as of a dense lens.
    """
    height, width = (size, size) if isinstance(size, int) else size
    canvas = Canvas(np.random.default_rng((seed, 0x1E5)), (height, width))
    lens = _place_lens(canvas)
    lost = _opacities(canvas, lens)
    _draw_surround(canvas, lens)
    inside = canvas.inside(lens.gap, canvas.number(0.003, 0.02) if canvas.chance(0.6) else canvas.number(0.02, 0.08))
    canvas.cover(inside, _coloured(canvas, _glow(canvas, lens) * (1 - lost)))
    bands = _polariser(canvas, lens)
    canvas.dim(bands)
    mask = np.where(lens.gap <= 0, np.where(lost >= _VISIBLE, _CATARACT, _CLEAR), 0).astype(np.uint8)
    if canvas.chance(0.12):
        mask[_draw_lid(canvas, lens)] = 0
    _draw_reflections(canvas, lens)
    _veil(canvas)
    return Phantom(take_picture(canvas), mask, np.ones((height, width), np.bool_))


def _place_lens(canvas: Canvas) -> _Lens:
    number = canvas.number
    radius = float(np.clip(canvas.random.normal(0.62, 0.11), 0.3, 0.9))
    x, y = canvas.random.normal(0, (0.12, 0.08)).tolist()
    squeeze = number(0.9, 1.03)
    across = np.broadcast_to((canvas.x - x) / (radius * squeeze), canvas.size)
    down = np.broadcast_to((canvas.y - y) / radius, canvas.size)
    away, angle = np.hypot(across, down), np.arctan2(down, across)
    border = np.ones_like(away)
    rough = 0.01 if canvas.chance(0.75) else 0.035
    for wave in range(2, 9):
        border += np.float32(canvas.random.normal(0, rough * 2 / wave)) * np.cos(wave * angle + number(0, 6.3))
    gap = np.asarray((away - border) * np.float32(radius), np.float32)
    return _Lens((x, y), radius, gap, across, down, away, angle)


def _glow(canvas: Canvas, lens: _Lens) -> Floats:
    """Return the light (H, W) of the reflex before any opacity: uneven, with dark lobes and bright clumps."""
    number = canvas.number
    turn = number(0, 6.3)
    slope = lens.across * math.cos(turn) + lens.down * math.sin(turn)
    level = number(0.55, 1.05) * (1 + number(0, 0.25) * slope - number(-0.1, 0.25) * np.square(lens.away))
    level = level * (1 + number(0, 0.12) * canvas.noise(0.4) + number(0, 0.035) * canvas.noise(0.05))
    if canvas.chance(0.4):  # two or four soft lobes
        lobes = np.cos(int(canvas.random.integers(1, 3)) * 2 * (lens.angle - turn)) * np.minimum(lens.away, 1)
        level = level * (1 + number(0, 0.18) * lobes)
    if canvas.chance(0.25):  # bright clumps, as of cells, are no opacity
        near = np.exp(
            -np.square(np.hypot(lens.across - number(-0.7, 0.7), lens.down - number(-0.7, 0.7)) / number(0.2, 0.5))
        )
        level = level + number(0.1, 0.5) * near * np.clip(0.3 + canvas.texture(0.08), 0, 1.5)
    if canvas.chance(0.25):  # a dense lens lets little light back, in clouds
        clouds = number(0.6, 1) + number(0.1, 0.5) * canvas.texture(number(0.1, 0.5))
        level = level * number(0.15, 0.6) * np.clip(clouds, 0.1, 2)
    return np.asarray(np.clip(level, 0.02, 1.6), np.float32)


def _coloured(canvas: Canvas, level: Floats) -> Floats:
    """Return the reflex (3, H, W), orange or red, at a level of light: where it fades, green goes before red."""
    number = canvas.number
    red, green, blue = number(0.85, 1.15), number(0.32, 0.75), number(0.03, 0.2)
    bend = number(0.2, 0.7)
    faded = level * (1 - bend + bend * level)
    return np.stack([red * np.minimum(level * number(1, 1.3), 1.3), green * faded, blue * faded])


def _opacities(canvas: Canvas, lens: _Lens) -> Floats:
    """Return the share (H, W) of light that the cataract takes, 0 to .9; 0 in clear lenses."""
    from scipy import ndimage

    lost = np.zeros(canvas.size, np.float32)
    if canvas.chance(0.3):
        return lost
    draws = (_wedges, _cloud, _spokes, _dots, _vacuoles, _patches)
    chances = (0.4, 0.45, 0.3, 0.4, 0.25, 0.3)
    chosen = [draw for draw, chance in zip(draws, chances, strict=True) if canvas.chance(chance)] or [_cloud]
    for draw in chosen:
        lost = np.maximum(lost, draw(canvas, lens))
    lost = lost * np.clip(1 + canvas.number(0, 0.5) * canvas.texture(0.06), 0.1, 1.7)
    if canvas.chance(0.5):  # out of focus, as at the back of a lens when its front is sharp
        lost = ndimage.gaussian_filter(lost, canvas.number(0.005, 0.05) * canvas.unit_px, truncate=2.5)
    return np.asarray(np.clip(lost, 0, 0.9), np.float32)


def _ragged(canvas: Canvas, distance: NDArray[np.floating], softness: float) -> Floats:
    """Return 1 inside and 0 outside of a border that is frayed; `distance` in radii of the lens."""
    frayed = distance + canvas.number(0.01, 0.12) * canvas.texture(0.12)
    return canvas.inside(frayed, softness)


def _wedges(canvas: Canvas, lens: _Lens) -> Floats:
    lost = np.zeros(canvas.size, np.float32)
    for _ in range(int(canvas.random.integers(1, 11))):
        tip, half = canvas.number(0.2, 0.9), canvas.number(0.03, 0.25)
        turned = np.abs((lens.angle - canvas.number(0, 6.3) + math.pi) % (2 * math.pi) - math.pi) * lens.away
        wedge = _ragged(canvas, turned - half * (lens.away - tip) / (1 - tip), canvas.number(0.03, 0.12))
        lost = np.maximum(lost, canvas.number(0.2, 0.7) * wedge * (lens.away > tip))
    return np.asarray(lost, np.float32)


def _cloud(canvas: Canvas, lens: _Lens) -> Floats:
    """Return a mottled cloud, most often near the centre, as of a posterior subcapsular cataract."""
    number = canvas.number
    x, y = canvas.random.normal(0, 0.25, 2).tolist()
    reach = number(0.12, 0.55)
    away = np.hypot((lens.across - x) / number(0.8, 1.6), lens.down - y)
    body = _ragged(canvas, away - reach + number(0, 0.15) * canvas.noise(0.25), number(0.04, 0.3))
    mottled = np.clip(1 + number(0.1, 0.8) * canvas.texture(0.1), 0.1, 1.6)
    return np.asarray(number(0.25, 0.7) * body * mottled, np.float32)


def _spokes(canvas: Canvas, lens: _Lens) -> Floats:
    """Return thin lines along the sutures, from the centre outwards."""
    lost = np.zeros(canvas.size, np.float32)
    x, y = canvas.random.normal(0, 0.1, 2).tolist()
    across, down = lens.across - x, lens.down - y
    count, turn = int(canvas.random.integers(2, 8)), canvas.number(0, 6.3)
    for number in range(count):
        angle = turn + (number + canvas.number(-0.25, 0.25)) * 2 * math.pi / count
        along, aside = (
            across * math.cos(angle) + down * math.sin(angle),
            down * math.cos(angle) - across * math.sin(angle),
        )
        wide = canvas.number(0.01, 0.045)
        line = np.abs(aside + 0.03 * canvas.noise(0.2)) - wide * (1.2 - along)
        ends = (along > -0.03) & (along < canvas.number(0.3, 0.95))
        lost = np.maximum(lost, canvas.number(0.2, 0.6) * _ragged(canvas, line, 0.06) * ends)
    return np.asarray(lost, np.float32)


def _dots(canvas: Canvas, lens: _Lens) -> Floats:
    place = np.hypot(lens.across - canvas.number(-0.6, 0.6), lens.down - canvas.number(-0.6, 0.6))
    region = canvas.inside(np.asarray(place - canvas.number(0.3, 1.5) + 0.2 * canvas.noise(0.25), np.float32), 0.3)
    grains = np.clip((canvas.noise(canvas.number(0.02, 0.06)) - canvas.number(1.0, 2.0)) * 3, 0, 1)
    return np.asarray(canvas.number(0.3, 0.7) * region * grains, np.float32)


def _vacuoles(canvas: Canvas, lens: _Lens) -> Floats:
    lost = np.zeros(canvas.size, np.float32)
    x, y = canvas.random.normal(0, 0.4, 2).tolist()
    for _ in range(int(canvas.random.integers(2, 10))):
        radius = canvas.number(0.02, 0.07)
        away = np.hypot(lens.across - x, lens.down - y) / radius
        ring = np.exp(-np.square((away - 1) / 0.4)) + 0.5 * (away < 1)
        lost = np.maximum(lost, canvas.number(0.3, 0.7) * np.minimum(ring, 1))
        x, y = x + canvas.random.normal(0, 0.1), y + canvas.random.normal(0, 0.1)
    return np.asarray(lost, np.float32)


def _patches(canvas: Canvas, lens: _Lens) -> Floats:
    """Return ragged sheets of opacity anywhere, from a few to much of the lens."""
    field = canvas.texture(0.25) + canvas.number(-0.8, 0.8) * (lens.away - 0.5)
    sheet = _ragged(canvas, canvas.number(0.6, 2.0) - field, canvas.number(0.15, 0.6))
    return np.asarray(canvas.number(0.25, 0.65) * sheet, np.float32)


def _draw_surround(canvas: Canvas, lens: _Lens) -> None:
    """Draw the dark iris, with light that leaks through it as a ring, in patches, or along a lid, or not at all."""
    number = canvas.number
    canvas.light[:] = canvas.colour(((0.01, 0.01, 0.01), (0.04, 0.02, 0.02), (0.05, 0.04, 0.03))) * number(0.2, 1.5)
    leak = np.zeros(canvas.size, np.float32)
    if canvas.chance(0.45):  # an uneven ring around the pupil
        x, y = canvas.random.normal(0, 0.12, 2).tolist()
        around = np.hypot(lens.across - x, lens.down - y)
        ring = canvas.inside(np.asarray(around - number(1.05, 1.4), np.float32), number(0.04, 0.3))
        leak = np.maximum(
            leak, number(0.05, 0.7) * ring * np.clip(number(0.2, 0.9) + number(0.1, 0.4) * canvas.texture(0.2), 0, 1.3)
        )
    if canvas.chance(0.25):  # a lid that glows
        height = lens.down + number(1.0, 1.4) - number(0, 0.4) * np.square(lens.across)
        leak = np.maximum(
            leak, number(0.1, 0.6) * np.exp(-np.square(height / number(0.08, 0.3))) * np.exp(-np.square(lens.across))
        )
    if canvas.chance(0.2):  # holes in the iris
        turn = number(0, 6.3)
        spot = np.hypot(lens.across - 1.15 * math.cos(turn), lens.down - 1.15 * math.sin(turn)) / number(0.1, 0.3)
        leak = np.maximum(
            leak, number(0.2, 0.7) * np.exp(-np.square(spot)) * np.clip(0.5 + canvas.texture(0.08), 0, 1.3)
        )
    canvas.light += _coloured(canvas, leak)


def _polariser(canvas: Canvas, lens: _Lens) -> Floats:
    """Return what polarising filters let through (H, W): dark bands across the whole picture, or all."""
    factor = np.ones(canvas.size, np.float32)
    if canvas.chance(0.3):
        turn = canvas.random.normal(0, 0.2) if canvas.chance(0.6) else canvas.number(0, math.pi)
        width, deep = canvas.number(0.08, 0.35), canvas.number(0.1, 0.6)
        for quarter in range(1 + canvas.count(0.4, 0.6)):
            angle = turn + quarter * math.pi / 2
            aside = lens.down * math.cos(angle) - lens.across * math.sin(angle) + canvas.number(-0.1, 0.1)
            fade = canvas.number(0.3, 1) * canvas.inside(canvas.number(-0.2, 0.6) - lens.away, 0.8)
            factor *= 1 - deep * np.exp(-np.square(aside / width)) * np.clip(fade + 0.3, 0, 1)
    return factor


def _draw_lid(canvas: Canvas, lens: _Lens) -> NDArray[np.bool_]:
    """Return where (H, W) an upper lid, drawn here, hangs over the lens."""
    number = canvas.number
    edge = lens.down + number(0.5, 0.95) - number(-0.2, 0.3) * np.square(lens.across) + number(-0.2, 0.2) * lens.across
    edge = np.asarray(edge + 0.01 * canvas.noise(0.2), np.float32)
    inside = canvas.inside(edge, number(0.01, 0.05))
    glow = (
        number(0, 0.8)
        * np.exp(-np.square((edge + number(0.1, 0.3)) / number(0.1, 0.3)))
        * np.exp(-np.square(lens.across))
    )
    canvas.cover(inside, _coloured(canvas, glow * np.clip(0.8 + 0.3 * canvas.texture(0.2), 0, 2)))
    return np.asarray(inside > 0.5)


def _draw_reflections(canvas: Canvas, lens: _Lens) -> None:
    """Draw the lamp mirrored in the cornea: a pair of slits in the middle, or spots."""
    number = canvas.number
    colour = canvas.colour(((1, 0.9, 0.5), (1, 1, 0.9), (1, 0.75, 0.4)), 0.03)
    if canvas.chance(0.5):
        x, y, apart, high = number(-0.15, 0.15), number(-0.15, 0.15), number(0.03, 0.09), number(0.04, 0.14)
        aside = np.abs(np.abs(lens.across - x) - apart) - 0.012
        slits = canvas.inside(np.asarray(np.maximum(aside, np.abs(lens.down - y) - high), np.float32), 0.03)
        canvas.cover(number(0.1, 0.8) * slits, colour)
    for _ in range(int(canvas.random.integers(0, 7)) if canvas.chance(0.35) else 0):
        place = np.hypot(lens.across - number(-0.7, 0.7), lens.down - number(-0.7, 0.7)) / number(0.02, 0.07)
        spot = canvas.inside(np.asarray(place - 1 + 0.3 * canvas.noise(0.05), np.float32), 0.8)
        canvas.cover(number(0.3, 1) * spot, colour)


def _veil(canvas: Canvas) -> None:
    """Lay stray light of any tint over the picture, and black margins at its rim."""
    number = canvas.number
    if canvas.chance(0.35):
        canvas.light += number(0, 0.18) * canvas.colour(((0.4, 0.5, 0.35), (0.4, 0.3, 0.35), (0.5, 0.5, 0.5)))
    if canvas.chance(0.5):
        margin = np.maximum(
            np.abs(canvas.x) - canvas.x[0, -1] + number(0, 0.06), np.abs(canvas.y) - canvas.y[-1, 0] + number(0, 0.06)
        )
        canvas.dim(1 - number(0.2, 1) * canvas.inside(-np.asarray(margin, np.float32)))
