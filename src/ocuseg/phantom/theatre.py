"""Draw what surrounds an eye under surgery: lids, lashes, drapes, the wires that hold the lids, fluids and bubbles."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ocuseg.phantom.canvas import Canvas
from ocuseg.phantom.globe import Eye
from ocuseg.phantom.texture import Floats

__all__ = ["draw_bubbles", "draw_lids", "draw_speculum", "draw_wet_lights"]

_SKIN_COLOURS = ((0.62, 0.42, 0.32), (0.45, 0.28, 0.20), (0.25, 0.15, 0.11), (0.72, 0.55, 0.45), (0.60, 0.34, 0.30))
_DRAPE_COLOURS = (
    (0.12, 0.22, 0.12),
    (0.10, 0.16, 0.28),
    (0.25, 0.50, 0.62),
    (0.20, 0.45, 0.38),
    (0.55, 0.55, 0.52),
    (0.08, 0.08, 0.08),
)
_FILM_COLOURS = ((0.95, 0.62, 0.20), (0.80, 0.42, 0.10), (0.92, 0.84, 0.66), (0.60, 0.30, 0.10), (0.75, 0.75, 0.72))
_WIRE_COLOURS = ((0.30, 0.34, 0.33), (0.50, 0.52, 0.50), (0.10, 0.22, 0.18), (0.70, 0.68, 0.62))
_BLACK = np.zeros((3, 1, 1), np.float32)
_WHITE = np.ones((3, 1, 1), np.float32)


def draw_lids(canvas: Canvas, eye: Eye) -> NDArray[np.bool_]:
    """Return where (H, W) lids, drapes and films, drawn here, lie over the eye."""
    number = canvas.number
    x, y = canvas.x - eye.centre[0] - number(-0.15, 0.15), canvas.y - eye.centre[1]
    upper, lower = eye.limbus * number(0.92, 2.2), eye.limbus * number(1.1, 2.4)
    wide = eye.limbus * number(1.7, 3.2)
    power = number(1.6, 5)  # the wires pull the opening from an almond to a box
    height = np.where(y < 0, upper, lower).astype(np.float32)
    opening = np.power(np.abs(x / wide), power) + np.power(np.abs((y - number(-0.2, 0.2) * x) / height), number(1.6, 3))
    gap = (np.sqrt(opening) - 1) * eye.limbus * 1.5 + number(0, 0.02) * canvas.noise(0.25)
    gap = np.asarray(gap, np.float32)  # about the distance from the edge of the lids
    skin = canvas.colour(_SKIN_COLOURS) * (1 + 0.2 * canvas.noise(0.5) + number(0, 0.1) * canvas.texture(0.1))
    if canvas.chance(0.45):
        _stain(canvas, skin, y)
    outside = canvas.inside(-gap, number(0.01, 0.05) if canvas.chance(0.4) else number(0.05, 0.2))
    shadow = number(0.0, 0.7) * np.exp(-np.square(np.minimum(gap, 0) / number(0.02, 0.15)))
    canvas.dim(1 - shadow)
    canvas.cover(outside, skin)
    for _ in range(canvas.count(0.4, 0.35, 0.25)):  # folds of skin or conjunctiva along the lids
        fold = np.square((gap - number(-0.2, 0.3) + number(0, 0.02) * canvas.noise(0.3)) / number(0.008, 0.05))
        canvas.cover(number(0.1, 0.8) * np.exp(-fold), canvas.colour(((0.1, 0.05, 0.04), (0.8, 0.65, 0.55))))
    margin = np.exp(-np.square((gap - number(0, 0.04)) / number(0.01, 0.06)))
    canvas.cover(number(0, 0.7) * margin, canvas.colour(((0.75, 0.45, 0.40), (0.85, 0.75, 0.65), (0.4, 0.2, 0.18))))
    if canvas.chance(0.4):
        canvas.cover(number(0, 0.9) * margin * np.clip(canvas.noise(0.06) - 1.3, 0, 1), _WHITE)
    if canvas.chance(0.6):
        canvas.cover(number(0.4, 0.95) * canvas.ink(_lashes(canvas, eye, wide, upper, lower)), _BLACK + 0.04)
    covered = outside > 0.5
    for _ in range(canvas.count(0.4, 0.4, 0.2)):
        covered |= _drape(canvas, eye)
    if canvas.chance(0.3):
        covered |= _film(canvas, eye)
    return covered


def draw_speculum(canvas: Canvas, eye: Eye) -> None:
    """Draw wires or blades that hold the lids open; they look like instruments but end before the iris."""
    number = canvas.number
    thick, colour = number(0.02, 0.075), canvas.colour(_WIRE_COLOURS)
    kind = canvas.count(0.2, 0.5, 0.3)
    if kind == 1:  # wires that come over the rim and hook under a lid
        lines = [_hooked_wire(canvas, eye) for _ in range(1 + canvas.count(0.1, 0.3, 0.3, 0.3))]
    elif kind == 2:  # blades bent along the lids
        lines = [_curved_blade(canvas, eye, up) for up in (-1, 1) if canvas.chance(0.85)]
    else:
        return
    body = canvas.ink([(line, thick) for line in lines]) * (eye.radius > 1.08)
    shift = canvas.random.normal(0, 0.2 * thick, 2)
    shine = canvas.ink([(line + shift, thick * number(0.15, 0.5)) for line in lines]) * body
    canvas.cover(body * number(0.7, 1), colour * (1 + 0.3 * canvas.noise(0.2)))
    canvas.cover(number(0.2, 1) * shine * np.clip(0.5 + 0.6 * canvas.noise(0.2), 0, 1), colour + number(0.1, 0.6))


def draw_wet_lights(canvas: Canvas, eye: Eye) -> None:
    """Draw the lamps mirrored on the cornea and on the wet sclera, and the glare and haze of water."""
    number = canvas.number
    x, y = eye.centre[0] + canvas.random.normal(0, 0.15) * eye.limbus, eye.centre[1] + number(-0.3, 0.3) * eye.limbus
    lamp = canvas.colour(((1, 1, 1), (1, 0.98, 0.9), (0.9, 0.93, 1)), 0.02) * 1.1
    for _ in range(canvas.count(0.1, 0.25, 0.3, 0.2, 0.15)):
        _spot(canvas, x, y, number(0.008, 0.03), number(0.5, 2.5), lamp, number(0.4, 1))
        x, y = x + canvas.random.normal(0, 0.06), y + canvas.random.normal(0, 0.03)
    for _ in range(int(canvas.random.integers(0, 8))):
        around, apart = number(-math.pi, math.pi), eye.limbus * number(0.6, 2)
        x, y = eye.centre[0] + apart * math.cos(around), eye.centre[1] + apart * math.sin(around)
        _spot(canvas, x, y, number(0.005, 0.035), number(0.3, 3), lamp, number(0.3, 1))
    if canvas.chance(0.4):  # broad ragged glare on the sclera
        turn = number(-math.pi, math.pi)
        x, y = eye.centre[0] + 1.3 * eye.limbus * math.cos(turn), eye.centre[1] + 1.3 * eye.limbus * math.sin(turn)
        glare = np.exp(-(np.square(canvas.x - x) + np.square(canvas.y - y)) / number(0.01, 0.2))
        glare *= np.clip(0.6 + number(0, 1) * canvas.noise(0.1), 0, 1.5)
        canvas.light += number(0.1, 0.7) * glare * lamp


def draw_bubbles(canvas: Canvas, eye: Eye) -> None:
    """Draw air bubbles, alone or in clusters, on the cornea or beside it."""
    number = canvas.number
    for _ in range(canvas.count(0.5, 0.3, 0.2)):
        around, apart = number(-math.pi, math.pi), eye.limbus * number(0, 1.7)
        x, y = eye.centre[0] + apart * math.cos(around), eye.centre[1] + apart * math.sin(around)
        radius = number(0.015, 0.12)
        for _ in range(1 + int(canvas.random.poisson(3)) * int(canvas.random.integers(0, 2))):
            _bubble(canvas, x, y, radius)
            x, y = x + canvas.random.normal(0, 0.09), y + canvas.random.normal(0, 0.09)
            radius = number(0.012, 0.06)


def _stain(canvas: Canvas, skin: Floats, y: Floats) -> None:
    """Colour a part of the skin (3, H, W) in place as iodine does."""
    amount = np.clip(canvas.texture(0.3) * 0.35 + canvas.number(-1, 1) - canvas.number(0, 2) * y, 0, 1)
    colour = canvas.colour(_FILM_COLOURS)
    skin += (canvas.number(0.2, 0.9) * amount) * (colour - skin)


def _drape(canvas: Canvas, eye: Eye) -> NDArray[np.bool_]:
    """Return where a drape with a wavy edge lies over one side of the picture."""
    number = canvas.number
    turn = number(-math.pi, math.pi)
    along = (canvas.x - eye.centre[0]) * math.cos(turn) + (canvas.y - eye.centre[1]) * math.sin(turn)
    aside = (canvas.y - eye.centre[1]) * math.cos(turn) - (canvas.x - eye.centre[0]) * math.sin(turn)
    edge = eye.limbus * number(1.3, 2.6) + number(-0.3, 0.3) * aside + number(0, 0.4) * np.square(aside)
    gap = np.asarray(along - edge + number(0, 0.02) * canvas.noise(0.2), np.float32)
    inside = canvas.inside(-gap, number(0.005, 0.06))
    folds = 1 + number(0, 0.4) * np.sin(number(3, 14) * aside + 2 * canvas.noise(0.6)) + 0.1 * canvas.noise(0.05)
    shine = number(0, 0.8) * np.clip(canvas.noise(0.25) - 0.8, 0, 1)
    colour = canvas.colour(_DRAPE_COLOURS) * number(0.5, 1.3)
    rim = number(0, 0.5) * np.exp(-np.square(gap / 0.02))
    solid = number(0.5, 1)
    canvas.cover(solid * inside, colour * folds + (shine + rim))
    return np.asarray((inside > 0.5) & (solid > 0.3))


def _film(canvas: Canvas, eye: Eye) -> NDArray[np.bool_]:
    """Return where fluid or a clear drape, yellow or glossy, bulges in from the upper or another side."""
    number = canvas.number
    turn = canvas.random.normal(-math.pi / 2, 0.5)
    apart = eye.limbus * number(1.5, 2.2)
    x, y = eye.centre[0] + apart * math.cos(turn), eye.centre[1] + apart * math.sin(turn)
    distance = np.hypot((canvas.x - x) / number(1.5, 3.5), canvas.y - y) - (apart - eye.limbus * number(0.92, 1.35))
    distance = np.asarray(distance + 0.03 * canvas.noise(0.2), np.float32)
    inside = canvas.inside(distance, number(0.02, 0.15))
    colour, other = canvas.colour(_FILM_COLOURS), canvas.colour(_FILM_COLOURS)
    blend = np.clip(0.5 + 0.35 * canvas.texture(0.3), 0, 1)
    gloss = number(0.2, 1) * np.clip(canvas.noise(0.1) - 1.0, 0, 1)
    streaks = number(0, 0.35) * np.exp(-np.square(canvas.noise(0.15) / 0.3))
    film = (colour + blend * (other - colour)) * (number(0.5, 1.2) * (1 - streaks) + gloss)
    solid = number(0.5, 1)
    canvas.cover(solid * inside, film)
    edge = np.exp(-np.square(distance / number(0.008, 0.03))) * np.clip(0.5 + canvas.noise(0.15), 0, 1)
    canvas.cover(number(0, 0.8) * edge, canvas.colour(((1, 1, 0.95), (0.3, 0.2, 0.1))))
    return np.asarray(inside > 0.5)


def _lashes(
    canvas: Canvas, eye: Eye, wide: float, upper: float, lower: float
) -> list[tuple[NDArray[np.float64], float]]:
    curves = []
    for _ in range(int(canvas.random.integers(3, 45))):
        across = canvas.number(-1, 1)
        up = -1 if canvas.chance(0.5) else 1
        height = (upper if up < 0 else lower) * math.sqrt(1 - across**2 * 0.9) * canvas.number(0.98, 1.25)
        steps = np.linspace(0, 1, 6)
        long, lean = canvas.number(0.04, 0.16), across + canvas.random.normal(0, 0.6)
        x = eye.centre[0] + across * wide + long * steps * lean + canvas.random.normal(0, 0.05) * steps**2
        y = eye.centre[1] + up * height + up * long * steps * canvas.number(-0.3, 1)
        curves.append((np.stack([x, y], axis=1), canvas.number(0.004, 0.010)))
    return curves


def _hooked_wire(canvas: Canvas, eye: Eye) -> NDArray[np.float64]:
    """Return the middle line of a wire from outside the picture to a lid, with a rounded bend or two."""
    number = canvas.number
    up = -1 if canvas.chance(0.6) else 1
    end = np.array([eye.centre[0] + number(-1.5, 1.5) * eye.limbus, eye.centre[1] + up * eye.limbus * number(1.15, 2)])
    knee = end + np.array([canvas.random.normal(0, 0.06), up * number(0.15, 0.6)])
    far = knee + np.array([canvas.random.choice((-1, 1)) * number(0, 1.2), up * number(0.05, 0.8)])
    foot = end + np.array([canvas.random.normal(0, 0.05), 0])
    return _rounded(np.array([foot, end, knee, far, far + np.array([0, 2 * up])]))


def _curved_blade(canvas: Canvas, eye: Eye, up: int) -> NDArray[np.float64]:
    number = canvas.number
    across = np.linspace(-1, 1, 24) * eye.limbus * number(0.8, 1.8)
    height = eye.limbus * number(1.35, 2.0) - number(-0.1, 0.4) * np.square(across)
    x, y = eye.centre[0] + across + number(-0.2, 0.2), eye.centre[1] + up * height + number(-0.1, 0.1) * across
    line = np.stack([x, y], axis=1)
    outwards = np.array([[0.05 * np.sign(across[-1]), up * 0.25]])
    return np.concatenate([line[:1] + outwards * [-1, 1], line, line[-1:] + outwards]) if canvas.chance(0.5) else line


def _rounded(corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a line (P, 2) near `corners` (K, 2) with their angles cut off twice (Chaikin)."""
    for _ in range(3):
        first = 0.75 * corners[:-1] + 0.25 * corners[1:]
        second = 0.25 * corners[:-1] + 0.75 * corners[1:]
        corners = np.concatenate([corners[:1], np.stack([first, second], axis=1).reshape(-1, 2), corners[-1:]])
    return corners


