"""Draw the instruments of cataract surgery: bent, tapering rods of metal or clear plastic, one over another."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ocuseg.phantom.canvas import Canvas
from ocuseg.phantom.globe import Eye
from ocuseg.phantom.texture import Floats

__all__ = ["Rod", "draw_instrument", "draw_rods"]

_METALS = ((0.62, 0.64, 0.64), (0.50, 0.53, 0.52), (0.75, 0.73, 0.68), (0.34, 0.38, 0.38), (0.30, 0.42, 0.38))
_PLASTICS = ((0.55, 0.62, 0.64), (0.25, 0.60, 0.72), (0.15, 0.75, 0.80), (0.30, 0.35, 0.75), (0.75, 0.72, 0.62))
_FAR = 4.0


@dataclass(frozen=True, slots=True)
class Rod:
    """A rod from its tip to far outside the picture; lengths in the unit of the canvas.

    At each of `stations`, distances from the tip along `heading` (the angle towards the hand), the rod is twice
    `halves` wide and its middle lies `asides` off the straight line. It has `colour` (3, 1, 1); the share
    `clear` of what is behind shines through; `flat` ones have no round shading.
    """

    tip: tuple[float, float]
    heading: float
    stations: tuple[float, ...]
    halves: tuple[float, ...]
    asides: tuple[float, ...]
    colour: Floats
    clear: float = 0.0
    flat: bool = False


def draw_instrument(canvas: Canvas, eye: Eye, side: float) -> NDArray[np.bool_]:
    """Return where (H, W) an instrument of any kind was drawn, its tip mostly in the pupil.

    `side` is the angle from the eye to the hand that holds it, give or take.
    """
    place = eye.limbus * (math.sqrt(canvas.number(0, 0.9)) if canvas.chance(0.85) else canvas.number(0.95, 1.4))
    around = canvas.number(-math.pi, math.pi) if canvas.chance(0.5) else side + canvas.random.normal(0, 0.7)
    tip = (eye.centre[0] + place * math.cos(around), eye.centre[1] + place * math.sin(around))
    kinds = (_needle, _forceps, _phaco, _blade, _hook, _cartridge, _tweezers)
    kind = kinds[canvas.count(0.22, 0.18, 0.17, 0.09, 0.14, 0.11, 0.09)]
    # Aim from the hand to the tip, so that rods enter near the place where hands are.
    hand = (eye.centre[0] + 2.2 * math.cos(side), eye.centre[1] + 2.2 * math.sin(side))
    heading = math.atan2(hand[1] - tip[1], hand[0] - tip[0]) + canvas.random.normal(0, 0.12)
    return draw_rods(canvas, kind(canvas, tip, heading))


def draw_rods(canvas: Canvas, rods: list[Rod]) -> NDArray[np.bool_]:
    """Return where (H, W) the rods, drawn one over another with their common shadow, cover the picture."""
    covered = np.zeros(canvas.size, np.bool_)
    measured = [_measure(canvas, rod) for rod in rods]
    if canvas.chance(0.6):
        _cast_shadow(canvas, np.minimum.reduce([distance for distance, _, _ in measured]))
    for rod, (distance, round_place, along) in zip(rods, measured, strict=True):
        _paint(canvas, rod, distance, round_place, along)
        covered |= distance <= 0
    return covered


def _measure(canvas: Canvas, rod: Rod) -> tuple[Floats, Floats, Floats]:
    """Return for each pixel (H, W) its distance from the surface, its place across (-1 to 1) and along the rod."""
    x, y = canvas.x - rod.tip[0], canvas.y - rod.tip[1]
    along = np.asarray(x * math.cos(rod.heading) + y * math.sin(rod.heading), np.float32)
    across = np.asarray(y * math.cos(rod.heading) - x * math.sin(rod.heading), np.float32)
    fine = np.linspace(-0.1, _FAR, 4097)
    middle = np.interp(fine, rod.stations, rod.asides)
    slope = np.gradient(middle, fine)
    half = np.maximum(np.interp(fine, rod.stations, rod.halves), 0.6 / canvas.unit_px) * np.hypot(1, slope)
    index = np.asarray(np.clip((along + 0.1) * (4096 / (_FAR + 0.1)), 0, 4096), np.intp)
    aside, wide = across - middle.astype(np.float32)[index], half.astype(np.float32)[index]
    return np.maximum(np.abs(aside) - wide, -along), aside / wide, along


def _cast_shadow(canvas: Canvas, distance: Floats) -> None:
    shift = np.rint(canvas.random.normal(0, 0.06, 2) * canvas.unit_px).astype(int)
    shadow = canvas.number(0.1, 0.5) * canvas.inside(distance, canvas.number(0.02, 0.12))
    # What lies beyond the edge of the picture is as its edge is.
    rows, columns = (np.clip(np.arange(side) - by, 0, side - 1) for side, by in zip(shadow.shape, shift, strict=True))
    canvas.dim(1 - shadow[rows][:, columns])


def _paint(canvas: Canvas, rod: Rod, distance: Floats, place: Floats, along: Floats) -> None:
    number = canvas.number
    rows, columns = np.nonzero(distance < 1 / canvas.unit_px)
    if not rows.size:
        return
    place, along, near = place[rows, columns], along[rows, columns], distance[rows, columns]
    if rod.flat:
        shade = number(0.5, 1.2) + number(-0.3, 0.3) * place + number(0, 0.5) * np.exp(-np.square((place - 0.8) / 0.15))
    else:
        shade = number(0.45, 0.8) - number(0.1, 0.5) * np.abs(place) ** 3
        for _ in range(int(canvas.random.integers(1, 4))):
            stripe = np.exp(-np.square((place - number(-0.8, 0.8)) / number(0.08, 0.35)))
            shade = shade + number(0.1, 0.9) * stripe
    knots = np.linspace(0, _FAR, 60)
    uneven = canvas.random.standard_normal(60) * number(0.02, 0.25)
    shade = shade * (1 + np.interp(along, knots, uneven)) * number(0.35, 1.3)
    mirrored = canvas.light[:, rows[::50], columns[::50]].mean(axis=1, keepdims=True)
    colour = rod.colour[:, 0] + number(0, 0.4) * (mirrored - rod.colour[:, 0])
    painted = np.clip(shade, 0.02, 2).astype(np.float32) * colour
    for _ in range(canvas.count(0.4, 0.3, 0.3)):  # the lamp mirrored in a spot
        spot = np.exp(
            -np.square((along - number(0, 1)) / number(0.01, 0.06)) - np.square((place - number(-0.5, 0.5)) / 0.5)
        )
        painted = painted + np.asarray(number(0.3, 1.5) * spot, np.float32)
    solid = np.clip(0.5 - near * canvas.unit_px, 0, 1)
    if rod.clear:
        rim = np.exp(-np.square((np.abs(place) - 0.92) / 0.1))
        solid = solid * np.clip(1 - rod.clear + 0.6 * rim, 0, 1)
    if canvas.chance(0.3):  # seen through the cornea, the end is hazier
        solid = solid * (1 - number(0, 0.3) * (along < number(0.2, 0.6)))
    below = canvas.light[:, rows, columns]
    canvas.light[:, rows, columns] = below + solid.astype(np.float32) * (painted - below)


def _rod(
    canvas: Canvas,
    tip: tuple[float, float],
    heading: float,
    table: list[tuple[float, float, float]],
    metal: bool = True,
) -> Rod:
    """Return a rod from rows of station, half width and aside."""
    stations, halves, asides = zip(*table, strict=True)
    return Rod(tip, heading, stations, halves, asides, canvas.colour(_METALS if metal else _PLASTICS, 0.04))


def _needle(canvas: Canvas, tip: tuple[float, float], heading: float) -> list[Rod]:
    thin, bend = canvas.number(0.006, 0.024), canvas.random.normal(0, 0.08)
    long, thick = canvas.number(0.3, 1.4), canvas.number(1, 3)
    bow = canvas.random.normal(0, 0.1)
    table = [
        (0, 0.4 * thin, bend),
        (0.04, 0.8 * thin, 0.8 * bend),
        (canvas.number(0.12, min(0.4, 0.9 * long)), thin, 0.0),
        (long, thin, bow),
    ]
    return [
        _rod(
            canvas, tip, heading, [*table, (long + 0.06, thick * thin, bow * 1.1), (_FAR, thick * thin * 1.2, 5 * bow)]
        )
    ]


def _forceps(canvas: Canvas, tip: tuple[float, float], heading: float) -> list[Rod]:
    """Return two prongs that meet, or nearly meet, at the tip and again where they join."""
    thin, gap = canvas.number(0.006, 0.018), canvas.number(0.005, 0.10)
    join, widest = canvas.number(0.5, 2.2), canvas.number(0.03, 0.10)
    bow, rods = canvas.random.normal(0, 0.06), []
    for sign in (-1, 1):
        middle = sign * max(widest, 0.7 * gap)
        table = [(0, 0.7 * thin, sign * gap * 0.5), (0.05, thin, sign * (0.5 * gap + 0.004))]
        table += [
            (0.45 * join, 1.3 * thin, middle + bow),
            (join, 2.0 * thin, 0.6 * middle),
            (_FAR, 3 * thin, 0.6 * middle),
        ]
        rods.append(_rod(canvas, tip, heading, table))
    if canvas.chance(0.5):
        rods.append(replace(_shaft(canvas, tip, heading, join, 2.5 * thin + 0.6 * widest), colour=rods[0].colour))
    return rods


def _shaft(canvas: Canvas, tip: tuple[float, float], heading: float, start: float, half: float) -> Rod:
    """Return a rod that begins `start` away from the tip."""
    begin = (tip[0] + start * math.cos(heading), tip[1] + start * math.sin(heading))
    table = [(0, 0.6 * half, 0.0), (0.08, half, 0.0), (canvas.number(0.4, 1.0), half, 0.0), (_FAR, 1.6 * half, 0.0)]
    return _rod(canvas, begin, heading, table)


def _phaco(canvas: Canvas, tip: tuple[float, float], heading: float) -> list[Rod]:
    """Return a hollow tip in a sleeve, clear or coloured, in front of a thick handpiece."""
    half = canvas.number(0.014, 0.032)
    metal = _rod(canvas, tip, heading, [(0, 0.6 * half, 0.3 * half), (0.03, half, 0.0), (_FAR, half, 0.0)])
    begin, sleeve = canvas.number(0.06, 0.4), half * canvas.number(1.3, 2.2)
    place = (tip[0] + begin * math.cos(heading), tip[1] + begin * math.sin(heading))
    table = [(0, 0.75 * sleeve, 0.0), (0.08, sleeve, 0.0), (0.7, 1.1 * sleeve, 0.0), (_FAR, 1.5 * sleeve, 0.0)]
    rods = [metal, replace(_rod(canvas, place, heading, table, metal=False), clear=canvas.number(0.1, 0.85))]
    if canvas.chance(0.6):
        rods.append(_shaft(canvas, tip, heading, begin + canvas.number(0.3, 1.0), half * canvas.number(2.0, 4.0)))
    return rods


def _blade(canvas: Canvas, tip: tuple[float, float], heading: float) -> list[Rod]:
    half, long = canvas.number(0.02, 0.075), canvas.number(0.08, 0.4)
    neck = half * canvas.number(0.25, 0.6)
    lean = canvas.random.choice((-1, 0, 1)) * half * 0.6
    table = [(0, 0.002, lean), (long, half, 0.0), (long * canvas.number(1.1, 2.5), half, 0.0), (long * 3, neck, 0.0)]
    return [replace(_rod(canvas, tip, heading, [*table, (_FAR, 1.5 * neck, 0.0)]), flat=canvas.chance(0.8))]


def _hook(canvas: Canvas, tip: tuple[float, float], heading: float) -> list[Rod]:
    """Return a chopper, hook or spatula: a thin rod with its end bent aside or flattened."""
    thin, reach = canvas.number(0.006, 0.018), canvas.number(-0.10, 0.10)
    wide = thin * canvas.number(0.6, 2.2)
    table = [(0, wide, reach), (0.03, wide, 0.9 * reach), (canvas.number(0.05, 0.12), thin, 0.0)]
    bow = canvas.random.normal(0, 0.08)
    return [_rod(canvas, tip, heading, [*table, (canvas.number(0.4, 1.2), 1.3 * thin, bow), (_FAR, 3 * thin, 4 * bow)])]


def _cartridge(canvas: Canvas, tip: tuple[float, float], heading: float) -> list[Rod]:
    """Return an injector: a wide clear funnel with a coloured plunger or folded lens in it."""
    nose, wide = canvas.number(0.03, 0.06), canvas.number(0.08, 0.22)
    step, long = canvas.number(0.3, 0.9), canvas.number(0.02, 0.3)
    table = [(0, 0.8 * nose, 0.0), (step, 1.2 * nose, 0.0), (step + long, wide, 0.0), (_FAR, 1.3 * wide, 0.0)]
    funnel = replace(_rod(canvas, tip, heading, table, metal=False), clear=canvas.number(0.3, 0.8))
    start, half = canvas.number(0.05, 0.4), nose * canvas.number(0.4, 0.9)
    place = (tip[0] + start * math.cos(heading), tip[1] + start * math.sin(heading))
    plunger = [(0, 0.7 * half, 0.0), (0.05, half, 0.0), (_FAR, 1.6 * half, 0.0)]
    return [replace(_rod(canvas, place, heading, plunger, metal=False), clear=canvas.number(0, 0.4)), funnel]


def _tweezers(canvas: Canvas, tip: tuple[float, float], heading: float) -> list[Rod]:
    """Return strong tweezers: two flat arms that touch at the tip and swell towards the hand."""
    half, open_by = canvas.number(0.012, 0.03), canvas.number(0.0, 0.06)
    rods = []
    for sign in (-1, 1):
        table = [(0, 0.4 * half, sign * open_by * 0.5), (0.12, 0.8 * half, sign * (0.6 * half + open_by * 0.6))]
        table += [(0.9, 1.4 * half, sign * (2.2 * half + open_by)), (_FAR, 2.6 * half, sign * (3 * half + open_by))]
        rods.append(replace(_rod(canvas, tip, heading, table), flat=canvas.chance(0.3)))
    return rods
