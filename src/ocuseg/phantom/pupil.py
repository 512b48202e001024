"""Draw what is seen in the pupil during cataract surgery, from the red reflex to a broken lens."""

from __future__ import annotations

import math

import numpy as np

from ocuseg.phantom.canvas import Canvas
from ocuseg.phantom.globe import Eye
from ocuseg.phantom.texture import Floats

__all__ = ["draw_pupil"]

# The reflex of the fundus from none, over red, to glaring: one row for each step, of red, green and blue.
_REFLEX = np.array(
    [[0.03, 0.03, 0.04], [0.20, 0.06, 0.05], [0.50, 0.14, 0.08], [0.85, 0.35, 0.12], [1.0, 0.68, 0.25], [1, 0.95, 0.7]]
)
_STEPS = np.linspace(0, 1, len(_REFLEX))
_LENS_COLOURS = (
    (0.62, 0.60, 0.56),  # grey
    (0.85, 0.84, 0.80),  # white
    (0.70, 0.56, 0.42),  # tan
    (0.62, 0.47, 0.24),  # yellow-brown
    (0.36, 0.22, 0.12),  # brown
    (0.42, 0.52, 0.48),  # grey-green
    (0.72, 0.48, 0.42),  # pink
    (0.40, 0.48, 0.70),  # dyed blue
)
_HAZE_COLOURS = ((0.6, 0.6, 0.58), (0.7, 0.62, 0.55), (0.5, 0.58, 0.66))


def draw_pupil(canvas: Canvas, eye: Eye) -> None:
    """Draw the pupil of `eye`: reflex, clouded or broken lens, edges of capsule and lens implant, hazy cornea."""
    number, window = canvas.number, eye.window
    away = np.hypot(eye.across, eye.down)
    reflex = _reflex(canvas, eye, away)
    content = _coloured(reflex)
    stage = canvas.count(0.28, 0.37, 0.22, 0.13)
    if stage in (1, 2):
        content = _clouded(canvas, eye, away, content)
    if stage == 2 or (stage == 1 and canvas.chance(0.2)):
        content = _broken(canvas, eye, content, reflex)
    if stage == 3 or canvas.chance(0.15):
        content = _implant(canvas, eye, content)
    if canvas.chance(0.45):
        content = _torn_capsule(canvas, eye, away, content)
    inside = canvas.inside(eye.from_pupil, number(0.005, 0.05) * eye.pupil)
    canvas.cover(inside, np.clip(content, 0, 1.3), window)
    if canvas.chance(0.5):
        haze = number(0.02, 0.35) * canvas.inside(eye.from_limbus, 0.3 * eye.limbus)
        haze = haze * np.clip(1 + 0.4 * canvas.noise(0.2, window), 0, 2)
        canvas.cover(haze, canvas.colour(_HAZE_COLOURS), window)


def _coloured(strength: Floats) -> Floats:
    """Return the colour (3, h, w) of a reflex of a strength, 0 to 1."""
    steps = np.arange(256) / 255
    table = np.stack([np.interp(steps, _STEPS, _REFLEX[:, channel]) for channel in range(3)])
    return table.astype(np.float32)[:, np.asarray(np.clip(strength, 0, 1) * 255, np.intp)]


def _mix(below: Floats, amount: Floats, above: Floats) -> Floats:
    return np.asarray(below + np.clip(amount, 0, 1) * (above - below), np.float32)


def _reflex(canvas: Canvas, eye: Eye, away: Floats) -> Floats:
    number = canvas.number
    strength = number(0, 0.85)
    turn = canvas.random.normal(-math.pi / 2, 0.8)
    along = eye.across * math.cos(turn) + eye.down * math.sin(turn)
    level: Floats = strength + number(0, 0.3) * along + 0.03 * canvas.noise(0.1, eye.window)
    level += number(-0.2, 0.15) * np.square(away) + number(0, 0.08) * canvas.noise(0.4, eye.window)
    if canvas.chance(0.35):  # a glaring band across, beyond which the light falls off
        beyond = along - number(0.2, 0.9) + number(-0.3, 0.3) * np.square(along - eye.across)
        width = number(0.04, 0.3)
        level += number(0.15, 0.5) * np.exp(-np.square(np.minimum(beyond, 0) / (2.5 * width)))
        level *= 1 - number(0.2, 0.8) * canvas.inside(-beyond, width)
    return np.asarray(level, np.float32)


def _clouded(canvas: Canvas, eye: Eye, away: Floats, content: Floats) -> Floats:
    """Return the pupil with a cataract: a nucleus, a cortex, spokes, mottled or even, thin or white all over."""
    number = canvas.number
    dense = number(0.2, 1.1)
    amount = dense * np.exp(-np.power(away / number(0.6, 1.8), number(2, 6)))
    amount += number(0, 0.28) * canvas.texture(0.2, eye.window)
    if canvas.chance(0.4):  # spokes from the rim
        folds = np.cos(
            eye.angle * int(canvas.random.integers(3, 9)) + number(0, 6) + 1.5 * canvas.noise(0.3, eye.window)
        )
        amount += number(0.1, 0.6) * np.clip(folds, 0, 1) * np.clip(away - number(0, 0.5), 0, 1)
    if canvas.chance(0.3):  # the lower or upper rim shows the reflex
        turn = canvas.random.normal(math.pi / 2, 1.0)
        along = eye.across * math.cos(turn) + eye.down * math.sin(turn)
        amount -= np.clip((along - number(0, 0.7)) * number(0.5, 2), 0, 1)
    colour, core = canvas.colour(_LENS_COLOURS), canvas.colour(_LENS_COLOURS)
    centre = number(0, 0.8) * np.exp(-np.square(away / number(0.3, 0.8)))
    shade = number(0.6, 1.25) * (1 + number(0, 0.25) * eye.down + number(0.01, 0.12) * canvas.texture(0.12, eye.window))
    return _mix(content, amount, (colour + centre * (core - colour)) * shade)


