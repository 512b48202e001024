"""The mean width of what is drawn in a mask, quick enough to be taken before an image is seen at its final size."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["mean_width"]

_LEAST_PX = 50


def mean_width(mask: NDArray[np.bool_]) -> float | None:
    """Return the mean width, in pixels, of long and thin parts of a mask (H, W); None with fewer than 50 pixels.

    It is the area over half the length of the border. The border is measured after Cauchy and Crofton: pi / 4 times the
    pairs of neighbours in rows and columns of which one is in the mask, which is right on average over all directions
    (Serra 1982, Image Analysis and Mathematical Morphology, chapter IV). The edge of the picture is no border.
    """
    area = int(np.count_nonzero(mask))
    pairs = int(np.count_nonzero(mask[1:] != mask[:-1]) + np.count_nonzero(mask[:, 1:] != mask[:, :-1]))
    if area < _LEAST_PX or not pairs:
        return None
    return 2 * area / (math.pi / 4 * pairs)
