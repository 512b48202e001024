"""A Predictor and records to scores per image and pooled."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ocuseg.encoding import MaskEncoding
from ocuseg.errors import DataError, UsageError
from ocuseg.evaluation.cases import RegionRule, read_reference
from ocuseg.evaluation.counting import is_thread_like, level_histograms
from ocuseg.evaluation.measuring import MeasuringRules, PredictorLike, measure_records, predicted_cases
from ocuseg.evaluation.scorecard import METRIC_RULE, THRESHOLDS, Evaluation, Scorecard
from ocuseg.index.records import Record
from ocuseg.machine import usable_cores
from ocuseg.metrics import LEVELS, Counts, best_threshold, sweep

__all__ = [
    "METRIC_RULE",
    "THRESHOLDS",
    "Evaluation",
    "PredictorLike",
    "ThresholdChoice",
    "choose_threshold",
    "evaluate_folds",
    "evaluate_records",
    "pooled_levels",
]

# More threads than this only hold more images at once: the network needs most of the time.
_MOST_WORKERS = 4
_LOOKED_AT = 3


class ThresholdChoice(NamedTuple):
    """The threshold with the highest pooled Dice, that Dice, and the counts at each of `THRESHOLDS`."""

    threshold: float
    dice_pooled: float
    sweep: Counts


def evaluate_records(
    predictor: PredictorLike,
    records: Sequence[Record],
    encoding: MaskEncoding,
    *,
    split: str | None = None,
    region: str = "field_of_view",
    second_observer: bool = True,
    borders: bool = True,
    threads: bool | Literal["auto"] = "auto",
    provenance: Mapping[str, Any] | None = None,
    failures: Iterable[str] = (),
    warnings: Iterable[str] = (),
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Return the scores of a predictor on records whose masks `encoding` explains.

    `region` `image` counts every pixel, `field_of_view` those inside, where a record has one; ignored pixels never
    count. `threads` `auto` measures centrelines and components where there are two classes and the first masks are
    thread-like. `provenance` goes into the JSON as it is (`model`, `model_hash`, `data_hash`, `threshold_chosen_on`);
    `failures` are lines about images that were left out before, `warnings` lines about anything else that a reader
    must know. `workers` counts beside the network; `progress(done, total)` is called after each image.

    Raises UsageError for an unknown region, DataError where no image can be scored. An image that cannot be read
    becomes one of the failures.
    """
    if not records:
        where = f" in the split {split}" if split else ""
        if first := next(iter(failures), None):
            raise DataError(f"no image can be scored{where}, the first because of {first}; run 'ocuseg check'")
        raise DataError(f"there are no images to score{where}; name another split")
    rule = _region_rule(region)
    with_threads = _has_threads(records, encoding, len(predictor.classes)) if threads == "auto" else threads
    rules = MeasuringRules(rule, borders, with_threads, second_observer)
    card = Scorecard(predictor.classes, encoding, rule, failures, warnings)
    _take_all(card, predictor, records, encoding, rules, workers, progress)
    return card.evaluation(
        {"model": getattr(predictor, "name", None), "split": split, **(provenance or {})}, threshold=predictor.threshold
    )


def evaluate_folds(
    folds: Iterable[tuple[PredictorLike, Sequence[Record]]],
    encoding: MaskEncoding,
    *,
    split: str,
    provenance: Mapping[str, Any] | None = None,
    workers: int | None = None,
) -> Evaluation:
    """Return the scores of all images of a cross-validation, each predicted by the predictor of its own fold.

    Each predictor decides with its own threshold; `metrics` then has `threshold` None and all of them as `thresholds`.
    Counts and histograms of all folds are pooled, and intervals drawn, as those of one model. Everything is measured
    that `evaluate_records` measures by default. `folds` may be a generator, so that one predictor is open at a time.

    Raises DataError where no image can be scored.
    """
    card: Scorecard | None = None
    rules = MeasuringRules("field_of_view", borders=True, threads=False, second_observer=True)
    thresholds: list[float | None] = []
    for predictor, records in folds:
        if card is None:
            rules = replace(rules, threads=_has_threads(records, encoding, len(predictor.classes)))
            card = Scorecard(predictor.classes, encoding, rules.region)
        thresholds.append(predictor.threshold)
        _take_all(card, predictor, records, encoding, rules, workers)
    if card is None:
        raise DataError("there are no folds to score; train them first")
    chosen = [threshold for threshold in thresholds if threshold is not None]
    facts = {"split": split, **(provenance or {})} | ({"thresholds": chosen} if chosen else {})
    evaluation = card.evaluation(facts, threshold=None)
    if chosen:
        evaluation.metrics["decision"] = "threshold of each fold"
    return evaluation


