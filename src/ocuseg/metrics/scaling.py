"""The scale and the shift of a logit that make its probabilities true on average."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["fit_scaling"]

_STEPS = 50
_TOLERANCE = 1e-9
_STEEPEST = 100.0


def fit_scaling(histogram: NDArray[Any]) -> tuple[float, float]:
    """Return (scale, shift) such that sigmoid(scale * logit + shift) fits a level histogram (2, L) best.

    Rows are the pixels of each level of probability, 0 to 1, where the class is not and where it is. Best is the
    highest likelihood, with targets a little inside 0 and 1: Platt 1999, in "Advances in Large Margin Classifiers",
    MIT Press, p. 61; the scale is the inverse of the temperature of Guo et al. 2017, arXiv:1706.04599. It is positive,
    so that pixels keep their order, and AUC its value. (1, 0) where one of the two kinds has no pixel, where all pixels
    are on one level, and where the probabilities rank the wrong way round.
    """
    counts = histogram.astype(np.float64)
    negatives, positives = counts.sum(axis=1)
    if not negatives or not positives or np.count_nonzero(counts.sum(axis=0)) < 2:
        return 1.0, 0.0
    levels = histogram.shape[1]
    # The lowest and highest level hold all probabilities that round to them, 0 and 1 among them.
    chances = np.clip(np.arange(levels) / (levels - 1), 0.25 / (levels - 1), 1 - 0.25 / (levels - 1))
    logits = np.log(chances / (1 - chances))
    total = counts.sum(axis=0)
    # Targets a little inside 0 and 1 keep the optimum finite where the two kinds can be told apart wholly.
    truth = counts[0] / (negatives + 2) + counts[1] * (positives + 1) / (positives + 2)
    design = np.stack([logits, np.ones(levels)])
    found, loss = np.array([1.0, 0.0]), np.inf
    step = np.zeros(2)
    for _ in range(_STEPS):
        values = np.clip(found @ design, -_STEEPEST, _STEEPEST)
        now = float((total * np.logaddexp(0, values) - truth * values).sum())
        if now > loss + _TOLERANCE * abs(loss):  # Newton's step went too far: half of it
            step /= 2
            found = found - step
            continue
        if loss - now <= _TOLERANCE * abs(now):
            break
        loss = now
        fitted = 1 / (1 + np.exp(-values))
        gradient = design @ (total * fitted - truth)
        curvature = (design * (total * fitted * (1 - fitted))) @ design.T
        step = -np.linalg.solve(curvature + 1e-9 * np.trace(curvature) * np.eye(2), gradient)
        found = found + step
    scale, shift = map(float, found)
    return (scale, shift) if np.isfinite(found).all() and scale > 0 else (1.0, 0.0)
