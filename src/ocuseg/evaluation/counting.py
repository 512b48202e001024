"""One image to counts: everything that is measured of a prediction and needs the pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ocuseg.metrics import confusion_matrix, level_histogram, quantise
from ocuseg.metrics.borders import border_counts
from ocuseg.metrics.threads import thread_counts

__all__ = ["TOLERANCES_PX", "MaskCounts", "count_levels", "count_masks", "is_thread_like", "level_histograms"]

TOLERANCES_PX = (1, 2)

# Border squared over area is 12.6 for a disc, 40 for an ellipse ten times as long as wide, and hundreds to thousands
# for each connected piece of a vessel tree.
_THREAD_LIKE = 60.0


@dataclass(frozen=True, slots=True, eq=False)
class MaskCounts:
    """What two masks of C classes have in common inside the region; F = C - 1 foreground classes.

    `confusion` is (C, C) int64, rows the reference. `borders` is (F, 2 + 2T) int64 and `hd95_px` (F,), `threads`
    (F, 6) int64, each None where it was not asked for.
    """

    confusion: NDArray[np.int64]
    borders: NDArray[np.int64] | None = None
    hd95_px: NDArray[np.float64] | None = None
    threads: NDArray[np.int64] | None = None


def count_masks(
    reference: NDArray[np.uint8],
    prediction: NDArray[np.uint8],
    num_classes: int,
    region: NDArray[np.bool_] | None = None,
    *,
    borders: bool = True,
    threads: bool = False,
) -> MaskCounts:
    """Return the counts of two masks (H, W) of class ids; only pixels where `region` is True count.

    Raises ValueError as `confusion_matrix` does.
    """
    confusion = confusion_matrix(reference, prediction, num_classes, region)
    pairs = [(reference == index, prediction == index) for index in range(1, num_classes)] if borders or threads else []
    border_rows, hd95, thread_rows = [], [], []
    for true, found in pairs:
        if borders:
            counts = border_counts(true, found, TOLERANCES_PX, region)
            border_rows.append(counts.to_array())
            hd95.append(counts.hd95_px)
        if threads:
            thread_rows.append(thread_counts(true, found, region).to_array())
    return MaskCounts(
        confusion,
        np.stack(border_rows) if borders else None,
        np.array(hd95, dtype=np.float64) if borders else None,
        np.stack(thread_rows) if threads else None,
    )


def level_histograms(
    probabilities: NDArray[np.float32], reference: NDArray[np.uint8], region: NDArray[np.bool_] | None = None
) -> NDArray[np.int64]:
    """Return the level histograms (K, 2, 65536) of probabilities (K, H, W), each channel against the rest.

    One channel is that of class 1, more are those of class 0, 1, and so on.
    """
    ids = (1,) if len(probabilities) == 1 else range(len(probabilities))
    return np.stack(
        [
            level_histogram(quantise(channel), reference == index, region)
            for index, channel in zip(ids, probabilities, strict=True)
        ]
    )


def count_levels(
    probabilities: NDArray[np.float32],
    reference: NDArray[np.uint8],
    prediction: NDArray[np.uint8],
    region: NDArray[np.bool_] | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the histograms (K, 2, 65536) of each channel, and that of the confidence (2, 65536).

    For one channel both are of the probability of class 1; for more, the confidence is the highest probability, and
    positive where the predicted class is right.
    """
    histograms = level_histograms(probabilities, reference, region)
    if len(probabilities) == 1:
        return histograms, histograms[0]
    confidence = level_histogram(quantise(probabilities.max(axis=0)), prediction == reference, region)
    return histograms, confidence


def is_thread_like(mask: NDArray[np.bool_]) -> bool | None:
    """Return whether a mask (H, W) holds long, thin structures, such as vessels; None if it is empty.

    Judged by border squared over area for each 8-connected piece, so that many round spots are not threads.
    """
    from scipy.ndimage import binary_erosion, label

    area = int(np.count_nonzero(mask))
    if area == 0:
        return None
    border = area - int(np.count_nonzero(binary_erosion(mask)))
    pieces = int(label(mask, structure=np.ones((3, 3)))[1])
    return border**2 / (area * pieces) > _THREAD_LIKE
