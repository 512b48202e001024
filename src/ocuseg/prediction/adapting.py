"""The scale at which a network sees an image whose vessels would be much wider or narrower than those it knows."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ocuseg.geometry import Placement
from ocuseg.metrics import mean_width

__all__ = ["Sight", "adapted", "sight"]

Look = Callable[[Placement], NDArray[np.float32]]
"""Gives the probabilities (1, h, w) of an image at the working size of a placement."""

_ALIKE = 1.25
_TRIES = 2
_LEAST, _MOST = 0.4, 2.5
# A network draws narrow vessels too wide and wide ones too narrow: twice the scale makes its vessels 1.5 to 1.8 times
# as wide (measured on CHASE_DB1 and HRF with networks of one camera and of both).
_POWER = 1.4
_UNSURE = (0.2, 0.8)


class Sight(NamedTuple):
    """What a network draws in an image at one scale.

    `width_px` is the mean width of the vessels, where the probability is at least one half, None without any. `doubt`
    are the pixels whose probability is between .2 and .8, over those of the vessels.
    """

    width_px: float | None
    doubt: float


def adapted(placement: Placement, look: Look, known_px: float) -> Placement:
    """Return the placement at a scale at which the network draws vessels about `known_px` wide, as it learnt them.

    A field of view of 30 degrees shows vessels twice as wide as one of 60 degrees of the same diameter, and a
    photograph does not say which it is. So the network has a look: where the vessels it draws are more than a quarter
    wider or narrower than in the images that it was trained on, another scale is tried, at most twice, of 0.4 to 2.5
    times. It is taken unless the network is in more doubt there. An image without vessels stays as it is.
    """
    best, seen, factor = placement, sight(placement, look), 1.0
    for _ in range(_TRIES):
        if seen.width_px is None or 1 / _ALIKE <= known_px / seen.width_px <= _ALIKE:
            break
        factor = min(max(factor * (known_px / seen.width_px) ** _POWER, _LEAST), _MOST)
        height, width = placement.working_size
        size = (max(1, round(height * factor)), max(1, round(width * factor)))
        if size == best.working_size:
            break
        tried = dataclasses.replace(placement, working_size=size)
        now = sight(tried, look)
        if now.doubt > seen.doubt:
            break
        best, seen = tried, now
    return best


def sight(placement: Placement, look: Look) -> Sight:
    """Return what a network draws in an image at the scale of a placement, inside the field of view."""
    probabilities = look(placement)[0]
    drawn = probabilities >= 0.5
    unsure = (probabilities > _UNSURE[0]) & (probabilities < _UNSURE[1])
    if placement.area is not None:
        inside = placement.area.sampled(placement.box, placement.working_size)
        drawn &= inside
        unsure &= inside
    return Sight(mean_width(drawn), np.count_nonzero(unsure) / max(1, np.count_nonzero(drawn)))
