"""How sure a score is: bootstrap intervals over groups, paired differences, corrected p values."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "PairedDifference",
    "bootstrap_weights",
    "holm",
    "interval_of_mean",
    "interval_of_pooled",
    "paired_difference",
    "percentile_interval",
    "sum_by_group",
]

Interval = tuple[float, float]
# Resampled counts are held a piece at a time: 2,000 resamples of a level histogram would be 2 GB.
_PIECE_VALUES = 8_000_000


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """The mean difference a - b over paired images, its 95 % interval and the Wilcoxon signed-rank p value.

    `images` and `groups` count the pairs where both scores are defined. `ci95` is None with fewer than two groups,
    `p_value` is NaN without any.
    """

    mean: float
    ci95: Interval | None
    p_value: float
    images: int
    groups: int

    @property
    def differs(self) -> bool:
        """Whether the interval is known and does not hold 0."""
        return self.ci95 is not None and not self.ci95[0] <= 0.0 <= self.ci95[1]


def bootstrap_weights(
    groups: Sequence[Hashable], resamples: int = 2000, seed: int = 0
) -> tuple[tuple[Hashable, ...], NDArray[np.int64]]:
    """Return the distinct groups in order, and how often each is drawn in each resample, (R, G) int64.

    Every row draws G groups with replacement and so adds up to G. The draw depends on the number of groups and the
    seed alone, not on the order of the images. Groups must be sortable (names). Efron & Tibshirani 1993,
    doi:10.1201/9780429246593.
    """
    names, _ = _group_indices(groups)
    count = len(names)
    if count == 0:
        return names, np.zeros((resamples, 0), dtype=np.int64)
    drawn = np.random.default_rng(seed).integers(0, count, size=(resamples, count))
    drawn += np.arange(resamples)[:, np.newaxis] * count
    return names, np.bincount(drawn.ravel(), minlength=resamples * count).reshape(resamples, count)


def sum_by_group(values: ArrayLike, groups: Sequence[Hashable]) -> NDArray[Any]:
    """Return values or counts (N, ...) of images added within each group, (G, ...), groups in sorted order.

    Whole numbers and booleans are added as int64. Raises ValueError unless there is one group per image.
    """
    names, indices = _group_indices(groups)
    array = np.asarray(values)
    if array.dtype.kind in "biu":
        array = array.astype(np.int64)
    if array.shape[:1] != (len(groups),):
        raise ValueError(f"{len(groups)} groups for values of shape {array.shape}; give one group per image")
    sums = np.zeros((len(names), *array.shape[1:]), dtype=array.dtype)
    for index, value in zip(indices, array, strict=True):
        sums[index] += value
    return sums


def percentile_interval(values: ArrayLike, level: float = 0.95) -> Interval | None:
    """Return the percentile interval of resampled scores (R,); None if it is undefined.

    Resamples where the score is NaN are left out; if they are more than half, there is no interval.
    """
    array = np.asarray(values, dtype=np.float64).ravel()
    defined = array[~np.isnan(array)]
    if defined.size == 0 or 2 * defined.size < array.size:
        return None
    tail = 50.0 * (1.0 - level)
    low, high = np.percentile(defined, [tail, 100.0 - tail])
    return float(low), float(high)


def interval_of_pooled(
    counts: ArrayLike,
    groups: Sequence[Hashable],
    score: Callable[[NDArray[Any]], ArrayLike],
    resamples: int = 2000,
    seed: int = 0,
) -> Interval | None:
    """Return the 95 % interval of a pooled score, by percentile bootstrap over the groups; None under two groups.

    `counts` are (N, ...), one per image; `score` maps summed counts (R, ...) to scores (R,). The sums are exact whole
    numbers in float64. Raises ValueError when the score gives anything but one number per resample.
    """
    names, weights = bootstrap_weights(groups, resamples, seed)
    if len(names) < 2:
        return None
    sums = sum_by_group(counts, groups).astype(np.float64)
    flat = sums.reshape(len(names), -1)
    rows = max(1, _PIECE_VALUES // max(1, flat.shape[1]))
    pieces = []
    for start in range(0, resamples, rows):
        resampled = weights[start : start + rows].astype(np.float64) @ flat
        pieces.append(np.asarray(score(resampled.reshape(-1, *sums.shape[1:])), dtype=np.float64))
    scores = np.concatenate(pieces)
    if scores.shape != (resamples,):
        raise ValueError(f"the score gave the shape {scores.shape} for {resamples} resamples; let it choose one class")
    return percentile_interval(scores)


def interval_of_mean(
    scores: ArrayLike, groups: Sequence[Hashable], resamples: int = 2000, seed: int = 0
) -> Interval | None:
    """Return the 95 % interval of the mean of per-image scores (N,), by percentile bootstrap over the groups.

    Undefined (NaN) scores are left out of every mean. None when fewer than two groups hold a defined score.
    """
    values, kept = _defined(scores, groups)
    names, weights = bootstrap_weights(kept, resamples, seed)
    if len(names) < 2:
        return None
    sums, images = sum_by_group(values, kept), sum_by_group(np.ones(len(kept)), kept)
    return percentile_interval((weights @ sums) / (weights @ images))


def paired_difference(
    a: ArrayLike, b: ArrayLike, groups: Sequence[Hashable], resamples: int = 2000, seed: int = 0
) -> PairedDifference:
    """Return how much higher `a` scores than `b` on the same images, both (N,), with interval and p value.

    Pairs with an undefined score are left out. The interval resamples groups. The test is made on the mean difference
    of each group, as images of one group are not independent; where each image is its own group that is the plain
    test. Two sets without any difference have p = 1. Wilcoxon 1945, doi:10.2307/3001968.

    Raises ValueError unless a, b and groups are of one length.
    """
    first, second = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if first.shape != second.shape:
        raise ValueError(f"the scores have the shapes {first.shape} and {second.shape}; pair the images first")
    values, kept = _defined(first - second, groups)
    if not kept:
        return PairedDifference(float("nan"), None, float("nan"), 0, 0)
    per_group = sum_by_group(values, kept) / sum_by_group(np.ones(len(kept)), kept)
    interval = interval_of_mean(values, kept, resamples, seed)
    return PairedDifference(float(values.mean()), interval, _wilcoxon(per_group), len(kept), len(per_group))


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """Return p values (N,) adjusted for several comparisons by Holm's step-down rule, in the order given.

    A NaN stays NaN and is not counted as a comparison. Holm 1979, https://www.jstor.org/stable/4615733.
    """
    values = np.asarray(p_values, dtype=np.float64)
    adjusted = np.full(values.shape, np.nan)
    order = np.argsort(values, kind="stable")[: np.count_nonzero(~np.isnan(values))]
    factors = np.arange(order.size, 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(values[order] * factors), 1.0)
    return adjusted


def _wilcoxon(differences: NDArray[np.float64]) -> float:
    if not differences.any():
        return 1.0
    from scipy.stats import wilcoxon

    return float(wilcoxon(differences, zero_method="pratt", method="auto").pvalue)


def _defined(scores: ArrayLike, groups: Sequence[Hashable]) -> tuple[NDArray[np.float64], list[Hashable]]:
    values = np.asarray(scores, dtype=np.float64)
    if values.shape != (len(groups),):
        raise ValueError(f"{len(groups)} groups for scores of shape {values.shape}; give one group per image")
    is_defined = ~np.isnan(values)
    return values[is_defined], [group for group, keep in zip(groups, is_defined, strict=True) if keep]


def _group_indices(groups: Sequence[Hashable]) -> tuple[tuple[Hashable, ...], NDArray[np.intp]]:
    names = tuple(sorted(set(groups), key=str))
    position = {name: index for index, name in enumerate(names)}
    return names, np.array([position[group] for group in groups], dtype=np.intp)
