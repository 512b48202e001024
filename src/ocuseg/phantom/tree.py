"""Grow the arteries and veins of a drawn retina as centre lines with radii."""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Anatomy", "Vessels", "draw_anatomy", "grow_vessels"]

_STEP = 0.02
_GRID_CELLS = 120
_GRID_REACH = 1.15
_MOST_BRANCHES = 420


@dataclass(frozen=True, slots=True)
class Anatomy:
    """Where the landmarks lie; the unit is the radius of the field of view, its centre the origin, y points down.

    `temporal` is +1 where the fovea lies to the right of the disc, else -1.
    """

    disc: tuple[float, float]
    fovea: tuple[float, float]
    disc_diameter: float
    temporal: int


@dataclass(frozen=True, slots=True)
class Vessels:
    """The centre lines of one kind of vessel as short pieces, in the unit of the anatomy.

    `starts` and `ends` are (P, 2) as x, y; `radii` is (P, 2), at the start and at the end.
    """

    starts: NDArray[np.float64]
    ends: NDArray[np.float64]
    radii: NDArray[np.float64]


@dataclass(slots=True)
class _Sprout:
    x: float
    y: float
    heading: float
    radius: float
    parent: int
    turn_from: float  # the heading follows turn_to + (turn_from - turn_to) exp(-length / turn_over)
    turn_to: float
    turn_over: float
    side: int  # +1 where the branch leaves to the right of its parent
    rank: int


def draw_anatomy(random: np.random.Generator) -> Anatomy:
    """Return landmarks of an eye, left or right, centred on the disc, the macula or between them."""
    temporal = 1 if random.random() < 0.5 else -1
    diameter = float(random.uniform(0.27, 0.40))
    distance = 2.5 * diameter
    centring = float(random.uniform(0.0, 1.0))  # 0: the disc is in the middle, 1: the macula
    disc_x = float(np.clip(-temporal * centring * distance + random.normal(0, 0.05), -0.72, 0.72))
    disc_y = float(random.normal(-0.02, 0.05))
    fovea = (disc_x + temporal * distance, disc_y + float(random.uniform(0.1, 0.35)) * diameter)
    return Anatomy((disc_x, disc_y), fovea, diameter, temporal)


def grow_vessels(anatomy: Anatomy, random: np.random.Generator, smallest_radius: float) -> tuple[Vessels, Vessels]:
    """Return the arteries and the veins that spread from the disc; no branch is thinner than `smallest_radius`.

    At a fork the cubes of the daughters' radii add up to that of the parent (Murray, doi:10.1085/jgp.9.6.835).
    Vessels of one kind keep clear of each other, those of different kinds may cross, and none enters the fovea.
    """
    tortuosity = float(random.uniform(0.6, 1.6))
    width = float(random.uniform(0.8, 1.08)) * anatomy.disc_diameter
    trunks = _Trunks(anatomy, random)
    arteries = _Growth(anatomy, random, smallest_radius, tortuosity)
    arteries.grow(trunks.sprouts(0.044 * width, shift=-1))
    veins = _Growth(anatomy, random, smallest_radius, 0.8 * tortuosity)
    veins.grow(trunks.sprouts(0.055 * width, shift=1))
    return arteries.vessels(), veins.vessels()