def _take_all(
    card: Scorecard,
    predictor: PredictorLike,
    records: Sequence[Record],
    encoding: MaskEncoding,
    rules: MeasuringRules,
    workers: int | None,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    at_once = workers or min(usable_cores(), _MOST_WORKERS)
    measured = measure_records(predictor, records, encoding, rules, workers=at_once)
    for done, item in enumerate(measured, start=1):
        card.add(item)
        if progress is not None:
            progress(done, len(records))


def choose_threshold(
    predictor: PredictorLike,
    records: Sequence[Record],
    encoding: MaskEncoding,
    region: str = "field_of_view",
    *,
    progress: Callable[[int, int], None] | None = None,
) -> ThresholdChoice | None:
    """Return the threshold with the highest pooled Dice at native size; None for more than two classes.

    Of equally good thresholds the one nearest to 0.5. Give validation images, never those of a test, and a predictor
    that has no threshold yet: one that leaves out small pieces does so at its own, and without one at all that are
    tried. Raises DataError where an image cannot be read, or no image has foreground.
    """
    if len(predictor.classes) != 2:
        return None
    total = pooled_levels(predictor, records, encoding, region, progress=progress)
    if not total[1].any():
        raise DataError(
            f"no threshold can be chosen: none of {len(records)} validation images shows {predictor.classes.names[1]}; "
            f"put images that do into the validation split"
        )
    threshold, best = best_threshold(total, THRESHOLDS)
    return ThresholdChoice(threshold, best, sweep(total, THRESHOLDS))


def pooled_levels(
    predictor: PredictorLike,
    records: Sequence[Record],
    encoding: MaskEncoding,
    region: str = "field_of_view",
    *,
    progress: Callable[[int, int], None] | None = None,
) -> NDArray[np.int64]:
    """Return the level histogram (2, 65536) of the first channel over all records, at native size.

    Of two classes it is that of class 1: pixels where it is not, and where it is, at each probability. Raises DataError
    where an image cannot be read.
    """
    rules = MeasuringRules(_region_rule(region), borders=False, threads=False, second_observer=False)
    total = np.zeros((2, LEVELS), dtype=np.int64)
    with ThreadPoolExecutor(1) as pool:
        cases = predicted_cases(predictor, records, encoding, rules, pool, ahead=1)
        for done, (case, probabilities) in enumerate(cases, start=1):
            if isinstance(case, DataError):
                raise case
            total += level_histograms(probabilities, case.reference, case.region)[0]
            if progress is not None:
                progress(done, len(records))
    return total


def _region_rule(region: str) -> RegionRule:
    if region == "field_of_view":
        return "field_of_view"
    if region == "image":
        return "image"
    raise UsageError(f"the region {region!r} is unknown; give 'field_of_view' or 'image'")


def _has_threads(records: Sequence[Record], encoding: MaskEncoding, num_classes: int) -> bool:
    """Whether there are two classes and most of the first masks with foreground are thread-like."""
    if num_classes != 2:
        return False
    answers: list[bool] = []
    for record in records:
        try:
            answer = is_thread_like(read_reference(record, encoding) == 1)
        except DataError:
            continue
        if answer is not None:
            answers.append(answer)
        if len(answers) == _LOOKED_AT:
            break
    return 2 * sum(answers) > len(answers)