def _spot(canvas: Canvas, x: float, y: float, radius: float, stretch: float, colour: Floats, solid: float) -> None:
    window = canvas.near(x, y, 3 * radius * max(stretch, 1))
    columns, rows = canvas.grid(window)
    if columns.size and rows.size:
        away = np.hypot((columns - x) / stretch, rows - y) / radius
        ragged = 0.25 * canvas.noise(0.5 * radius, window)
        canvas.cover(solid * canvas.inside(np.asarray(away + ragged - 1, np.float32), 0.7), colour, window)


def _bubble(canvas: Canvas, x: float, y: float, radius: float) -> None:
    number = canvas.number
    window = canvas.near(x, y, 1.4 * radius)
    columns, rows = canvas.grid(window)
    if not columns.size or not rows.size:
        return
    away = np.asarray(np.hypot(columns - x, rows - y) / radius, np.float32)
    width = number(0.08, 0.2)
    canvas.cover(
        number(0, 0.25) * canvas.inside(away - 1, 0.1), canvas.colour(((0.9, 0.9, 0.85), (0.4, 0.4, 0.4))), window
    )
    canvas.cover(number(0.3, 0.85) * np.exp(-np.square((away - 1) / width)), _BLACK + 0.1, window)
    turn = np.arctan2(rows - y, columns - x) - number(-math.pi, math.pi)
    crescent = np.exp(-np.square((away - 0.82) / width)) * np.clip(np.cos(turn) + number(-0.5, 0.8), 0, 1)
    canvas.cover(np.clip(number(0.2, 0.9) * crescent, 0, 1), _WHITE, window)
    for _ in range(canvas.count(0.15, 0.4, 0.3, 0.15)):
        off = canvas.random.normal(0, 0.3, 2) * radius
        _spot(canvas, x + float(off[0]), y + float(off[1]), 0.16 * radius, 1.0, _WHITE, number(0.6, 1))
