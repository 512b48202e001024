"""Small pieces of foreground, which for vessels are nearly always noise, are taken out of the probabilities."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ocuseg.metrics import LEVELS, THRESHOLDS, quantise, threshold_level

__all__ = ["without_small_pieces"]

_TOUCHING = np.ones((3, 3), np.bool_)  # corners connect


def without_small_pieces(
    probabilities: NDArray[np.float32], threshold: float | None, least_px: int
) -> NDArray[np.float32]:
    """Return probabilities (1, h, w) of which the mask at `threshold` has no piece of fewer than `least_px` pixels.

    The probabilities of such pieces are lowered to just below the threshold, so that scores and whatever else reads
    them see what the mask shows. All others stay as they are. Without a threshold no mask at any of those that are
    tried (`ocuseg.metrics.THRESHOLDS`) has such a piece, which takes as many times as long.
    """
    levels = quantise(probabilities[0])
    kept = probabilities.copy()
    # Downwards: what one threshold lowers is still above all lower ones.
    for tried in reversed(THRESHOLDS) if threshold is None else (threshold,):
        level = threshold_level(tried)
        if level > 0:  # at 0 everything is foreground
            small = _in_small_pieces(levels >= level, least_px)
            levels[small] = level - 1
            kept[0][small] = np.float32((level - 1) / (LEVELS - 1))
    return kept


def _in_small_pieces(mask: NDArray[np.bool_], least_px: int) -> NDArray[np.bool_]:
    from scipy.ndimage import label

    pieces, _ = label(mask, structure=_TOUCHING)
    small = np.bincount(pieces.ravel()) < least_px
    small[0] = False
    return np.asarray(small[pieces], dtype=np.bool_)
