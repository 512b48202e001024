"""Draw frames of cataract surgery as different as operations and microscopes are, to train on before real ones."""

from __future__ import annotations

import math

import numpy as np

from ocuseg.classes import Classes, parse_classes
from ocuseg.phantom.camera import take_picture
from ocuseg.phantom.canvas import Canvas
from ocuseg.phantom.globe import Eye, draw_iris, draw_sclera, place_eye
from ocuseg.phantom.instruments import draw_instrument
from ocuseg.phantom.pupil import draw_pupil
from ocuseg.phantom.texture import Phantom
from ocuseg.phantom.theatre import draw_bubbles, draw_lids, draw_speculum, draw_wet_lights

__all__ = ["draw_surgery", "surgery_classes"]

_IRIS, _PUPIL, _INSTRUMENT = 1, 2, 3


def surgery_classes() -> Classes:
    """Return the classes of a drawn frame of surgery: background, iris, pupil, instrument."""
    colours = {"iris": "#3fb950", "pupil": "#4c8dff", "instrument": "#f85149"}
    names = ("background", *colours)
    return parse_classes(
        [{"id": number, "name": name, "colour": colours.get(name, "#000000")} for number, name in enumerate(names)]
    )


def draw_surgery(seed: int, size: int | tuple[int, int] = (288, 384)) -> Phantom:
    """Return a drawn frame of cataract surgery with the mask of `surgery_classes`; its field of view is all True.

    The same `seed` and `size` (one side, or height and width, in pixels) always give the same picture. What varies
    between operations, eyes, microscopes and cameras varies here more than it does in life; what holds for all
    of them holds here: the pupil lies in the iris, the iris in the sclera, and instruments lie over all three. Lids,
    drapes, the wires that hold the lids, bubbles and reflections are no class of their own.
    """
    height, width = (size, size) if isinstance(size, int) else size
    canvas = Canvas(np.random.default_rng((seed, 0x5C6)), (height, width))
    eye = place_eye(canvas)
    mask = np.zeros((height, width), np.uint8)
    draw_sclera(canvas, eye)
    draw_iris(canvas, eye)
    mask[eye.window][eye.from_limbus <= 0] = _IRIS
    draw_pupil(canvas, eye)
    mask[eye.window][eye.from_pupil <= 0] = _PUPIL
    draw_wet_lights(canvas, eye)
    mask[draw_lids(canvas, eye)] = 0
    draw_speculum(canvas, eye)
    draw_bubbles(canvas, eye)
    side = canvas.random.normal(math.pi / 2, 0.7) if canvas.chance(0.75) else canvas.number(-math.pi, math.pi)
    for _ in range(canvas.count(0.12, 0.50, 0.30, 0.08)):
        mask[draw_instrument(canvas, eye, side)] = _INSTRUMENT
        side += canvas.random.choice((-1, 1)) * canvas.number(0.1, 1.5)
    _light_up(canvas, eye)
    return Phantom(take_picture(canvas), mask, np.ones((height, width), np.bool_))


def _light_up(canvas: Canvas, eye: Eye) -> None:
    """Let the spot of the microscope fall on the picture, with a streak of stray light or none."""
    number = canvas.number
    off = canvas.random.normal(0, 0.45 * eye.limbus, 2)
    x, y = eye.centre[0] + float(off[0]), eye.centre[1] + float(off[1])
    reach, edge = eye.limbus * number(1.2, 2.6), eye.limbus * number(0.3, 2.5)
    away = np.hypot((canvas.x - x) / number(0.9, 1.3), canvas.y - y) - reach
    floor = number(0.02, 0.2) if canvas.chance(0.8) else number(0.2, 1)
    lamp = canvas.colour(((1, 1, 1), (1, 0.94, 0.80), (0.92, 1, 0.88), (0.9, 0.95, 1)), 0.03)
    dark = canvas.colour(((1, 1, 1), (0.5, 1, 0.5), (0.6, 0.8, 1), (1, 0.7, 0.5)), 0.1)
    spot = canvas.inside(np.asarray(away, np.float32), edge)
    lamp, dark = number(0.85, 1.35) * lamp, floor * dark
    for channel in range(3):
        canvas.light[channel] *= dark[channel] + spot * (lamp[channel] - dark[channel])
    if canvas.chance(0.6):  # at the edge of the spot light comes out of the tissue, and is red
        tissue = 1 - number(0, 0.6) * 4 * spot * (1 - spot)
        canvas.light[1:] *= tissue
    if canvas.chance(0.3):  # in the shade colours fade into those of the room
        canvas.light += (1 - spot) * (number(0, 0.08) / floor) * dark
    if canvas.chance(0.08):
        _streak(canvas)


def _streak(canvas: Canvas) -> None:
    """Draw a coloured streak of light, the beam of an assistant's light or a fault of the video, from one side."""
    number = canvas.number
    turn = canvas.random.integers(4) * math.pi / 2 + canvas.random.normal(0, 0.1)
    along = canvas.x * math.cos(turn) + canvas.y * math.sin(turn)
    aside = canvas.y * math.cos(turn) - canvas.x * math.sin(turn) - number(-0.8, 0.8)
    amount = canvas.inside(np.asarray(np.abs(aside) - number(0.02, 0.12), np.float32), number(0.01, 0.1))
    amount = amount * canvas.inside(np.asarray(number(0, 0.8) - along, np.float32), 0.2)
    canvas.light += number(0.2, 0.8) * amount * canvas.colour(((0.1, 1, 0.1), (0.2, 0.4, 1), (0.9, 0.9, 1)))
