"""The folds of a cross-validation: which images each scores, and what it trains and chooses on."""

from __future__ import annotations

import logging
from collections import defaultdict
from dataclasses import dataclass, replace

import numpy as np

from ocuseg.checking import CheckResult, divide_checked
from ocuseg.errors import DataError, UsageError
from ocuseg.index import Index, Record
from ocuseg.index.splitting import Split, deal_folds, take_share
from ocuseg.training.recipe import Recipe

__all__ = ["FoldPlan", "divide_folds", "plan_folds"]

_log = logging.getLogger("ocuseg")

_DRAWS = 50
# What a division into train, val and test has to say is of no matter here.
_OF_SPLITS = ("split-by-ratio", "validation-from-training")


@dataclass(frozen=True, slots=True)
class FoldPlan:
    """A division of all images of a data set into folds that share no group.

    `index` holds the records without their splits; `fold_of` has the fold, 1 to `folds`, of each record by its name;
    `rule` says in words how it was made.
    """

    index: Index
    folds: int
    fold_of: dict[str, int]
    rule: str

    @property
    def labels(self) -> dict[str, str]:
        """The fold of each record by its name, as `check_index` takes it."""
        return {name: f"fold {number}" for name, number in self.fold_of.items()}

    def records_of(self, number: int) -> tuple[Record, ...]:
        """Return the records of a fold, in the order of the index."""
        return tuple(record for record in self.index.records if self.fold_of[record.name] == number)


def plan_folds(index: Index, folds: int, seed: int) -> FoldPlan:
    """Return the images of all splits in `folds` folds: by the column `fold` of a split file, else by group.

    Without a column, groups are dealt so that the folds have about as many images, by `seed`; an image without a group
    stands for itself. Raises UsageError where there cannot be so many folds, DataError where the column divides a
    group or is filled in part.
    """
    if folds < 2:
        raise UsageError(f"{folds} folds are no cross-validation; give --folds 2 or more")
    records = tuple(replace(record, split=None) for record in index.records)
    findings = tuple(item for item in index.findings if item.code not in _OF_SPLITS)
    index = replace(index, records=records, findings=findings)
    if any(record.columns.get("fold") for record in records):
        plan = FoldPlan(index, folds, _by_column(index, folds), "by the column 'fold'")
    else:
        groups = {record.name: record.unit for record in records}
        units, grouped = len(set(groups.values())), sum(record.group is not None for record in records)
        kind = "group" if grouped == len(records) else "group and image" if grouped else "image"
        if units < folds:
            raise UsageError(
                f"{index.root}: {units} {kind if units == 1 else f'{kind}s'} cannot make {folds} folds; "
                f"give --folds {units} or fewer, or add data"
            )
        plan = FoldPlan(index, folds, deal_folds(groups, folds, seed), f"by {kind}, seed {seed}")
    for number in range(1, folds + 1):
        if len({record.unit for record in records if plan.fold_of[record.name] != number}) < 2:
            raise UsageError(
                f"{index.root}: without fold {number} there is only one group, to train and to validate on; "
                f"give more folds than {folds}, or add groups"
            )
    return plan


def divide_folds(checked: CheckResult, plan: FoldPlan, recipe: Recipe) -> list[CheckResult]:
    """Return the check of each fold: it is `test`; of the other groups, part is `val` and the rest `train`.

    The part is val / (train + val) of the recipe's `split_ratios`, at least one group, drawn by `split_seed`; of fifty
    draws the one is taken with the fewest classes missing from train, then from val, and then the nearest size.

    Raises DataError where the foreground of two classes is missing from what a fold trains or chooses on. Of more
    classes, a missing one is said.
    """
    train, val, _ = recipe.split_ratios
    _require_all_classes(checked)
    divided = []
    for number in range(1, plan.folds + 1):
        chosen = _choose_validation(checked, plan, number, val / (train + val), recipe.split_seed)
        splits: dict[str, Split] = {
            name: "test" if fold == number else "val" if name in chosen else "train"
            for name, fold in plan.fold_of.items()
        }
        fold = divide_checked(checked, splits)
        _report_missing(fold, number)
        divided.append(fold)
    return divided


def _by_column(index: Index, folds: int) -> dict[str, int]:
    words = {record.name: record.columns.get("fold", "") for record in index.records}
    without = [name for name, word in words.items() if not word]
    if without:
        raise DataError(
            f"{index.root}: {without[0]} has no fold ({len(without)} of {len(words)} images); fill in the column 'fold'"
        )
    found = sorted(set(words.values()), key=lambda word: (int(word) if word.isdecimal() else 1 << 32, word))
    if len(found) != folds:
        raise UsageError(
            f"{index.root}: the column 'fold' has {len(found)} folds ({', '.join(found[:8])}); give "
            f"--folds {len(found)}, or leave the column out"
        )
    folds_of: defaultdict[str, set[str]] = defaultdict(set)
    for record in index.records:
        folds_of[record.unit].add(words[record.name])
    for unit, several in folds_of.items():
        if len(several) > 1:
            raise DataError(
                f"{index.root}: the {unit} lies in the folds {' and '.join(sorted(several))}; move its images into one"
            )
    return {name: found.index(word) + 1 for name, word in words.items()}


def _choose_validation(checked: CheckResult, plan: FoldPlan, number: int, share: float, seed: int) -> frozenset[str]:
    groups = {record.name: record.unit for record in plan.index.records if plan.fold_of[record.name] != number}
    present = {name: pixels > 0 for name, pixels in checked.image_class_pixels.items() if name in groups}

    def missing(names: frozenset[str]) -> int:
        held = [present[name] for name in names if name in present]
        return int(np.count_nonzero(~np.any(held, axis=0))) if held else 1 << 16

    def fault(drawn: frozenset[str]) -> tuple[int, int, float]:
        return missing(frozenset(groups) - drawn), missing(drawn), abs(len(drawn) - share * len(groups))

    draws = [take_share(groups, share, f"{seed} {number} {draw}") for draw in range(_DRAWS)]
    return min(draws, key=fault)


def _require_all_classes(checked: CheckResult) -> None:
    if checked.classes is None or not checked.image_class_pixels:
        return
    total = np.sum(list(checked.image_class_pixels.values()), axis=0)
    for item, pixels in zip(checked.classes.items, total.tolist(), strict=True):
        if not pixels:
            raise DataError(f"{checked.index.root}: no mask holds class {item.id} ({item.name}); add some, or drop it")


def _report_missing(fold: CheckResult, number: int) -> None:
    if fold.classes is None:
        return
    for split, use in (("train", "to learn from"), ("val", "to choose the best epoch and the threshold on")):
        for item, pixels in zip(fold.classes.items, fold.class_pixels[split].tolist(), strict=True):
            if pixels:
                continue
            if len(fold.classes) == 2:
                raise DataError(
                    f"{fold.index.root}: fold {number} has no image with {item.name} {use}; give another number of "
                    "folds or another split_seed, or a column 'fold' in a split file"
                )
            _log.warning("fold %d has no image with %s %s", number, item.name, use)
