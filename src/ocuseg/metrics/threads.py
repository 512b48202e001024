"""How well thin, branching structures are followed: skeletons, clDice and connected components."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ocuseg.metrics.region import clear_outside

__all__ = ["ThreadCounts", "cldice", "load_skeletons", "skeleton_of", "thread_counts"]


@dataclass(frozen=True, slots=True, eq=False)
class ThreadCounts:
    """Skeleton pixels of two masks, how many of them lie inside the other mask, and components; each (...) int64."""

    skeleton_prediction: NDArray[np.int64]
    skeleton_prediction_inside: NDArray[np.int64]
    skeleton_reference: NDArray[np.int64]
    skeleton_reference_inside: NDArray[np.int64]
    components_reference: NDArray[np.int64]
    components_prediction: NDArray[np.int64]

    def to_array(self) -> NDArray[np.int64]:
        """Return the counts as (..., 6) int64, in the order of the fields; it can be added and resampled."""
        return np.stack([getattr(self, field.name) for field in fields(self)], axis=-1)

    @classmethod
    def from_array(cls, array: NDArray[Any]) -> ThreadCounts:
        """Return the counts of an array that `to_array` gave, or of a sum of such arrays."""
        return cls(*np.moveaxis(array, -1, 0))


def thread_counts(
    reference: NDArray[np.bool_], prediction: NDArray[np.bool_], region: NDArray[np.bool_] | None = None
) -> ThreadCounts:
    """Return the skeleton and component counts of two boolean masks (H, W) of one image.

    Both masks are cleared outside the region first. Skeletons are scikit-image's (Zhang & Suen 1984,
    doi:10.1145/357994.358023); components are 8-connected. Raises ValueError on different shapes or more than two
    dimensions.
    """
    reference, prediction = clear_outside(reference, prediction, region)
    skeleton_reference, skeleton_prediction = skeleton_of(reference), skeleton_of(prediction)
    numbers = (
        np.count_nonzero(skeleton_prediction),
        np.count_nonzero(skeleton_prediction & reference),
        np.count_nonzero(skeleton_reference),
        np.count_nonzero(skeleton_reference & prediction),
        _components(reference),
        _components(prediction),
    )
    return ThreadCounts.from_array(np.array(numbers, dtype=np.int64))


def cldice(counts: ThreadCounts) -> NDArray[np.float64]:
    """Return the centreline Dice (...), 0 to 1: the harmonic mean of topology precision and sensitivity.

    Precision is the share of the predicted skeleton inside the reference, sensitivity the share of the reference's
    skeleton inside the prediction. NaN where both masks are empty, 0 where one is (published code gives NaN or 0, by
    its smoothing). Shit et al. 2021, doi:10.1109/CVPR46437.2021.01629.
    """
    predicted, inside_reference, true, inside_prediction = (
        np.asarray(value, dtype=np.float64)
        for value in (
            counts.skeleton_prediction,
            counts.skeleton_prediction_inside,
            counts.skeleton_reference,
            counts.skeleton_reference_inside,
        )
    )
    # 2PS/(P+S) with P = inside_reference/predicted and S = inside_prediction/true, without dividing by an empty one.
    top = 2 * inside_reference * inside_prediction
    bottom = inside_reference * true + inside_prediction * predicted
    score = np.divide(top, bottom, out=np.zeros(top.shape), where=bottom != 0)
    return np.where(predicted + true == 0, np.nan, score)


def skeleton_of(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the skeleton of a mask (H, W), one pixel wide: Zhang & Suen 1984, doi:10.1145/357994.358023."""
    from skimage.morphology import skeletonize

    # Pillow's arrays of 1-bit images hold 255 for True, which scikit-image takes for an index, and crashes.
    skeleton: NDArray[np.bool_] = skeletonize(mask != 0)
    return skeleton


def load_skeletons() -> None:
    """Import what `skeleton_of` needs, which takes several tenths of a second."""
    import skimage.morphology  # noqa: F401


def _components(mask: NDArray[np.bool_]) -> int:
    from scipy.ndimage import label

    return int(label(mask, structure=np.ones((3, 3)))[1])
