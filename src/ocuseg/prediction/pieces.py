"""Small pieces of foreground, which for vessels are nearly always noise, are taken out of the probabilities."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ocuseg.metrics import LEVELS, quantise, threshold_level

__all__ = ["without_small_pieces"]

_TOUCHING = np.ones((3, 3), np.bool_)  # corners connect


def without_small_pieces(probabilities: NDArray[np.float32], threshold: float, least_px: int) -> NDArray[np.float32]:
    """Return probabilities (1, h, w) of which the mask at `threshold` has no piece of fewer than `least_px` pixels.

    The probabilities of such pieces are lowered to just below the threshold, so that scores and whatever else reads
    them see what the mask shows. All others stay as they are.
    """
    from scipy.ndimage import label

    level = threshold_level(threshold)
    if level == 0:  # everything is foreground
        return probabilities
    pieces, _ = label(quantise(probabilities[0]) >= level, structure=_TOUCHING)
    small = np.bincount(pieces.ravel()) < least_px
    small[0] = False
    kept = probabilities.copy()
    kept[0][small[pieces]] = np.float32((level - 1) / (LEVELS - 1))
    return kept
