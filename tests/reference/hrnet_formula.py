"""Weights and images from a formula, the same in any environment, for networks that two programs define."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

SHAPE = (1, 3, 32, 64)
"""The images that both programs see."""


def formula_images() -> NDArray[np.float32]:
    """Return images of SHAPE from -1 to 1, a sine of the squares of the positions."""
    return _waves(math.prod(SHAPE), 0).reshape(SHAPE).astype(np.float32)


def formula_state(shapes: Mapping[str, Sequence[int]]) -> dict[str, NDArray[np.float32]]:
    """Return weights by name, in the order of the names: small sines, scaled by the fan-in of a convolution.

    The scale of a norm is from 0.1 to 0.4, its variance from 0.5 to 1.5, so that features neither die nor explode.
    """
    state = {}
    for number, (name, shape) in enumerate(sorted(shapes.items()), start=1):
        values = _waves(math.prod(shape), number)
        if len(shape) == 4:
            values *= math.sqrt(4 / math.prod(shape[1:]))
        elif name.endswith("running_var"):
            values = 1 + 0.5 * values
        elif name.endswith("weight"):
            values = 0.25 + 0.15 * values
        else:
            values *= 0.2
        state[name] = values.reshape(shape).astype(np.float32)
    return state


def _waves(count: int, number: int) -> NDArray[np.float64]:
    positions = np.arange(count, dtype=np.float64)
    return np.sin(0.013 * positions * positions + 1.7 * positions + number)
