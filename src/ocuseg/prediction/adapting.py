"""The scale at which a network is surest of an image of which nobody knows how much of the eye it shows."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ocuseg.geometry import Placement

__all__ = ["at_surest_scale", "doubt"]

Look = Callable[[Placement], NDArray[np.float32]]
"""Gives the probabilities (C, h, w) of an image at the working size of a placement."""

_STEP = math.sqrt(2)
_MOST_STEPS = 3
# How much surer a network has to be to leave the scale that it knows, and to go on from there.
_TO_LEAVE, _TO_GO_ON = 0.93, 0.97
_UNSURE = (0.2, 0.8)
_LEAST_PX = 50


def at_surest_scale(placement: Placement, look: Look) -> tuple[Placement, NDArray[np.float32]]:
    """Return the placement at which a network is in least doubt, and the probabilities that it gives there.

    A field of view of 30 degrees shows vessels twice as wide as one of 60 degrees of the same diameter, and a
    photograph does not say which it is. At a scale at which vessels are not as wide as those that it learnt, a network
    is in doubt of more of them. So it looks at the image reduced and enlarged by steps of the square root of two, up to
    three either way, as long as its `doubt` falls, and by 7 % for the first step: images like those of its training
    keep their scale. So do those in which it finds nothing. Both ways are gone, and the end in less doubt is taken: of
    vessels much too wide it is surer again when they are wider still, as it then draws their edges.
    """
    found = look(placement)
    best, least = (placement, found), doubt(found, placement)
    if math.isinf(least):
        return best
    at_first = least
    for factor in (1 / _STEP, _STEP):
        before = at_first
        for number in range(1, _MOST_STEPS + 1):
            tried = _rescaled(placement, factor**number)
            found = look(tried)
            now = doubt(found, tried)
            if now >= before * (_TO_LEAVE if number == 1 else _TO_GO_ON):
                break
            before = now
            if now < least:
                best, least = (tried, found), now
    return best


def doubt(probabilities: NDArray[np.float32], placement: Placement) -> float:
    """Return how many pixels of the field of view have a probability between .2 and .8, for each of one half or more.

    `probabilities` (C, h, w) are those at the working size of `placement`; what counts is that of any class but the
    background. Infinite with fewer than 50 of the latter.
    """
    chances = probabilities[0] if len(probabilities) == 1 else 1 - probabilities[0]
    inside = np.True_ if placement.area is None else placement.area.sampled(placement.box, placement.working_size)
    found = np.count_nonzero((chances >= 0.5) & inside)
    unsure = np.count_nonzero((chances > _UNSURE[0]) & (chances < _UNSURE[1]) & inside)
    return unsure / found if found >= _LEAST_PX else math.inf


def _rescaled(placement: Placement, factor: float) -> Placement:
    height, width = placement.working_size
    return dataclasses.replace(placement, working_size=(max(1, round(height * factor)), max(1, round(width * factor))))
