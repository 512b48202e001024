from __future__ import annotations

import numpy as np
import pytest

from ocuseg.metrics import intervals


def test_weights_draw_as_many_groups_as_there_are() -> None:
    names, weights = intervals.bootstrap_weights(["b", "a", "b", "c"], resamples=500, seed=1)
    assert names == ("a", "b", "c")
    assert weights.shape == (500, 3)
    assert weights.dtype == np.int64
    assert (weights.sum(axis=1) == 3).all()
    assert weights.min() == 0
    assert weights.max() == 3
    assert weights.mean(axis=0) == pytest.approx([1, 1, 1], abs=0.15)


def test_weights_depend_on_the_seed_and_not_on_the_order_of_images() -> None:
    _, weights = intervals.bootstrap_weights(["a", "b", "c"], seed=1)
    assert np.array_equal(weights, intervals.bootstrap_weights(["c", "c", "a", "b"], seed=1)[1])
    assert not np.array_equal(weights, intervals.bootstrap_weights(["a", "b", "c"], seed=2)[1])
    assert weights.shape == (2000, 3)
    assert intervals.bootstrap_weights([])[1].shape == (2000, 0)


def test_sum_by_group_by_hand() -> None:
    counts = np.array([[1, 2], [3, 4], [10, 20]])
    assert intervals.sum_by_group(counts, ["b", "a", "b"]).tolist() == [[3, 4], [11, 22]]
    with pytest.raises(ValueError, match="one group per image"):
        intervals.sum_by_group(counts, ["a", "b"])


@pytest.mark.parametrize("kind", [np.bool_, np.uint8, np.int8])
def test_small_numbers_are_added_without_loss(kind: type[np.generic]) -> None:
    values = np.full(300, 1, kind)
    assert intervals.sum_by_group(values, ["a"] * 200 + ["b"] * 100).tolist() == [200, 100]


def test_percentile_interval_by_hand() -> None:
    assert intervals.percentile_interval(np.arange(101.0)) == pytest.approx((2.5, 97.5))
    assert intervals.percentile_interval(np.arange(101.0), level=0.8) == pytest.approx((10, 90))
    assert intervals.percentile_interval([np.nan, 1.0, 1.0]) == (1.0, 1.0)
    assert intervals.percentile_interval([np.nan, np.nan, 1.0]) is None
    assert intervals.percentile_interval([]) is None


def _share(sums: np.ndarray) -> np.ndarray:
    return sums[:, 0] / sums[:, 1]


def test_pooled_interval_of_two_groups_can_only_end_at_their_scores() -> None:
    # Shares .2 and .6; a resample is one of .2 (1/4), .4 (1/2) and .6 (1/4).
    counts = np.array([[2, 10], [6, 10]])
    assert intervals.interval_of_pooled(counts, ["a", "b"], _share) == pytest.approx((0.2, 0.6))


def test_images_of_one_group_are_drawn_together() -> None:
    counts = np.array([[0, 10], [10, 10], [0, 10], [10, 10]])
    low, high = intervals.interval_of_pooled(counts, ["a", "a", "b", "b"], _share)
    assert (low, high) == (0.5, 0.5)
    low, high = intervals.interval_of_pooled(counts, ["a", "b", "c", "d"], _share)
    assert (low, high) == (0.0, 1.0)


def test_there_is_no_interval_of_one_group() -> None:
    assert intervals.interval_of_pooled(np.ones((3, 2)), ["a", "a", "a"], _share) is None
    assert intervals.interval_of_mean([0.1, 0.2, 0.3], ["a", "a", "a"]) is None
    assert intervals.interval_of_mean([0.1, np.nan], ["a", "b"]) is None
    assert intervals.interval_of_mean([], []) is None


