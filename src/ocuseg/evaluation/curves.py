"""The curves of a report: precision against recall, and what was observed against what was said."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ocuseg.metrics import number

__all__ = ["CALIBRATION_BINS", "Curve", "calibration_bins", "precision_recall"]

CALIBRATION_BINS = 15
"""The bins of `calibration_error`, so that the diagram shows what the number sums up."""

_STEPS = 200


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """The precision (P,) at each recall (P,), recall rising from the highest threshold to 1; empty if undefined."""

    recall: NDArray[np.float64]
    precision: NDArray[np.float64]


def precision_recall(histogram: NDArray[np.int64]) -> Curve:
    """Return the curve of a level histogram (2, L), at no more than about 200 steps of recall; exact where it has one.

    Undefined, and so empty, without a positive pixel.
    """
    positives = histogram[1, ::-1]
    tp = np.cumsum(positives)
    marked = np.cumsum(histogram.sum(axis=0)[::-1])
    if tp[-1] == 0:
        return Curve(np.zeros(0), np.zeros(0))
    recall = tp / tp[-1]
    # The first level that reaches each step, and the highest one, where recall may begin far above 0.
    kept = np.unique([np.flatnonzero(marked)[0], *np.searchsorted(recall, np.linspace(0, 1, _STEPS + 1)[1:])])
    return Curve(recall[kept], tp[kept] / marked[kept])


def calibration_bins(histogram: NDArray[Any]) -> list[dict[str, float | int | None]]:
    """Return for each of 15 equal bins of the probability its pixels, their mean probability and share of positives.

    `histogram` is (2, L) as `calibration_error` takes it, with the same bins; mean and share are None in an empty bin.
    """
    top = histogram.shape[-1] - 1
    starts = -(-np.arange(CALIBRATION_BINS) * top // CALIBRATION_BINS)
    everything = histogram.sum(axis=0)
    pixels = np.add.reduceat(everything, starts)
    said = np.add.reduceat(everything * np.linspace(0.0, 1.0, top + 1), starts)
    positives = np.add.reduceat(histogram[1], starts)
    return [
        {
            "pixels": int(count),
            "probability": number(total / count) if count else None,
            "share": number(found / count) if count else None,
        }
        for count, total, found in zip(pixels, said, positives, strict=True)
    ]
