"""The counts of all images to the scores of `metrics.json`: pooled, per image, with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ocuseg.classes import Classes
from ocuseg.evaluation.counting import TOLERANCES_PX
from ocuseg.metrics import (
    LEVELS,
    Counts,
    counts_of,
    dice,
    iou,
    mean_all,
    mean_defined,
    mean_foreground,
    number,
    pixel_accuracy,
    precision,
    recall,
    shares_of_parent,
    specificity,
)
from ocuseg.metrics.borders import BorderCounts, nsd
from ocuseg.metrics.intervals import bootstrap_weights, percentile_interval, sum_by_group
from ocuseg.metrics.ranking import auc, average_precision, brier_score, calibration_error
from ocuseg.metrics.threads import ThreadCounts, cldice

__all__ = [
    "INTERVAL_LEVELS",
    "OVERLAP",
    "RESAMPLES",
    "SEED",
    "LevelTally",
    "MaskTally",
    "foreground",
    "image_table",
    "level_scores",
    "mask_scores",
    "merged_for_intervals",
    "oracle_gap",
    "tolerance_key",
]

RESAMPLES = 2000
SEED = 0
INTERVAL_LEVELS = 1024
"""To how many levels, at most, histograms are merged for the intervals of AUC and average precision."""

_LOGIT_OF_LAST_LEVEL = 12.0

OVERLAP = {"dice": dice, "iou": iou, "precision": precision, "recall": recall, "specificity": specificity}

Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class MaskTally:
    """The counts of N images: `confusion` (N, C, C), `borders` (N, F, 2 + 2T), `hd95_px` (N, F), `threads` (N, F, 6).

    `groups` names the person, eye or video of each image, or the image itself; F = C - 1 foreground classes.
    """

    groups: tuple[str, ...]
    confusion: NDArray[np.int64]
    borders: NDArray[np.int64] | None
    hd95_px: Numbers | None
    threads: NDArray[np.int64] | None

    def subset(self, keep: Sequence[int]) -> MaskTally:
        """Return the tally of some of the images, by their positions."""
        rows = list(keep)
        return MaskTally(
            tuple(self.groups[row] for row in rows),
            self.confusion[rows],
            None if self.borders is None else self.borders[rows],
            None if self.hd95_px is None else self.hd95_px[rows],
            None if self.threads is None else self.threads[rows],
        )


@dataclass(frozen=True, slots=True, eq=False)
class LevelTally:
    """What is known of the probabilities: exact per image and pooled, on fewer levels for each group.

    `auc` and `average_precision` are (N, F); `histograms` (K, 2, 65536) for K = 1 or C channels; `confidence` is
    (2, 65536); `by_group` maps each group to (K, 2, 1024).
    """

    auc: Numbers
    average_precision: Numbers
    histograms: NDArray[np.int64]
    confidence: NDArray[np.int64]
    by_group: dict[str, NDArray[np.int64]]


def mask_scores(tally: MaskTally, classes: Classes) -> dict[str, Any]:
    """Return the scores of masks as in `metrics.json`: background, classes, means over classes, pixel accuracy.

    Every score is `{"pooled", "per_image", "ci95", "images"}`: the score of the summed counts, the mean over the
    images where it is defined, the 95 % interval of `pooled`, and how many images define it. HD95 has no pooled form,
    so its interval is that of the mean. A mean over classes leaves undefined ones out; per image it is the mean over
    the images of the image's own class mean. Undefined is None.
    """
    weights = _weights(tally.groups)
    resampled = _resampled(tally.confusion, tally.groups, weights)
    pooled = tally.confusion.sum(axis=0)
    rows: list[dict[str, Any]] = [{"id": item.id, "name": item.name} for item in classes.items]
    means: dict[str, dict[str, Any]] = {"mean_foreground": {}, "mean_all": {}}
    for name, function in OVERLAP.items():
        one, each, many = (function(counts_of(array)) for array in (pooled, tally.confusion, resampled))
        for row in rows:
            row[name] = _score(one[row["id"]], each[:, row["id"]], many[:, row["id"]])
        if name in ("dice", "iou"):
            for key, mean in (("mean_foreground", mean_foreground), ("mean_all", mean_all)):
                means[key][name] = _score(mean(one), mean(each), mean(many))
    _add_areas(rows, pooled, classes)
    if tally.borders is not None and tally.hd95_px is not None:
        _add_borders(rows[1:], tally.borders, tally.hd95_px, tally.groups, weights)
    if tally.threads is not None:
        _add_threads(rows[1:], tally.threads, tally.groups, weights)
    accuracy = _score(pixel_accuracy(pooled), pixel_accuracy(tally.confusion), pixel_accuracy(resampled))
    return {"classes": rows[1:], "background": rows[0], **means, "pixel_accuracy": accuracy}


def level_scores(tally: LevelTally, groups: Sequence[str]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return AUC and average precision of each foreground class, and the calibration, as in `metrics.json`.

    Pooled scores are exact on 65,536 levels; their intervals come from histograms of 1,024 levels. For more than two
    classes the calibration error is that of the top label, and the Brier score the sum over the classes (0 to 2).
    """
    _, weights = bootstrap_weights(groups, RESAMPLES, SEED)
    names = sorted(tally.by_group)
    pooled = foreground(tally.histograms)
    rows: list[dict[str, Any]] = []
    for index, histogram in enumerate(pooled):
        counts = np.stack([foreground(tally.by_group[name])[index] for name in names]).astype(np.float64)
        many = (weights @ counts.reshape(len(names), -1)).reshape(-1, 2, counts.shape[-1])
        if len(names) < 2:
            many = many[:0]
        rows.append(
            {
                "auc": _score(auc(histogram), tally.auc[:, index], auc(many)),
                "average_precision": _score(
                    average_precision(histogram), tally.average_precision[:, index], average_precision(many)
                ),
            }
        )
    brier = brier_score(tally.histograms).sum() if len(tally.histograms) > 1 else brier_score(tally.histograms[0])
    return rows, {"ece": number(calibration_error(tally.confidence)), "brier": number(brier)}


