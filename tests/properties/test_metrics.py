from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from ocuseg import metrics

NUM_CLASSES = 4
OVERLAPS = (metrics.dice, metrics.iou, metrics.precision, metrics.recall, metrics.specificity)


@st.composite
def mask_triples(draw: st.DrawFn, num_classes: int = NUM_CLASSES) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    shape = draw(array_shapes(min_dims=2, max_dims=2, max_side=8))
    ids = st.integers(0, num_classes - 1)
    reference, prediction = (draw(arrays(np.uint8, shape, elements=ids)) for _ in range(2))
    return reference, prediction, draw(arrays(bool, shape))


@st.composite
def histograms(draw: st.DrawFn) -> np.ndarray:
    size = draw(st.integers(0, 30))
    levels = draw(arrays(np.uint16, size, elements=st.one_of(st.integers(0, 65535), st.sampled_from([0, 7, 65535]))))
    return metrics.level_histogram(levels, draw(arrays(bool, size)))


@given(mask_triples())
@settings(deadline=None)
def test_every_pixel_of_the_region_is_counted_once(masks: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    reference, prediction, region = masks
    confusion = metrics.confusion_matrix(reference, prediction, NUM_CLASSES, region)
    assert confusion.sum() == np.count_nonzero(region)
    counts = metrics.counts_of(confusion)
    assert (counts.tp + counts.fp + counts.fn + counts.tn == confusion.sum()).all()
    assert min(counts.tp.min(), counts.fp.min(), counts.fn.min(), counts.tn.min()) >= 0


@given(mask_triples())
@settings(deadline=None)
def test_counts_inside_and_outside_a_region_add_up(masks: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    reference, prediction, region = masks
    inside = metrics.confusion_matrix(reference, prediction, NUM_CLASSES, region)
    outside = metrics.confusion_matrix(reference, prediction, NUM_CLASSES, ~region)
    assert np.array_equal(inside + outside, metrics.confusion_matrix(reference, prediction, NUM_CLASSES))


@given(mask_triples())
@settings(deadline=None)
def test_swapping_the_masks_transposes_the_counts(masks: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    reference, prediction, region = masks
    forward = metrics.confusion_matrix(reference, prediction, NUM_CLASSES, region)
    backward = metrics.confusion_matrix(prediction, reference, NUM_CLASSES, region)
    assert np.array_equal(forward, backward.T)
    first, second = metrics.counts_of(forward), metrics.counts_of(backward)
    assert np.array_equal(metrics.dice(first), metrics.dice(second), equal_nan=True)
    assert np.array_equal(metrics.iou(first), metrics.iou(second), equal_nan=True)
    assert np.array_equal(metrics.precision(first), metrics.recall(second), equal_nan=True)


@given(mask_triples(), st.permutations(range(NUM_CLASSES)))
@settings(deadline=None)
def test_renaming_the_classes_permutes_the_counts(
    masks: tuple[np.ndarray, np.ndarray, np.ndarray], order: list[int]
) -> None:
    reference, prediction, region = masks
    names = np.array(order, dtype=np.uint8)
    before = metrics.confusion_matrix(reference, prediction, NUM_CLASSES, region)
    after = metrics.confusion_matrix(names[reference], names[prediction], NUM_CLASSES, region)
    assert np.array_equal(after[np.ix_(order, order)], before)


@given(mask_triples(), st.randoms(use_true_random=False))
@settings(deadline=None)
def test_the_order_of_the_pixels_does_not_matter(masks: tuple[np.ndarray, np.ndarray, np.ndarray], random) -> None:
    order = list(range(masks[0].size))
    random.shuffle(order)
    shuffled = [mask.ravel()[order] for mask in masks]
    assert np.array_equal(
        metrics.confusion_matrix(masks[0], masks[1], NUM_CLASSES, masks[2]),
        metrics.confusion_matrix(shuffled[0], shuffled[1], NUM_CLASSES, shuffled[2]),
    )


@given(mask_triples(num_classes=2))
@settings(deadline=None)
def test_two_classes_and_many_count_alike(masks: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    reference, prediction, region = masks
    two = metrics.confusion_matrix(reference, prediction, 2, region)
    assert np.array_equal(metrics.confusion_matrix(reference, prediction, 5, region)[:2, :2], two)
    assert np.array_equal(metrics.confusion_matrix(reference == 1, prediction == 1, 2, region), two)


@given(mask_triples())
@settings(deadline=None)
def test_scores_are_shares_and_dice_is_a_function_of_iou(masks: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    reference, prediction, region = masks
    confusion = metrics.confusion_matrix(reference, prediction, NUM_CLASSES, region)
    counts = metrics.counts_of(confusion)
    for score in OVERLAPS:
        values = score(counts)
        assert (np.isnan(values) | ((values >= 0) & (values <= 1))).all()
    iou = metrics.iou(counts)
    np.testing.assert_allclose(metrics.dice(counts), 2 * iou / (1 + iou), rtol=1e-12)
    present = np.array([np.any((reference == c)[region] | (prediction == c)[region]) for c in range(NUM_CLASSES)])
    assert np.array_equal(np.isnan(metrics.dice(counts)), ~present)


@given(mask_triples())
@settings(deadline=None)
def test_a_mask_against_itself_is_perfect_or_undefined(masks: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    counts = metrics.counts_of(metrics.confusion_matrix(masks[0], masks[0], NUM_CLASSES, masks[2]))
    for score in OVERLAPS:
        values = score(counts)
        assert (np.isnan(values) | (values == 1)).all()


@given(
    arrays(np.float32, st.integers(1, 40), elements=st.floats(0, 1, width=32)),
    st.floats(0, 1),
)
@settings(deadline=None)
def test_quantising_keeps_the_order_and_moves_by_half_a_level(probabilities: np.ndarray, threshold: float) -> None:
    levels = metrics.quantise(probabilities)
    order = np.argsort(probabilities)
    assert (np.diff(levels[order].astype(int)) >= 0).all()
    assert np.abs(levels / 65535 - probabilities.astype(np.float64)).max() <= 0.51 / 65535
    assert np.array_equal(metrics.quantise(levels / 65535), levels)
    positive = levels >= metrics.threshold_level(threshold)
    assert positive[probabilities >= threshold + 1.1 / 65535].all()
    assert not positive[probabilities <= threshold - 1.1 / 65535].any()


@given(
    arrays(np.uint16, (3, 5)),
    arrays(bool, (3, 5)),
    arrays(bool, (3, 5)),
)
@settings(max_examples=30, deadline=None)
def test_level_histograms_add_up_over_regions(levels: np.ndarray, reference: np.ndarray, region: np.ndarray) -> None:
    inside = metrics.level_histogram(levels, reference, region)
    outside = metrics.level_histogram(levels, reference, ~region)
    assert np.array_equal(inside + outside, metrics.level_histogram(levels, reference))
    assert inside.sum() == np.count_nonzero(region)
    assert inside[1].sum() == np.count_nonzero(region & reference)


@given(histograms())
@settings(max_examples=30, deadline=None)
def test_a_higher_threshold_never_finds_more(histogram: np.ndarray) -> None:
    counts = metrics.sweep(histogram, [step / 20 for step in range(21)])
    assert (np.diff(counts.tp) <= 0).all()
    assert (np.diff(counts.fp) <= 0).all()
    assert (counts.tp + counts.fn == histogram[1].sum()).all()
    assert (counts.fp + counts.tn == histogram[0].sum()).all()


@given(histograms())
@settings(max_examples=30, deadline=None)
def test_no_threshold_beats_the_best(histogram: np.ndarray) -> None:
    threshold, score = metrics.best_threshold(histogram)
    scores = metrics.dice(metrics.sweep(histogram))
    if histogram[1].any():
        assert score == scores.max()
        assert metrics.dice(metrics.sweep(histogram, [threshold]))[0] == score
    else:
        assert (threshold, np.isnan(score)) == (0.5, True)


@given(arrays(np.float64, (3, NUM_CLASSES), elements=st.one_of(st.floats(0, 1), st.just(float("nan")))))
@settings(deadline=None)
def test_means_over_classes_are_numpy_means_of_what_is_defined(scores: np.ndarray) -> None:
    for row, mean, foreground in zip(scores, metrics.mean_all(scores), metrics.mean_foreground(scores), strict=True):
        for values, found in ((row, mean), (row[1:], foreground)):
            expected, count = metrics.mean_defined(values)
            assert found == pytest.approx(expected, nan_ok=True)
            assert count == np.count_nonzero(~np.isnan(values))