class _Trunks:
    """The four arcades, with an artery and a vein each, and a few fine vessels at the rim of the disc."""

    def __init__(self, anatomy: Anatomy, random: np.random.Generator) -> None:
        self._anatomy = anatomy
        self._random = random
        # Degrees from the axis disc - fovea at the start and the end, the length of the bend, the share of the width.
        self._arcades = [(sign, *self._arcade(temporal)) for sign in (-1, 1) for temporal in (True, False)]

    def _arcade(self, temporal: bool) -> tuple[float, float, float, float]:
        uniform = self._random.uniform
        if temporal:
            return float(uniform(70, 105)), float(uniform(-18, 12)), float(uniform(1.5, 2.1)), 1.0
        return float(uniform(105, 135)), float(uniform(140, 172)), float(uniform(1.5, 3.0)), float(uniform(0.65, 0.85))

    def sprouts(self, radius: float, shift: int) -> list[_Sprout]:
        random = self._random
        sprouts = []
        for sign, start, end, over, share in self._arcades:
            first = start + shift * float(random.uniform(6, 18))
            last = end + float(random.normal(0, 6)) + 7 * shift
            sprouts.append(self._sprout(sign, first, last, over * float(random.uniform(0.85, 1.15)), radius * share))
        for _ in range(int(random.integers(3, 7))):
            angle = float(random.uniform(-180, 180))
            if abs(abs(angle) - 90) < 35:
                continue  # the arcades leave there
            bend = angle + float(random.normal(0, 20))
            sprouts.append(self._sprout(1, angle, bend, 2.0, radius * float(random.uniform(0.3, 0.5))))
        return sprouts

    def _sprout(self, sign: int, first: float, last: float, over: float, radius: float) -> _Sprout:
        anatomy, random = self._anatomy, self._random

        def heading(degrees: float) -> float:
            angle = math.radians(degrees) * sign
            return angle if anatomy.temporal > 0 else math.pi - angle

        away = heading(first)
        offset = anatomy.disc_diameter * float(random.uniform(0.02, 0.12))
        x = anatomy.disc[0] + offset * math.cos(away) - 0.06 * anatomy.temporal * anatomy.disc_diameter
        y = anatomy.disc[1] + offset * math.sin(away)
        turn_to = away + _wrap(heading(last) - away)
        return _Sprout(x, y, away, radius, -1, away, turn_to, over * anatomy.disc_diameter, sign, 0)