def test_large_counts_are_resampled_in_pieces_with_the_same_result(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = np.random.default_rng(0).integers(1, 100, (8, 2))
    groups = list("abcdefgh")
    whole = intervals.interval_of_pooled(counts, groups, _share)
    monkeypatch.setattr(intervals, "_PIECE_VALUES", 14)
    assert intervals.interval_of_pooled(counts, groups, _share) == whole


def test_a_score_of_several_classes_at_once_is_refused() -> None:
    with pytest.raises(ValueError, match="choose one class"):
        intervals.interval_of_pooled(np.ones((2, 3)), ["a", "b"], lambda sums: sums)


def test_interval_of_mean_leaves_undefined_images_out() -> None:
    groups = list("abcde")
    with_nan = intervals.interval_of_mean([0.2, np.nan, 0.6, 0.4, 0.5], groups)
    assert with_nan == intervals.interval_of_mean([0.2, 0.6, 0.4, 0.5], ["a", "c", "d", "e"])
    low, high = with_nan
    assert 0.2 <= low < 0.425 < high <= 0.6


def test_every_image_of_a_drawn_group_weighs_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: set[float] = set()
    monkeypatch.setattr(intervals, "percentile_interval", lambda values: seen.update(values.tolist()))
    intervals.interval_of_mean([0.0, 0.0, 0.0, 1.0], ["left", "left", "left", "right"])
    assert seen == {0.0, 0.25, 1.0}


def test_interval_of_mean_covers_the_true_mean_about_as_often_as_it_says() -> None:
    generator = np.random.default_rng(11)
    groups = [f"{index:02d}" for index in range(40)]
    hits = 0
    for _ in range(200):
        low, high = intervals.interval_of_mean(generator.normal(0.0, 1.0, 40), groups, resamples=400)
        hits += low <= 0.0 <= high
    assert 178 <= hits <= 199


def test_paired_difference_by_hand() -> None:
    b = np.linspace(0.5, 0.7, 8)
    result = intervals.paired_difference(b + np.arange(1, 9) / 100, b, list("abcdefgh"))
    assert result.mean == pytest.approx(0.045)
    # All eight signs alike: 2 of 2^8 orders are as extreme.
    assert result.p_value == pytest.approx(2 / 256)
    assert result.differs
    low, high = result.ci95
    assert 0.01 < low < 0.045 < high < 0.08
    assert (result.images, result.groups) == (8, 8)


def test_paired_difference_of_equal_scores_is_no_difference() -> None:
    scores = np.array([0.1, 0.2, 0.3])
    result = intervals.paired_difference(scores, scores, ["a", "b", "c"])
    assert (result.mean, result.ci95, result.p_value, result.differs) == (0.0, (0.0, 0.0), 1.0, False)


def test_paired_difference_leaves_out_pairs_with_one_side_undefined() -> None:
    result = intervals.paired_difference([0.5, np.nan, 0.7], [0.4, 0.3, np.nan], ["a", "b", "c"])
    assert result.mean == pytest.approx(0.1)
    assert (result.images, result.groups, result.ci95, result.differs) == (1, 1, None, False)
    nothing = intervals.paired_difference([np.nan], [0.1], ["a"])
    assert np.isnan([nothing.mean, nothing.p_value]).all()
    assert (nothing.images, nothing.ci95) == (0, None)


def test_the_test_is_made_on_groups_as_images_of_one_eye_are_not_independent() -> None:
    a, b = np.full(12, 0.6), np.full(12, 0.5)
    alone = intervals.paired_difference(a, b, [f"{i:02d}" for i in range(12)])
    together = intervals.paired_difference(a, b, ["left", "right"] * 6)
    assert alone.p_value < 0.01
    assert together.p_value > 0.1
    assert (together.images, together.groups) == (12, 2)


@pytest.mark.parametrize("images", [1, 2, 8, 14, 60])
@pytest.mark.parametrize("kind", ["plain", "ties", "zeros"])
def test_wilcoxon_gives_a_probability_without_a_warning(images: int, kind: str) -> None:
    generator = np.random.default_rng(images)
    difference = generator.normal(0.1, 0.3, images)
    if kind != "plain":
        difference = difference.round(1)
    if kind == "zeros":
        difference[: images // 2] = 0.0
    result = intervals.paired_difference(difference, np.zeros(images), [f"{i:02d}" for i in range(images)])
    assert 0.0 < result.p_value <= 1.0


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="pair the images"):
        intervals.paired_difference([0.1], [0.1, 0.2], ["a"])
    with pytest.raises(ValueError, match="one group per image"):
        intervals.interval_of_mean([0.1, 0.2], ["a"])


def test_holm_by_hand() -> None:
    # Sorted .01 .02 .03 .04 times 4 3 2 1, never falling.
    assert intervals.holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert intervals.holm([0.6, 0.5]) == pytest.approx([1.0, 1.0])
    assert intervals.holm([0.01, np.nan, 0.04]) == pytest.approx([0.02, np.nan, 0.04], nan_ok=True)
    assert intervals.holm([]).shape == (0,)
