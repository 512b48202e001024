"""Small pieces of foreground, which for vessels are nearly always noise, are taken out of the probabilities."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ocuseg.metrics import LEVELS, quantise, threshold_level

__all__ = ["without_small_pieces"]

_TOUCHING = np.ones((3, 3), np.bool_)  # corners connect


def without_small_pieces(
    probabilities: NDArray[np.float32], threshold: float | None, least_px: int
) -> NDArray[np.float32]:
    """Return probabilities (1, h, w) of which the mask at `threshold` has no piece of fewer than `least_px` pixels.

    The probabilities of such pieces are lowered to just below the threshold, so that scores and whatever else reads
    them see what the mask shows. All others stay as they are. Without a threshold no mask at any threshold has such a
    piece, by an area opening (Vincent 1993, doi:10.1007/978-3-662-03039-4_13), which takes longer.
    """
    levels = quantise(probabilities[0])
    if threshold is None:
        from skimage.morphology import area_opening

        opened = area_opening(levels, least_px, connectivity=2)
        lowered = opened < levels
        kept = probabilities.copy()
        kept[0][lowered] = opened[lowered] / np.float32(LEVELS - 1)
        return kept
    level = threshold_level(threshold)
    if level == 0:  # everything is foreground
        return probabilities
    from scipy.ndimage import label

    pieces, _ = label(levels >= level, structure=_TOUCHING)
    small = np.bincount(pieces.ravel()) < least_px
    small[0] = False
    kept = probabilities.copy()
    kept[0][small[pieces]] = np.float32((level - 1) / (LEVELS - 1))
    return kept
