"""The scales at which a network is surest of an image of which nobody knows how much of the eye it shows."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ocuseg.geometry import Placement
from ocuseg.resampling import resize

__all__ = ["STEPS", "Seen", "doubt", "doubts", "look_around", "mean_of_scales"]

Look = Callable[[Placement], NDArray[np.float32]]
"""Gives the probabilities (C, h, w) of an image at the working size of a placement."""


class Seen(NamedTuple):
    """What a network saw of an image at one scale: the probabilities (C, h, w) there, and how much it doubts them.

    `doubt` is that of `ocuseg.prediction.adapting.doubt`, raised where the scale usually leaves less (`look_around`).
    """

    placement: Placement
    probabilities: NDArray[np.float32]
    doubt: float


_STEP = math.sqrt(2)
_MOST_STEPS = 3
STEPS = 2 * _MOST_STEPS + 1
"""At how many scales an image can be looked at, from the most reduced one on; the usual one is that between."""
# How much surer a network has to be to leave the scale that it knows, and to go on from there.
_TO_LEAVE, _TO_GO_ON = 0.93, 0.97
_UNSURE = (0.2, 0.8)
_LEAST_PX = 50
# The weight of a scale falls to 1 / e where the doubt is this share of the least one above it.
_DECAY = 0.15


def look_around(placement: Placement, look: Look, usual: Sequence[float] | None = None) -> list[Seen]:
    """Return what a network sees of an image at each scale that it tries, the one at which it is surest first.

    A field of view of 30 degrees shows vessels twice as wide as one of 60 degrees of the same diameter, and a
    photograph does not say which it is. At a scale at which vessels are not as wide as those that it learnt, a network
    is in doubt of more of them. So it looks at the image reduced and enlarged by steps of the square root of two, up to
    three either way, as long as its `doubt` falls, and by 7 % for the first step: images like those of its training
    keep their scale. So do those in which it finds nothing, at which it looks once. Both ways are gone, and the end in
    less doubt comes first: of vessels much too wide it is surer again when they are wider still, as it then draws their
    edges.

    `usual` has the `doubts` of images of the usual scale, `STEPS` numbers above 0. At a scale at which those are in
    less doubt than at their own, that of this image is raised by as much: that a network is surer there, of wide
    vessels or of a few of them, is no reason to leave the scale of its training. It is never lowered: of an image that
    is in more doubt than others at every scale, as it is blurred, that would favour the scales that suit none.
    """
    raised = [1.0] * STEPS if usual is None else [max(1.0, usual[_MOST_STEPS] / each) for each in usual]

    def seen_after(steps: int) -> Seen:
        at = _rescaled(placement, steps)
        found = look(at)
        return Seen(at, found, doubt(found, at) * raised[_MOST_STEPS + steps])

    start = seen_after(0)
    seen, surest = [start], start
    if math.isinf(start.doubt):
        return seen
    for way in (-1, 1):
        before = start.doubt
        for number in range(1, _MOST_STEPS + 1):
            tried = seen_after(way * number)
            seen.append(tried)
            if tried.doubt >= before * (_TO_LEAVE if number == 1 else _TO_GO_ON):
                break
            before = tried.doubt
            if tried.doubt < surest.doubt:
                surest = tried
    return [surest, *(one for one in seen if one is not surest)]


def mean_of_scales(seen: Sequence[Seen]) -> NDArray[np.float32]:
    """Return the mean of the probabilities at all scales, (C, h, w) at the working size of the first.

    A scale at which the network is in more doubt counts less: exp(-(doubt / least doubt - 1) / .15). The looks are
    there already, so the mean costs nothing, and no single scale suits wide and thin vessels alike.
    """
    least = min(one.doubt for one in seen)
    if math.isinf(least):
        return seen[0].probabilities
    weights = [math.exp((1 - one.doubt / least) / _DECAY) for one in seen]
    size = seen[0].placement.working_size
    mean = np.zeros_like(seen[0].probabilities)
    for one, weight in zip(seen, weights, strict=True):
        for channel, values in zip(mean, one.probabilities, strict=True):
            channel += np.float32(weight / sum(weights)) * (values if values.shape == size else resize(values, size))
    return mean


def doubt(probabilities: NDArray[np.float32], placement: Placement) -> float:
    """Return how many pixels of the field of view have a probability between .2 and .8, for each of one half or more.

    `probabilities` (C, h, w) are those at the working size of `placement`; what counts is that of any class but the
    background. Infinite with fewer than 50 of the latter, and never quite 0: one pixel is counted where none is.
    """
    chances = probabilities[0] if len(probabilities) == 1 else 1 - probabilities[0]
    inside = np.True_ if placement.area is None else placement.area.sampled(placement.box, placement.working_size)
    found = np.count_nonzero((chances >= 0.5) & inside)
    unsure = np.count_nonzero((chances > _UNSURE[0]) & (chances < _UNSURE[1]) & inside)
    return max(1, int(unsure)) / int(found) if found >= _LEAST_PX else math.inf


def doubts(placement: Placement, look: Look) -> NDArray[np.float64]:
    """Return the `doubt` of an image at every scale that `look_around` may look at, (`STEPS`,), the smallest first."""
    places = [_rescaled(placement, steps) for steps in range(-_MOST_STEPS, _MOST_STEPS + 1)]
    return np.array([doubt(look(at), at) for at in places])


def _rescaled(placement: Placement, steps: int) -> Placement:
    if not steps:
        return placement
    height, width = (max(1, round(side * _STEP**steps)) for side in placement.working_size)
    return dataclasses.replace(placement, working_size=(height, width))
