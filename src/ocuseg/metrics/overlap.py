"""Masks to counts, probabilities to levels, and the overlap scores that are pure functions of counts.

The order is always the same: count first (`confusion_matrix`, `level_histogram`), add the counts of several images
where a pooled score is wanted, then score. Scores take any leading axes, so the same function serves one image, a
stack of images and the resamples of a bootstrap. 0/0 is NaN everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "LEVELS",
    "THRESHOLDS",
    "Counts",
    "best_of_sweep",
    "best_threshold",
    "confusion_matrix",
    "counts_of",
    "dice",
    "iou",
    "level_histogram",
    "mean_all",
    "mean_defined",
    "mean_foreground",
    "number",
    "occurrences",
    "pixel_accuracy",
    "precision",
    "quantise",
    "recall",
    "specificity",
    "sweep",
    "threshold_level",
]

LEVELS = 65536
_TOP = LEVELS - 1
THRESHOLDS = tuple(step / 100 for step in range(1, 100))

Scores = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Counts:
    """True and false positives and negatives, each (..., C) int64: one class (or threshold) per last index."""

    tp: NDArray[np.int64]
    fp: NDArray[np.int64]
    fn: NDArray[np.int64]
    tn: NDArray[np.int64]


def confusion_matrix(
    reference: NDArray[Any], prediction: NDArray[Any], num_classes: int, region: NDArray[np.bool_] | None = None
) -> NDArray[np.int64]:
    """Return how many pixels of each reference class (row) got each predicted class (column), (C, C) int64.

    Both masks hold class ids 0 to C-1, or booleans when C is 2, in any one shape. Only pixels where `region` is True
    count; ids outside the region (an ignored id, say) are never looked at. An empty region gives zeros.

    Raises ValueError on different shapes and on an id inside the region that is not a class.
    """
    reference, prediction, region = _same_shape(reference, prediction, region)
    if region is not None:
        reference, prediction = reference[region], prediction[region]
    _require_ids(reference, num_classes, "reference")
    _require_ids(prediction, num_classes, "prediction")
    if num_classes == 2:
        # Four sums of bytes are ten times as fast as a histogram of codes.
        is_reference, is_prediction = reference.astype(bool, copy=False), prediction.astype(bool, copy=False)
        tp = np.count_nonzero(is_reference & is_prediction)
        fn, fp = np.count_nonzero(is_reference) - tp, np.count_nonzero(is_prediction) - tp
        return np.array([[reference.size - tp - fn - fp, fp], [fn, tp]], dtype=np.int64)
    small = np.min_scalar_type(num_classes * num_classes - 1)
    codes = reference.astype(small) * small.type(num_classes) + prediction.astype(small, copy=False)
    return occurrences(codes, num_classes * num_classes).reshape(num_classes, num_classes)


def counts_of(confusion: NDArray[np.int64]) -> Counts:
    """Return the one-vs-rest counts (..., C) of confusion matrices (..., C, C), rows the reference."""
    tp = np.diagonal(confusion, axis1=-2, axis2=-1).copy()
    fn = confusion.sum(axis=-1) - tp
    fp = confusion.sum(axis=-2) - tp
    return Counts(tp, fp, fn, confusion.sum(axis=(-2, -1))[..., np.newaxis] - tp - fn - fp)


def dice(counts: Counts) -> Scores:
    """Return 2tp/(2tp+fp+fn), 0 to 1; NaN where the class is in neither mask, 0 where it is in one only."""
    return _ratio(2 * counts.tp, 2 * counts.tp + counts.fp + counts.fn)


def iou(counts: Counts) -> Scores:
    """Return tp/(tp+fp+fn), 0 to 1; NaN where the class is in neither mask, 0 where it is in one only."""
    return _ratio(counts.tp, counts.tp + counts.fp + counts.fn)


def precision(counts: Counts) -> Scores:
    """Return tp/(tp+fp), 0 to 1; NaN where the class is not predicted."""
    return _ratio(counts.tp, counts.tp + counts.fp)


def recall(counts: Counts) -> Scores:
    """Return tp/(tp+fn), 0 to 1; NaN where the class is not in the reference."""
    return _ratio(counts.tp, counts.tp + counts.fn)


def specificity(counts: Counts) -> Scores:
    """Return tn/(tn+fp), 0 to 1; NaN where every pixel of the reference is of the class."""
    return _ratio(counts.tn, counts.tn + counts.fp)


def pixel_accuracy(confusion: NDArray[np.int64]) -> Scores:
    """Return the share (...) of pixels whose class is right, of confusion matrices (..., C, C); NaN without pixels."""
    return _ratio(np.trace(confusion, axis1=-2, axis2=-1), confusion.sum(axis=(-2, -1)))


def mean_defined(scores: ArrayLike) -> tuple[float, int]:
    """Return the mean of the scores that are not NaN, and how many they are; (NaN, 0) if there are none."""
    values = np.asarray(scores, dtype=np.float64).ravel()
    values = values[~np.isnan(values)]
    return (float(values.mean()) if values.size else float("nan")), int(values.size)


def mean_foreground(scores: Scores) -> Scores:
    """Return the mean (...) of class scores (..., C) without class 0; NaN classes are left out, all NaN gives NaN."""
    return mean_all(scores[..., 1:])


def mean_all(scores: Scores) -> Scores:
    """Return the mean (...) of class scores (..., C), class 0 included; NaN classes are left out, all NaN gives NaN."""
    is_defined = ~np.isnan(scores)
    return _ratio(np.where(is_defined, scores, 0.0).sum(axis=-1), is_defined.sum(axis=-1))


def quantise(probabilities: NDArray[np.floating[Any]]) -> NDArray[np.uint16]:
    """Return the levels of probabilities: p * 65535 rounded half up, in the shape that was given.

    Values a little outside 0 to 1 (from interpolation) are clipped. `quantise(level / 65535)` is `level` again.
    Raises ValueError on NaN and on infinite values.
    """
    values = np.asarray(probabilities)
    values = values.astype(np.float32 if values.dtype.itemsize <= 4 else np.float64, copy=False)
    if values.size == 0:
        return np.zeros(values.shape, dtype=np.uint16)
    low, high = float(values.min()), float(values.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        raise ValueError("the probabilities hold NaN or infinite values; look for overflow in the network's output")
    if low < 0.0 or high > 1.0:
        values = np.clip(values, 0.0, 1.0)
    scaled = values * values.dtype.type(_TOP)
    scaled += values.dtype.type(0.5)
    levels: NDArray[np.uint16] = scaled.astype(np.uint16)
    return levels


def threshold_level(threshold: float) -> int:
    """Return the lowest level that is positive at a threshold from 0 to 1: positive is `level >= threshold_level(t)`.

    Raises ValueError on a threshold outside 0 to 1.
    """
    if not 0.0 <= threshold <= 1.0:
        raise ValueError(f"the threshold {threshold} is not between 0 and 1; give a probability")
    return int(quantise(np.array(threshold, dtype=np.float64)))


def level_histogram(
    levels: NDArray[np.uint16], reference: NDArray[np.bool_], region: NDArray[np.bool_] | None = None
) -> NDArray[np.int64]:
    """Return how many pixels have each level, (2, 65536) int64: row 0 where `reference` is False, row 1 where True.

    For one class against the rest, `reference` says where that class is. For the calibration of the top label of
    several classes, `levels` are those of the highest probability and `reference` says where the top label is right.
    Only pixels where `region` is True count. Histograms of several images are added to pool them.

    Raises ValueError on different shapes and on levels that are not uint16.
    """
    if levels.dtype != np.uint16:
        raise ValueError(f"the levels are {levels.dtype}, not uint16; give quantise(probabilities)")
    levels, is_positive, region = _same_shape(levels, reference, region)
    is_positive = is_positive.astype(bool, copy=False)
    if region is not None:
        levels, is_positive = levels[region], is_positive[region]
    everything, positives = occurrences(levels, LEVELS), occurrences(levels[is_positive], LEVELS)
    return np.stack([everything - positives, positives])


def sweep(histogram: NDArray[Any], thresholds: Sequence[float] = THRESHOLDS) -> Counts:
    """Return the counts (..., T) at each threshold, positive where the level is at or above the threshold's.

    Raises ValueError on a threshold outside 0 to 1.
    """
    at_or_above = np.cumsum(histogram[..., ::-1], axis=-1)[..., ::-1]
    chosen = at_or_above[..., [threshold_level(threshold) for threshold in thresholds]]
    totals = at_or_above[..., :1]
    fp, tp = chosen[..., 0, :], chosen[..., 1, :]
    return Counts(tp, fp, totals[..., 1, :] - tp, totals[..., 0, :] - fp)


def best_threshold(histogram: NDArray[np.int64], thresholds: Sequence[float] = THRESHOLDS) -> tuple[float, float]:
    """Return the threshold with the highest Dice of one histogram (2, 65536), and that Dice.

    Of equally good thresholds the one nearest to 0.5 is taken, the lower of two as near. Without a positive pixel in
    the reference no threshold is better than another: (0.5, NaN). The default thresholds are 0.01, 0.02 ... 0.99.
    """
    if not histogram[1].any():
        return 0.5, float("nan")
    return best_of_sweep(sweep(histogram, thresholds), thresholds)


def best_of_sweep(counts: Counts, thresholds: Sequence[float] = THRESHOLDS) -> tuple[float, float]:
    """Return the threshold with the highest Dice of the counts (T,) or (1, T) at T thresholds, and that Dice.

    Ties as in `best_threshold`; (0.5, NaN) where there is neither a reference nor a prediction at any threshold.
    """
    scores = dice(counts).ravel()
    if np.isnan(scores).all():
        return 0.5, float("nan")
    best = float(np.nanmax(scores))
    ties = [float(threshold) for threshold, score in zip(thresholds, scores, strict=True) if score == best]
    return min(ties, key=lambda threshold: (round(abs(threshold - 0.5), 9), threshold)), best


def number(value: Any) -> float | None:
    """Return a score for JSON and CSV: six decimals, None where it is undefined."""
    return None if np.isnan(value) else round(float(value), 6)


def occurrences(codes: NDArray[Any], length: int) -> NDArray[np.int64]:
    """Return how often each of the whole numbers 0 to `length` - 1 occurs in `codes`, (length,) int64."""
    # bincount widens its input to 64 bits; in pieces that stay in the cache this is twice as fast and needs no memory.
    flat, piece = codes.ravel(), max(1 << 16, 8 * length)
    total = np.zeros(length, dtype=np.int64)
    for start in range(0, flat.size, piece):
        total += np.bincount(flat[start : start + piece], minlength=length)
    return total


def _ratio(numerator: NDArray[Any], denominator: NDArray[Any]) -> Scores:
    top, bottom = np.asarray(numerator, dtype=np.float64), np.asarray(denominator, dtype=np.float64)
    score = np.full(np.broadcast_shapes(top.shape, bottom.shape), np.nan)
    np.divide(top, bottom, out=score, where=bottom != 0)
    return score


def _same_shape(
    first: NDArray[Any], second: NDArray[Any], region: NDArray[Any] | None
) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.bool_] | None]:
    shapes = {array.shape for array in (first, second, region) if array is not None}
    if len(shapes) > 1:
        raise ValueError(f"the masks have the shapes {sorted(shapes)}; bring them to the image's size first")
    return first, second, None if region is None else region.astype(bool, copy=False)


def _require_ids(mask: NDArray[Any], num_classes: int, name: str) -> None:
    if mask.dtype.kind not in "bui":
        raise ValueError(f"the {name} is {mask.dtype}; give class ids as integers")
    for extreme in (int(mask.min()), int(mask.max())) if mask.size else ():
        if not 0 <= extreme < num_classes:
            raise ValueError(f"the {name} holds the id {extreme} of {num_classes} classes; leave it out of the region")