class _Growth:
    """One kind of vessel, grown thickest first on a grid that says which branch took which place."""

    def __init__(
        self, anatomy: Anatomy, random: np.random.Generator, smallest_radius: float, tortuosity: float
    ) -> None:
        self._anatomy = anatomy
        self._random = random
        self._smallest = smallest_radius
        self._tortuosity = tortuosity
        self._grid = [[-1] * _GRID_CELLS for _ in range(_GRID_CELLS)]
        self._waiting: list[tuple[float, int, _Sprout]] = []
        self._pieces: list[tuple[float, float, float, float, float, float]] = []
        self._count = 0

    def grow(self, sprouts: list[_Sprout]) -> None:
        for sprout in sprouts:
            self._wait(sprout)
        branch = 0
        while self._waiting and branch < _MOST_BRANCHES:
            self._branch(heapq.heappop(self._waiting)[2], branch)
            branch += 1

    def vessels(self) -> Vessels:
        table = np.array(self._pieces, np.float64).reshape(-1, 6)
        return Vessels(table[:, 0:2], table[:, 2:4], table[:, 4:6])

    def _wait(self, sprout: _Sprout) -> None:
        if sprout.radius >= self._smallest:
            self._count += 1
            heapq.heappush(self._waiting, (-sprout.radius, self._count, sprout))

    def _branch(self, sprout: _Sprout, branch: int) -> None:
        random, diameter = self._random, self._anatomy.disc_diameter
        fovea_x, fovea_y = self._anatomy.fovea
        x, y, radius = sprout.x, sprout.y, sprout.radius
        length, wander, swing = 0.0, 0.0, 0.0
        furthest = diameter * (0.5 + 45 * radius / diameter) * float(random.uniform(0.7, 1.4))
        until_fork = diameter * float(random.uniform(0.25, 0.6))
        side = 1 if random.random() < 0.5 else -1
        draws = random.normal(size=int(furthest / _STEP) + 2) if sprout.rank else random.normal(size=400)
        wiggle = self._tortuosity * (0.55 + 0.25 * min(sprout.rank, 2))
        for step, draw in enumerate(draws.tolist()):
            # Slow wandering with its own memory gives bends rather than jitter.
            swing = 0.8 * swing + 0.11 * wiggle * draw
            wander = 0.94 * wander + 0.5 * swing
            decay = math.exp(-length / sprout.turn_over)
            heading = sprout.turn_to + (sprout.turn_from - sprout.turn_to) * decay + wander
            turned = self._clear_heading(x, y, heading, branch, sprout.parent, step)
            if turned is None:
                return
            wander += 0.6 * (turned - heading)
            start = (x, y, radius)
            x += _STEP * math.cos(turned)
            y += _STEP * math.sin(turned)
            length += _STEP
            radius *= 1 - 0.03 * _STEP / diameter
            from_fovea = math.hypot(x - fovea_x, y - fovea_y)
            if math.hypot(x, y) > _GRID_REACH - 0.05 or radius < self._smallest or from_fovea < 0.3 * diameter:
                return
            self._pieces.append((start[0], start[1], x, y, start[2], radius))
            self._take(x, y, branch)
            if length > until_fork:
                share = float(random.triangular(0.25, 0.5, 0.85))
                if radius * _rest(share) < self._smallest:
                    share = 0.0
                if share:
                    self._wait(self._side_branch(x, y, turned, radius * share, side, branch, sprout.rank))
                    radius *= _rest(share)
                    wander -= side * 0.3 * share**2
                side = -side if random.random() < 0.75 else side
                until_fork = length + diameter * float(random.uniform(0.22, 0.65))
            if sprout.rank and length > furthest:
                break
        if radius > 1.15 * self._smallest:
            share = float(random.uniform(0.68, 0.88))
            for turn, part in ((side, share), (-side, _rest(share))):
                self._wait(self._side_branch(x, y, heading, radius * part, turn, branch, sprout.rank, angle=0.5))

    def _side_branch(
        self, x: float, y: float, heading: float, radius: float, side: int, parent: int, rank: int, angle: float = 1.0
    ) -> _Sprout:
        random, diameter = self._random, self._anatomy.disc_diameter
        leave = heading + side * angle * float(random.uniform(0.7, 1.25))
        to_fovea = math.atan2(self._anatomy.fovea[1] - y, self._anatomy.fovea[0] - x)
        outwards = math.atan2(y - self._anatomy.disc[1], x - self._anatomy.disc[0])
        inner = (
            abs(_wrap(to_fovea - leave)) < 1.2
            and math.hypot(self._anatomy.fovea[0] - x, self._anatomy.fovea[1] - y) < 2.6 * diameter
        )
        goal = to_fovea if inner else outwards
        # Halfway between the way it set out and where it is needed.
        turn_to = leave + float(random.uniform(0.25, 0.7)) * _wrap(goal - leave)
        over = diameter * float(random.uniform(0.6, 1.6))
        return _Sprout(x, y, leave, radius, parent, leave, turn_to, over, side, rank + 1)

    def _clear_heading(self, x: float, y: float, heading: float, branch: int, parent: int, step: int) -> float | None:
        if step < 5:
            return heading
        for turn in (0.0, 0.35, -0.35, 0.7, -0.7):
            ahead = heading + turn
            if all(
                self._free(
                    x + reach * math.cos(ahead + aside), y + reach * math.sin(ahead + aside), branch, parent, step
                )
                for reach, aside in ((0.04, 0.0), (0.075, 0.0), (0.06, 0.9), (0.06, -0.9))
            ):
                return ahead
        return None

    def _free(self, x: float, y: float, branch: int, parent: int, step: int) -> bool:
        row, column = _cell(y), _cell(x)
        if not (0 <= row < _GRID_CELLS and 0 <= column < _GRID_CELLS):
            return True
        owner = self._grid[row][column]
        near_disc = (
            math.hypot(x - self._anatomy.disc[0], y - self._anatomy.disc[1]) < 0.55 * self._anatomy.disc_diameter
        )
        return owner in (-1, branch) or (owner == parent and step < 9) or near_disc

    def _take(self, x: float, y: float, branch: int) -> None:
        row, column = _cell(y), _cell(x)
        if 0 <= row < _GRID_CELLS and 0 <= column < _GRID_CELLS:
            self._grid[row][column] = branch


def _rest(share: float) -> float:
    return float((1 - share**3) ** (1 / 3))


def _cell(value: float) -> int:
    return int((value + _GRID_REACH) * (_GRID_CELLS / (2 * _GRID_REACH)))


def _wrap(angle: float) -> float:
    return (angle + math.pi) % (2 * math.pi) - math.pi
