"""How far the borders of two masks lie apart: border counts, NSD and HD95, in pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ocuseg.metrics.region import clear_outside

__all__ = ["BorderCounts", "border_counts", "nsd"]


@dataclass(frozen=True, slots=True, eq=False)
class BorderCounts:
    """Border pixels of two masks, and how many of them lie within each of T tolerances of the other's border.

    `total_*` are (...) and `within_*` (..., T) int64. `hd95_px` is of one image and NaN where it is undefined (either
    border is empty) or makes no sense (counts of several images added).
    """

    total_reference: NDArray[np.int64]
    total_prediction: NDArray[np.int64]
    within_reference: NDArray[np.int64]
    within_prediction: NDArray[np.int64]
    hd95_px: float = float("nan")

    def to_array(self) -> NDArray[np.int64]:
        """Return the counts as (..., 2 + 2T) int64, which can be added and resampled."""
        totals = np.stack([self.total_reference, self.total_prediction], axis=-1)
        return np.concatenate([totals, self.within_reference, self.within_prediction], axis=-1)

    @classmethod
    def from_array(cls, array: NDArray[Any]) -> BorderCounts:
        """Return the counts of an array that `to_array` gave, or of a sum of such arrays."""
        tolerances = (array.shape[-1] - 2) // 2
        return cls(array[..., 0], array[..., 1], array[..., 2 : 2 + tolerances], array[..., 2 + tolerances :])


def border_counts(
    reference: NDArray[np.bool_],
    prediction: NDArray[np.bool_],
    tolerances_px: Sequence[float] = (1, 2),
    region: NDArray[np.bool_] | None = None,
) -> BorderCounts:
    """Return the border counts and HD95 of two boolean masks (H, W) of one image.

    A border pixel is a pixel of the mask with a 4-neighbour outside it; the edge of the image counts as outside, and so
    does the edge of the region, as both masks are cleared there first. Distances are Euclidean between pixel centres.
    HD95 is the larger of the two directed 95th percentiles, interpolated linearly. Both as in MONAI on the cleared
    masks, but HD95 with one mask empty is NaN (undefined, left out of means), not infinite. surface-distance measures
    between elements half a pixel off, weighs them by length and does not interpolate: its NSD differs by some
    hundredths, its HD95 by a pixel or so, by more where few border pixels are far off.

    Nikolov et al. 2021, doi:10.2196/26151 (NSD); Huttenlocher et al. 1993, doi:10.1109/34.232073 (Hausdorff).
    Raises ValueError on different shapes or more than two dimensions.
    """
    reference, prediction = clear_outside(reference, prediction, region)
    box = _bounding_box(reference | prediction)
    border_reference, border_prediction = _border(reference[box]), _border(prediction[box])
    to_prediction = _distances(border_reference, border_prediction)
    to_reference = _distances(border_prediction, border_reference)
    limits = np.asarray(tolerances_px, dtype=np.float64)[:, np.newaxis]
    defined = to_prediction.size > 0 and to_reference.size > 0
    return BorderCounts(
        total_reference=np.array(to_prediction.size, dtype=np.int64),
        total_prediction=np.array(to_reference.size, dtype=np.int64),
        within_reference=np.count_nonzero(to_prediction <= limits, axis=1).astype(np.int64),
        within_prediction=np.count_nonzero(to_reference <= limits, axis=1).astype(np.int64),
        hd95_px=float(max(np.percentile(to_prediction, 95), np.percentile(to_reference, 95))) if defined else np.nan,
    )


def nsd(counts: BorderCounts) -> NDArray[np.float64]:
    """Return the normalised surface Dice (..., T), 0 to 1: the share of both borders within each tolerance.

    NaN where both masks are empty, 0 where one is. Nikolov et al. 2021, doi:10.2196/26151.
    """
    within = np.asarray(counts.within_reference + counts.within_prediction, dtype=np.float64)
    total = np.asarray(counts.total_reference + counts.total_prediction)[..., np.newaxis]
    score = np.full(within.shape, np.nan)
    np.divide(within, total, out=score, where=total != 0)
    return score


def _bounding_box(mask: NDArray[np.bool_]) -> tuple[slice, slice]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if rows.size == 0:
        return slice(0, 0), slice(0, 0)
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def _border(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    framed = np.pad(mask, 1)
    inside = framed[:-2, 1:-1] & framed[2:, 1:-1] & framed[1:-1, :-2] & framed[1:-1, 2:]
    return mask & ~inside


def _distances(origin: NDArray[np.bool_], target: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return for each pixel of `origin` how far the nearest of `target` is; infinite if there is none."""
    total = int(np.count_nonzero(origin))
    apart = origin & ~target
    points = int(np.count_nonzero(apart))
    distances = np.zeros(total)
    if points == 0:
        return distances
    num_targets = int(np.count_nonzero(target))
    if num_targets == 0:
        distances[:points] = np.inf
    elif _tree_is_faster(points, num_targets, origin.size):
        from scipy.spatial import KDTree

        tree = KDTree(np.argwhere(target), leafsize=32, balanced_tree=False, compact_nodes=False)
        distances[:points] = tree.query(np.argwhere(apart))[0]
    else:
        from scipy.ndimage import distance_transform_edt

        distances[:points] = distance_transform_edt(~target)[apart]
    return distances


def _tree_is_faster(points: int, targets: int, pixels: int) -> bool:
    # Measured: a query and an entry of the tree cost about seven pixels of the distance transform.
    return 7 * (points + targets) < pixels