def _broken(canvas: Canvas, eye: Eye, content: Floats, reflex: Floats) -> Floats:
    """Return the pupil with grooves across the lens, or with pieces of it that shine in different tints."""
    number = canvas.number
    ragged = 0.04 * canvas.noise(0.08, eye.window)
    if canvas.chance(0.5):
        turn, shift = number(0, math.pi), canvas.random.normal(0, 0.1, 2).tolist()
        for groove in range(1 + canvas.count(0.4, 0.6)):
            angle = turn + groove * number(1.3, 1.8)
            aside = np.abs((eye.across - shift[0]) * math.sin(angle) - (eye.down - shift[1]) * math.cos(angle) + ragged)
            width = number(0.03, 0.18)
            gap = canvas.inside(aside - width, number(0.02, 0.1))
            content = _mix(content, number(0.4, 1) * gap, _coloured(reflex + number(-0.3, 0.3)))
            edge = np.exp(-np.square((aside - 1.2 * width) / 0.03))
            content = content + number(-0.2, 0.35) * edge
        return np.asarray(content, np.float32)
    places = canvas.random.uniform(-1, 1, (int(canvas.random.integers(3, 14)), 2))
    nearest = np.full(eye.across.shape, 9, np.float32)
    second, piece = nearest.copy(), np.zeros(eye.across.shape, np.intp)
    for index, (x, y) in enumerate(places.tolist()):
        apart = np.hypot(eye.across - x, eye.down - y) + ragged
        closer = apart < nearest
        second = np.where(closer, nearest, np.minimum(second, apart))
        nearest, piece = np.where(closer, apart, nearest), np.where(closer, index, piece)
    tints = np.stack([canvas.colour(_LENS_COLOURS)[:, 0, 0] * number(0.5, 1.3) for _ in places], axis=1)
    solid = canvas.random.uniform(-0.2, 0.9, len(places)).astype(np.float32)[piece]
    content = _mix(content, solid, tints[:, piece])
    gap = np.exp(-np.square((second - nearest) / number(0.03, 0.15)))
    if canvas.chance(0.5):
        return _mix(content, number(0.3, 0.9) * gap, _coloured(reflex))
    return np.asarray(content * (1 - number(0, 0.7) * gap) + number(0, 0.2) * gap, np.float32)


def _implant(canvas: Canvas, eye: Eye, content: Floats) -> Floats:
    """Return the pupil with the edge of a lens implant and its haptics, or with one that is still folded."""
    number = canvas.number
    x, y = canvas.random.normal(0, 0.12, 2).tolist()
    across, down = eye.across - x, eye.down - y
    radius, bright = number(0.6, 1.05), canvas.colour(((1, 0.95, 0.85), (0.9, 0.6, 0.4), (0.7, 0.75, 0.8)))
    turn = number(0, math.pi)
    along, aside = across * math.cos(turn) + down * math.sin(turn), down * math.cos(turn) - across * math.sin(turn)
    edge = np.abs(np.hypot(along, aside) - radius)
    if canvas.chance(0.4):  # folded: two straight edges
        edge = np.maximum(np.abs(np.abs(aside) - 0.4 * radius), np.abs(along) - radius)
    haptic = np.abs(np.hypot(along - 0.9 * radius, aside + 0.5 * radius) - 0.5 * radius)
    other = np.abs(np.hypot(along + 0.9 * radius, aside - 0.5 * radius) - 0.5 * radius)
    lines = np.minimum(edge, np.minimum(haptic, other) if canvas.chance(0.6) else edge)
    thick = number(0.012, 0.035)
    light = np.clip(0.5 + canvas.noise(0.2, eye.window), 0, 1)
    content = _mix(content, number(0.2, 0.9) * light * np.exp(-np.square(lines / thick)), bright)
    content = content * (1 - number(0, 0.7) * np.exp(-np.square((lines - 2.2 * thick) / thick)))
    return np.asarray(content * (1 + number(-0.2, 0.3) * (np.hypot(along, aside) < radius)), np.float32)


def _torn_capsule(canvas: Canvas, eye: Eye, away: Floats, content: Floats) -> Floats:
    """Return the pupil with the round edge of the opened capsule, or the crumpled flap that is being torn off."""
    number = canvas.number
    bright = canvas.colour(((1, 0.7, 0.4), (1, 1, 0.9), (0.8, 0.5, 0.4)))
    radius = number(0.45, 0.85) * (1 + 0.05 * np.cos(eye.angle * 2 + number(0, 6)) + 0.02 * np.cos(eye.angle * 5))
    radius = radius + 0.02 * canvas.noise(0.1, eye.window)
    arc = np.clip(np.cos(eye.angle - number(0, 6.3)) + number(-0.6, 1), 0, 1)
    content = _mix(content, number(0.1, 0.7) * arc * np.exp(-np.square((away - radius) / number(0.01, 0.03))), bright)
    if canvas.chance(0.4):
        x, y = canvas.random.normal(0, 0.35, 2).tolist()
        near = np.exp(-(np.square(eye.across - x) + np.square(eye.down - y)) / number(0.02, 0.12))
        crumple = np.exp(-np.square(canvas.noise(0.05, eye.window) / 0.25))
        content = _mix(content, number(0.3, 0.9) * near * crumple, bright)
    return content
