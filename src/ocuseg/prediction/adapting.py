"""The scale at which a network sees an image whose vessels would be much wider or narrower than those it knows."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ocuseg.geometry import Placement
from ocuseg.metrics import mean_width

__all__ = ["adapted", "drawn_width"]

Look = Callable[[Placement], NDArray[np.float32]]
"""Gives the probabilities (1, h, w) of an image at the working size of a placement."""

_ALIKE = 1.25
_LOOKS = 2
_LEAST, _MOST = 0.4, 2.5
# A network draws narrow vessels too wide and wide ones too narrow: twice the scale makes its vessels 1.5 to 1.8 times
# as wide (measured on CHASE_DB1 and HRF with networks of one camera and of both).
_POWER = 1.4


def adapted(placement: Placement, look: Look, known_px: float) -> Placement:
    """Return the placement at a scale at which the network draws vessels about `known_px` wide, as it learnt them.

    A field of view of 30 degrees shows vessels twice as wide as one of 60 degrees of the same diameter, and a
    photograph does not say which it is. So the network has a look: where the vessels it draws are more than a quarter
    wider or narrower than in the images that it was trained on, the scale is changed, at most twice and to 0.4 to 2.5
    times. An image without vessels stays as it is.
    """
    first, factor = placement, 1.0
    for _ in range(_LOOKS):
        width = drawn_width(placement, look)
        if width is None or 1 / _ALIKE <= known_px / width <= _ALIKE:
            break
        factor = min(max(factor * (known_px / width) ** _POWER, _LEAST), _MOST)
        height, across = first.working_size
        size = (max(1, round(height * factor)), max(1, round(across * factor)))
        placement = dataclasses.replace(first, working_size=size)
    return placement


def drawn_width(placement: Placement, look: Look) -> float | None:
    """Return the mean width of the vessels, in pixels, that a network draws at a probability of one half."""
    drawn = look(placement)[0] >= 0.5
    if placement.area is not None:
        drawn &= placement.area.sampled(placement.box, placement.working_size)
    return mean_width(drawn)