def merged_for_intervals(histograms: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return histograms (..., 2, 65536) on at most 1,024 levels, the same ones for every image.

    The merged levels are equally wide in the logit, as networks put most pixels close to 0 or 1.
    """
    logits = np.linspace(-_LOGIT_OF_LAST_LEVEL, _LOGIT_OF_LAST_LEVEL, INTERVAL_LEVELS)
    starts = np.unique(np.rint((LEVELS - 1) / (1 + np.exp(-logits))).astype(np.intp))
    merged: NDArray[np.int64] = np.add.reduceat(histograms, starts, axis=-1)
    return merged


def image_table(tally: MaskTally) -> dict[str, Numbers]:
    """Return the scores of each image and class, (N, C) each; borders and threads are NaN for the background."""
    counts = counts_of(tally.confusion)
    table = {name: function(counts) for name, function in OVERLAP.items()}

    def with_background(values: NDArray[Any]) -> Numbers:
        return np.concatenate([np.full((len(values), 1), np.nan), values], axis=1)

    if tally.borders is not None and tally.hd95_px is not None:
        surface = nsd(BorderCounts.from_array(tally.borders))
        for position, tolerance in enumerate(TOLERANCES_PX):
            table[f"nsd_{tolerance}px"] = with_background(surface[..., position])
        table["hd95_px"] = with_background(tally.hd95_px)
    if tally.threads is not None:
        threads = ThreadCounts.from_array(tally.threads)
        table["cldice"] = with_background(cldice(threads))
        table["components_reference"] = with_background(threads.components_reference)
        table["components_prediction"] = with_background(threads.components_prediction)
    return table


def oracle_gap(swept: Counts, thresholds: Sequence[float], chosen: float | None) -> dict[str, float | None] | None:
    """Return how much the best threshold on these very images would have added to the pooled Dice; never below 0.

    `swept` counts are (1, T) for T `thresholds`, `chosen` is the pooled Dice that was reached. None where undefined.
    """
    scores = dice(swept)[0]
    if chosen is None or np.isnan(scores).all():
        return None
    best = int(np.nanargmax(scores))
    return {
        "threshold": thresholds[best],
        "dice_pooled": number(scores[best]),
        "gap": number(max(0.0, float(scores[best]) - chosen)),
    }


def foreground(array: NDArray[Any]) -> NDArray[Any]:
    """Return the foreground channels of (K, ...): the only one of two classes, else all but that of class 0."""
    return array if len(array) == 1 else array[1:]


def tolerance_key(tolerance_px: int) -> str:
    """Return the key of an NSD in `metrics.json`: `nsd` at 1 px, `nsd_2px` at 2 px."""
    return "nsd" if tolerance_px == 1 else f"nsd_{tolerance_px}px"


def _add_areas(rows: list[dict[str, Any]], pooled: NDArray[np.int64], classes: Classes) -> None:
    total = max(1, int(pooled.sum()))
    sides = {"reference": pooled.sum(axis=1), "prediction": pooled.sum(axis=0)}
    for row, item in zip(rows, classes.items, strict=True):
        row["area"] = {f"{side}_share": number(areas[item.id] / total) for side, areas in sides.items()}
        if item.parent is not None:
            row["area"]["parent"] = item.parent
            for side, areas in sides.items():
                row["area"][f"{side}_share_of_parent"] = number(shares_of_parent(areas, classes)[item.id])


def _add_borders(
    rows: list[dict[str, Any]],
    borders: NDArray[np.int64],
    hd95_px: Numbers,
    groups: tuple[str, ...],
    weights: NDArray[np.int64],
) -> None:
    resampled = _resampled(borders, groups, weights)
    one, each, many = (nsd(BorderCounts.from_array(array)) for array in (borders.sum(axis=0), borders, resampled))
    defined = ~np.isnan(hd95_px)
    sums = _resampled(np.where(defined, hd95_px, 0.0), groups, weights)
    images = _resampled(defined.astype(np.int64), groups, weights)
    means = np.divide(sums, images, out=np.full(sums.shape, np.nan), where=images > 0)
    for index, row in enumerate(rows):
        for position, tolerance in enumerate(TOLERANCES_PX):
            row[tolerance_key(tolerance)] = {
                "tolerance_px": tolerance,
                **_score(one[index, position], each[:, index, position], many[:, index, position]),
            }
        row["hd95_px"] = _score(float("nan"), hd95_px[:, index], means[:, index])


def _add_threads(
    rows: list[dict[str, Any]], threads: NDArray[np.int64], groups: tuple[str, ...], weights: NDArray[np.int64]
) -> None:
    arrays = (threads.sum(axis=0), threads, _resampled(threads, groups, weights))
    one, each, many = (cldice(ThreadCounts.from_array(array)) for array in arrays)
    components = ThreadCounts.from_array(threads)
    for index, row in enumerate(rows):
        row["cldice"] = _score(one[index], each[:, index], many[:, index])
        row["components"] = {
            "reference_per_image": number(components.components_reference[:, index].mean()),
            "prediction_per_image": number(components.components_prediction[:, index].mean()),
            "images": len(threads),
        }


def _score(pooled: Any, per_image: Numbers, resampled: Numbers) -> dict[str, Any]:
    mean, images = mean_defined(per_image)
    interval = percentile_interval(resampled)
    return {
        "pooled": number(pooled),
        "per_image": number(mean),
        "ci95": None if interval is None else [number(interval[0]), number(interval[1])],
        "images": images,
    }


def _weights(groups: Sequence[str]) -> NDArray[np.int64]:
    """How often each group is drawn (R, G); no resamples for one group, which then has no interval."""
    names, weights = bootstrap_weights(groups, RESAMPLES, SEED)
    return weights if len(names) > 1 else weights[:0]


def _resampled(counts: NDArray[Any], groups: Sequence[str], weights: NDArray[np.int64]) -> NDArray[Any]:
    """Sums of counts (N, ...) in each resample, (R, ...); whole numbers are exact in float64."""
    sums = sum_by_group(counts, groups).astype(np.float64)
    resampled: NDArray[Any] = (weights.astype(np.float64) @ sums.reshape(len(sums), -1)).reshape(-1, *sums.shape[1:])
    return resampled
