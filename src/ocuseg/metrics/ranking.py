"""How well probabilities rank pixels and how far they can be believed: the scores of a level histogram.

A histogram is (..., 2, L): pixels of each level, row 0 where the class is not, row 1 where it is; `level_histogram` of
`ocuseg.metrics.overlap` counts it with L = 65,536. Any leading axes are images, classes or resamples. 0/0 is NaN.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["auc", "average_precision", "brier_score", "calibration_error", "merge_levels"]

Scores = NDArray[np.float64]


def auc(histogram: NDArray[Any]) -> Scores:
    """Return the area under the ROC curve (...) of histograms (..., 2, L), exact on the levels, ties as a half.

    NaN without a positive or without a negative pixel. The rank form of Hanley & McNeil 1982,
    doi:10.1148/radiology.143.1.7063747.
    """
    negatives, positives = histogram[..., 0, :], histogram[..., 1, :]
    wins = np.cumsum(negatives, axis=-1) - 0.5 * negatives
    pairs = negatives.sum(axis=-1).astype(np.float64) * positives.sum(axis=-1)
    return _ratio((positives * wins).sum(axis=-1), pairs)


def average_precision(histogram: NDArray[Any]) -> Scores:
    """Return the average precision (...) of histograms (..., 2, L), exact on the levels.

    The step-wise sum of precision times gain in recall from the highest level down, not interpolated, as scikit-learn
    computes it; but NaN without a positive pixel, where scikit-learn warns and says 0.
    """
    positives = histogram[..., 1, ::-1]
    tp = np.cumsum(positives, axis=-1)
    predicted = np.cumsum(histogram.sum(axis=-2)[..., ::-1], axis=-1)
    gains = positives * (tp / np.maximum(predicted, 1))
    return _ratio(gains.sum(axis=-1), tp[..., -1])


def calibration_error(histogram: NDArray[Any], bins: int = 15) -> Scores:
    """Return the expected calibration error (...) of histograms (..., 2, L), 0 to 1; NaN without pixels.

    The mean over pixels of |share of positives - mean probability| in equal bins [k/bins, (k+1)/bins), the last one
    closed. Of two classes this is the calibration of the probability of class 1; of a top-label histogram it is the
    top-label error. Naeini et al. 2015, doi:10.1609/aaai.v29i1.9602; Guo et al. 2017, arXiv:1706.04599.

    Raises ValueError unless bins is 1 to L - 1.
    """
    top = histogram.shape[-1] - 1
    if not 1 <= bins <= top:
        raise ValueError(f"{bins} bins are not possible on {top + 1} levels; give 1 to {top}")
    starts = -(-np.arange(bins) * top // bins)
    everything = histogram.sum(axis=-2)
    confidence = np.add.reduceat(everything * _probabilities(histogram), starts, axis=-1)
    positives = np.add.reduceat(histogram[..., 1, :], starts, axis=-1)
    return _ratio(np.abs(positives - confidence).sum(axis=-1), everything.sum(axis=-1))


def brier_score(histogram: NDArray[Any]) -> Scores:
    """Return the mean squared difference (...) of probability and truth of histograms (..., 2, L); 0 is best.

    NaN without pixels. Of several classes the Brier score is the sum over the one-vs-rest histograms (0 to 2).
    Brier 1950, doi:10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2.
    """
    values = _probabilities(histogram)
    squares = histogram[..., 0, :] * values**2 + histogram[..., 1, :] * (1.0 - values) ** 2
    return _ratio(squares.sum(axis=-1), histogram.sum(axis=(-2, -1)))


def merge_levels(histogram: NDArray[Any], levels: int = 4096) -> NDArray[Any]:
    """Return histograms (..., 2, M) with neighbouring levels added, M at most `levels`, in the same order.

    For the bootstrap of AUC and average precision, where 65,536 levels take seconds. Levels are added where few pixels
    have them, alike over all leading axes, so that a merged level holds under 3/levels of all pixels and the pooled
    AUC moves by less than 3/levels. Calibration and Brier score need the levels as they were.
    """
    everything = histogram.reshape(-1, histogram.shape[-1]).sum(axis=0)
    total = float(everything.sum())
    if total == 0.0:
        return histogram
    # By the middle of each level's ranks, as then a level that many pixels have is merged with no other.
    middles = np.cumsum(everything) - 0.5 * everything
    parts = np.minimum(np.floor(middles * (levels / total)), levels - 1)
    starts = np.flatnonzero(np.diff(parts, prepend=-1.0))
    merged: NDArray[Any] = np.add.reduceat(histogram, starts, axis=-1)
    return merged


def _probabilities(histogram: NDArray[Any]) -> Scores:
    return np.linspace(0.0, 1.0, histogram.shape[-1])


def _ratio(numerator: NDArray[Any], denominator: NDArray[Any]) -> Scores:
    top, bottom = np.asarray(numerator, dtype=np.float64), np.asarray(denominator, dtype=np.float64)
    score = np.full(np.broadcast_shapes(top.shape, bottom.shape), np.nan)
    np.divide(top, bottom, out=score, where=bottom != 0)
    return score
