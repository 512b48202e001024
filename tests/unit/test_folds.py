"""Which images a fold scores, trains and chooses on."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ocuseg.checking import CheckResult
from ocuseg.classes import default_classes
from ocuseg.encoding import MaskEncoding
from ocuseg.errors import DataError, UsageError
from ocuseg.findings import Finding, Findings
from ocuseg.index import Index, Record
from ocuseg.index.splitting import deal_folds, take_share
from ocuseg.training.folds import FoldPlan, divide_folds, plan_folds
from ocuseg.training.recipe import Recipe


def index_of(groups: Sequence[str | None], folds: Sequence[str] | None = None) -> Index:
    """One image per entry; every third was of test before, which must not matter."""
    records = [
        Record(
            f"image{number}",
            Path(f"images/image{number}.png"),
            Path(f"masks/image{number}.png"),
            split="test" if number % 3 == 0 else "train",
            group=group,
            columns={} if folds is None else {"fold": folds[number]},
        )
        for number, group in enumerate(groups)
    ]
    note = Finding("note", "split-by-ratio", "data/", "a split per image", "none", "give a split file")
    return Index(Path("data"), "flat", "the same name", tuple(records), (note,))


def checked_of(plan: FoldPlan, pixels: Mapping[str, Sequence[int]] | None = None) -> CheckResult:
    """A check in which every image holds every class, but those that `pixels` lists."""
    held = {record.name: np.array((pixels or {}).get(record.name, (5, 3, 2))) for record in plan.index.records}
    return CheckResult(
        index=plan.index,
        findings=Findings((), len(held)),
        classes=default_classes(len(next(iter(held.values())))),
        encoding=MaskEncoding("ids"),
        class_pixels={},
        image_class_pixels=held,
        data_hash="00",
        file_hashes={},
        usable=plan.index.records,
    )


def splits_of(checked: CheckResult) -> dict[str, set[str]]:
    return {split: {record.name for record in checked.index.of_split(split)} for split in ("train", "val", "test")}


PEOPLE = [f"person{number % 7}" for number in range(30)]


class TestDealing:
    def test_no_group_is_divided_and_the_folds_are_about_alike(self) -> None:
        groups = {f"image{number}": group for number, group in enumerate(PEOPLE)}
        dealt = deal_folds(groups, 3, seed=0)
        assert set(dealt) == set(groups)
        assert all(len({dealt[name] for name in groups if groups[name] == group}) == 1 for group in set(PEOPLE))
        # Groups of 5, 5, 4, 4, 4, 4, 4: (5, 4), (5, 4) and (4, 4, 4) are the best that whole groups allow.
        assert sorted(Counter(dealt.values()).values()) == [9, 9, 12]

    def test_a_large_group_stands_alone(self) -> None:
        groups = {f"a{number}": "large" for number in range(9)} | {
            f"b{number}": f"small{number}" for number in range(6)
        }
        dealt = deal_folds(groups, 3, seed=5)
        assert dealt["a0"] not in {dealt[f"b{number}"] for number in range(6)}
        assert sorted(Counter(dealt.values()).values()) == [3, 3, 9]

    def test_the_seed_and_nothing_else_decides(self) -> None:
        groups = {f"image{number}": f"image{number}" for number in range(20)}
        backwards = dict(reversed(groups.items()))
        assert deal_folds(groups, 4, seed=1) == deal_folds(backwards, 4, seed=1)
        assert deal_folds(groups, 4, seed=1) != deal_folds(groups, 4, seed=2)

    def test_as_many_folds_as_groups_leaves_none_empty(self) -> None:
        groups = {f"image{number}": group for number, group in enumerate(PEOPLE)}
        assert set(deal_folds(groups, 7, seed=0).values()) == set(range(1, 8))


class TestTakingAShare:
    @pytest.mark.parametrize("share", [0.0, 0.1, 0.2, 0.5, 1.0])
    def test_whole_groups_at_least_one_and_never_all(self, share: float) -> None:
        groups = {f"image{number}": group for number, group in enumerate(PEOPLE)}
        for seed in "abcdef":
            taken = take_share(groups, share, seed)
            of_taken = {groups[name] for name in taken}
            assert taken == {name for name in groups if groups[name] in of_taken}
            assert 1 <= len(of_taken) < 7
            if share in (0.2, 0.5):
                assert abs(len(taken) - 30 * share) <= 2.5


class TestPlan:
    def test_every_image_of_every_split_is_in_one_fold(self) -> None:
        plan = plan_folds(index_of(PEOPLE), 4, seed=0)
        assert plan.rule == "by group, seed 0"
        assert [name for number in range(1, 5) for name in plan.records_of(number)] != []
        assert sorted(record.name for number in range(1, 5) for record in plan.records_of(number)) == sorted(
            record.name for record in plan.index.records
        )
        assert {record.split for record in plan.index.records} == {None}
        assert plan.index.findings == ()

    def test_without_groups_by_image_and_with_some_by_both(self) -> None:
        assert plan_folds(index_of([None] * 6), 3, seed=4).rule == "by image, seed 4"
        mixed = plan_folds(index_of(["a", "a", "a", None, None, None]), 3, seed=0)
        assert mixed.rule == "by group and image, seed 0"
        assert len({mixed.fold_of[f"image{number}"] for number in range(3)}) == 1

    def test_a_column_says_it_outright_in_the_order_of_its_numbers(self) -> None:
        words = ["10", "2", "1"] * 4
        plan = plan_folds(index_of([f"g{word}" for word in words], words), 3, seed=0)
        assert plan.rule == "by the column 'fold'"
        assert [plan.fold_of[f"image{number}"] for number in range(3)] == [3, 2, 1]

    @pytest.mark.parametrize(
        ("groups", "folds", "column", "error", "message"),
        [
            (PEOPLE, 8, None, UsageError, r"data: 7 groups cannot make 8 folds; give --folds 7 or fewer"),
            ([None] * 3, 4, None, UsageError, r"data: 3 images cannot make 4 folds; give --folds 3"),
            (PEOPLE, 1, None, UsageError, r"1 folds are no cross-validation; give --folds 2 or more"),
            (list("abcd"), 3, list("xyxy"), UsageError, r"the column 'fold' has 2 folds \(x, y\); give --folds 2, or "),
            (list("abcd"), 2, ["x", "y", "", "y"], DataError, r"image2 has no fold \(1 of 4 images\); fill in"),
            (list("abbd"), 2, list("xyxy"), DataError, r"the group b lies in the folds x and y; move its images"),
            (list("aab"), 2, None, UsageError, r"without fold 1 there is only one group.*give more folds than 2, or"),
        ],
    )
    def test_what_cannot_be_is_refused_with_a_remedy(
        self, groups: list[str], folds: int, column: list[str] | None, error: type[Exception], message: str
    ) -> None:
        with pytest.raises(error, match=message) as raised:
            plan_folds(index_of(groups, column), folds, seed=0)
        assert "\n" not in str(raised.value)


class TestDivision:
    @pytest.mark.parametrize("groups", [PEOPLE, [None] * 12], ids=["people", "images"])
    @pytest.mark.parametrize("folds", [2, 4])
    def test_no_group_is_in_two_splits_and_each_image_is_tested_once(self, groups: list[Any], folds: int) -> None:
        plan = plan_folds(index_of(groups), folds, seed=0)
        divided = divide_folds(checked_of(plan), plan, Recipe())
        tested: Counter[str] = Counter()
        for fold in divided:
            splits = splits_of(fold)
            assert all(splits.values())
            assert sum(map(len, splits.values())) == len(groups)
            units = [{record.unit for record in fold.index.of_split(split)} for split in splits]
            assert sum(map(len, units)) == len(set.union(*units))
            assert fold.usable == fold.index.records
            tested.update(splits["test"])
        assert set(tested.values()) == {1}
        assert len(tested) == len(groups)
        assert len({fold.data_hash for fold in divided}) == folds

    def test_the_share_of_validation_is_that_of_the_recipe(self) -> None:
        plan = plan_folds(index_of([None] * 40), 4, seed=0)
        for ratios, expected in (((0.7, 0.15, 0.15), 5), ((0.5, 0.5, 0.0), 15), ((0.8, 0.0, 0.2), 1)):
            for fold in divide_folds(checked_of(plan), plan, Recipe(split_ratios=ratios)):
                assert abs(len(splits_of(fold)["val"]) - expected) <= 1

    def test_the_split_seed_decides_alone(self) -> None:
        plan = plan_folds(index_of([None] * 20), 2, seed=0)

        def found(**settings: Any) -> list[dict[str, set[str]]]:
            return [splits_of(fold) for fold in divide_folds(checked_of(plan), plan, Recipe(**settings))]

        assert found() == found(seed=9)
        assert found() != found(split_seed=1)

    def test_validation_holds_every_class_where_it_can_and_training_comes_first(self) -> None:
        # Class 2 is in three of 21 images: in each fold, one must stay in training, and one can validate.
        rare = ("image0", "image7", "image13")
        plan = plan_folds(index_of([None] * 21), 3, seed=0)
        pixels = {f"image{number}": (5, 3, 2 if f"image{number}" in rare else 0) for number in range(21)}
        for number, fold in enumerate(divide_folds(checked_of(plan, pixels), plan, Recipe()), start=1):
            left = [name for name in rare if plan.fold_of[name] != number]
            assert left
            assert fold.class_pixels["train"].all()
            assert fold.class_pixels["val"].all() == (len(left) > 1)

    def test_a_class_that_a_fold_lacks_is_said(self, caplog: pytest.LogCaptureFixture) -> None:
        plan = plan_folds(index_of([None] * 9), 3, seed=0)
        pixels = {f"image{number}": (5, 3, 2 if number == 4 else 0) for number in range(9)}
        with caplog.at_level(logging.WARNING):
            folds = divide_folds(checked_of(plan, pixels), plan, Recipe())
        levels = [item.level for fold in folds for item in fold.findings if item.code == "class-untrained"]
        assert levels == ["warning"]  # an error would say that the fold is not trained
        lines = [record.getMessage() for record in caplog.records]
        assert f"fold {plan.fold_of['image4']} has no image with class_2 to learn from" in lines
        assert len(lines) == 4  # that fold lacks it in both, the other two in validation

    def test_foreground_that_a_fold_lacks_stops_everything(self) -> None:
        plan = plan_folds(index_of([None] * 9), 3, seed=0)
        pixels = {f"image{number}": (5, 3 if number == 4 else 0) for number in range(9)}
        with pytest.raises(
            DataError, match=r"fold \d has no image with foreground to .*; give another number of folds"
        ):
            divide_folds(checked_of(plan, pixels), plan, Recipe())

    def test_a_class_that_no_mask_holds_stops_everything(self) -> None:
        plan = plan_folds(index_of([None] * 9), 3, seed=0)
        pixels = {f"image{number}": (5, 3, 0) for number in range(9)}
        with pytest.raises(DataError, match=r"data: no mask holds class 2 \(class_2\); add some, or drop it"):
            divide_folds(checked_of(plan, pixels), plan, Recipe())
