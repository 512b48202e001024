from __future__ import annotations

import numpy as np
import pytest

from ocuseg import metrics

# reference  0 0 1 1     prediction  0 1 1 1
#            0 2 2 1                 0 2 1 0
REFERENCE = np.array([[0, 0, 1, 1], [0, 2, 2, 1]], dtype=np.uint8)
PREDICTION = np.array([[0, 1, 1, 1], [0, 2, 1, 0]], dtype=np.uint8)


def _counts(tp: int, fp: int, fn: int, tn: int) -> metrics.Counts:
    return metrics.Counts(*(np.array([value]) for value in (tp, fp, fn, tn)))


def test_confusion_matrix_by_hand() -> None:
    confusion = metrics.confusion_matrix(REFERENCE, PREDICTION, 3)
    assert confusion.dtype == np.int64
    assert confusion.tolist() == [[2, 1, 0], [1, 2, 0], [0, 1, 1]]


def test_confusion_matrix_of_two_classes_has_the_same_layout() -> None:
    reference = np.array([0, 0, 0, 1, 1, 1, 1], dtype=np.uint8)
    prediction = np.array([0, 0, 1, 0, 1, 1, 1], dtype=np.uint8)
    expected = [[2, 1], [1, 3]]
    assert metrics.confusion_matrix(reference, prediction, 2).tolist() == expected
    assert metrics.confusion_matrix(reference == 1, prediction == 1, 2).tolist() == expected
    padded = metrics.confusion_matrix(reference, prediction, 3)
    assert padded[:2, :2].tolist() == expected
    assert padded.sum() == 7


def test_only_the_region_counts_and_an_ignored_id_outside_it_is_not_looked_at() -> None:
    reference = REFERENCE.copy()
    reference[0, 1] = 255
    region = np.ones(reference.shape, dtype=bool)
    region[0, 1] = False
    assert metrics.confusion_matrix(reference, PREDICTION, 3, region).tolist() == [[2, 0, 0], [1, 2, 0], [0, 1, 1]]


def test_a_region_of_zeros_and_ones_is_a_mask_and_not_a_list_of_rows() -> None:
    region = np.array([[1, 1, 0, 0], [0, 0, 0, 0]], dtype=np.uint8)
    confusion = metrics.confusion_matrix(REFERENCE, PREDICTION, 3, region)
    assert confusion.tolist() == [[1, 1, 0], [0, 0, 0], [0, 0, 0]]


@pytest.mark.parametrize("num_classes", [2, 3])
def test_an_empty_region_gives_zeros(num_classes: int) -> None:
    nothing = np.zeros(REFERENCE.shape, dtype=bool)
    confusion = metrics.confusion_matrix(REFERENCE, PREDICTION, num_classes, nothing)
    assert confusion.tolist() == np.zeros((num_classes, num_classes), dtype=int).tolist()
    assert np.isnan(metrics.pixel_accuracy(confusion))


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int64, np.uint16])
@pytest.mark.parametrize("num_classes", [3, 16, 17, 36, 256])
def test_many_classes_do_not_overflow(num_classes: int, dtype: type) -> None:
    reference = np.array([num_classes - 1, num_classes - 1, 0, 1], dtype=dtype)
    prediction = np.array([num_classes - 1, 0, num_classes - 1, 1], dtype=dtype)
    confusion = metrics.confusion_matrix(reference, prediction, num_classes)
    last = num_classes - 1
    assert (confusion[last, last], confusion[last, 0], confusion[0, last], confusion[1, 1]) == (1, 1, 1, 1)
    assert confusion.sum() == 4


def test_masks_longer_than_a_piece_are_counted_whole() -> None:
    pixels = 3 * (1 << 16) + 5
    reference = np.arange(pixels, dtype=np.int64) % 3
    assert metrics.confusion_matrix(reference, reference, 3).tolist() == np.diag(np.bincount(reference)).tolist()


def test_an_unknown_id_is_refused() -> None:
    wrong = np.array([0, 1, 255], dtype=np.uint8)
    with pytest.raises(ValueError, match="the reference holds the id 255 of 2 classes"):
        metrics.confusion_matrix(wrong, np.zeros(3, dtype=np.uint8), 2)
    with pytest.raises(ValueError, match="the prediction holds the id -1 of 3 classes"):
        metrics.confusion_matrix(np.zeros(2, dtype=np.int8), np.array([-1, 2], dtype=np.int8), 3)
    with pytest.raises(ValueError, match="float64"):
        metrics.confusion_matrix(np.zeros(2), np.zeros(2), 2)


def test_masks_of_different_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(2, 4\).*\(4, 2\)"):
        metrics.confusion_matrix(REFERENCE, PREDICTION.T, 3)
    with pytest.raises(ValueError, match="shapes"):
        metrics.confusion_matrix(REFERENCE, PREDICTION, 3, np.ones((1, 4), dtype=bool))


def test_counts_of_each_class_by_hand() -> None:
    counts = metrics.counts_of(metrics.confusion_matrix(REFERENCE, PREDICTION, 3))
    assert counts.tp.tolist() == [2, 2, 1]
    assert counts.fp.tolist() == [1, 2, 0]
    assert counts.fn.tolist() == [1, 1, 1]
    assert counts.tn.tolist() == [4, 3, 6]


def test_counts_keep_leading_axes() -> None:
    confusion = metrics.confusion_matrix(REFERENCE, PREDICTION, 3)
    counts = metrics.counts_of(np.stack([[confusion, 2 * confusion]] * 4))
    assert counts.tn.shape == (4, 2, 3)
    assert counts.tn[3, 1].tolist() == [8, 6, 12]


def test_scores_by_hand() -> None:
    counts = _counts(tp=6, fp=2, fn=4, tn=12)
    assert metrics.dice(counts) == pytest.approx([12 / 18])
    assert metrics.iou(counts) == pytest.approx([6 / 12])
    assert metrics.precision(counts) == pytest.approx([6 / 8])
    assert metrics.recall(counts) == pytest.approx([6 / 10])
    assert metrics.specificity(counts) == pytest.approx([12 / 14])
    confusion = np.array([[2, 1, 0], [1, 2, 0], [0, 1, 1]])
    assert metrics.pixel_accuracy(confusion) == pytest.approx(5 / 8)


@pytest.mark.parametrize(
    ("counts", "defined"),
    [
        (_counts(tp=0, fp=0, fn=0, tn=9), {"specificity": 1.0}),
        (_counts(tp=0, fp=3, fn=0, tn=6), {"dice": 0.0, "iou": 0.0, "precision": 0.0, "specificity": 6 / 9}),
        (_counts(tp=0, fp=0, fn=3, tn=6), {"dice": 0.0, "iou": 0.0, "recall": 0.0, "specificity": 1.0}),
        (_counts(tp=9, fp=0, fn=0, tn=0), {"dice": 1.0, "iou": 1.0, "precision": 1.0, "recall": 1.0}),
        (_counts(tp=0, fp=0, fn=0, tn=0), {}),
    ],
    ids=["in neither mask", "predicted only", "missed", "everywhere", "no pixels"],
)
def test_undefined_is_nan_and_predicted_without_need_is_zero(counts: metrics.Counts, defined: dict[str, float]) -> None:
    scores = {name: float(getattr(metrics, name)(counts)[0]) for name in _OVERLAPS}
    expected = {name: defined.get(name, float("nan")) for name in _OVERLAPS}
    assert scores == pytest.approx(expected, nan_ok=True)


_OVERLAPS = ("dice", "iou", "precision", "recall", "specificity")


def test_means_leave_out_what_is_undefined_and_say_how_many_count() -> None:
    assert metrics.mean_defined([0.5, np.nan, 1.0]) == (0.75, 2)
    mean, images = metrics.mean_defined([np.nan])
    assert np.isnan(mean)
    assert images == 0
    scores = np.array([[0.9, 0.5, np.nan], [1.0, np.nan, np.nan]])
    assert metrics.mean_foreground(scores) == pytest.approx([0.5, np.nan], nan_ok=True)
    assert metrics.mean_all(scores) == pytest.approx([0.7, 1.0])


def test_quantise_rounds_half_up() -> None:
    halves = np.array([0.0, 0.49, 0.5, 1.0, 1.5, 65534.5, 65535.0]) / 65535
    assert metrics.quantise(halves).tolist() == [0, 0, 1, 1, 2, 65535, 65535]
    assert metrics.quantise(np.array([0.5], dtype=np.float32)).tolist() == [32768]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_quantise_gives_every_level_back(dtype: type) -> None:
    levels = np.arange(65536)
    assert np.array_equal(metrics.quantise((levels / 65535).astype(dtype)), levels)


def test_quantise_clips_and_keeps_shape_and_input() -> None:
    probabilities = np.array([[-0.001, 1.002], [0.25, 1.0]], dtype=np.float32)
    before = probabilities.copy()
    levels = metrics.quantise(probabilities)
    assert levels.dtype == np.uint16
    assert levels.tolist() == [[0, 65535], [16384, 65535]]
    assert np.array_equal(probabilities, before)
    assert metrics.quantise(np.zeros((0, 3), dtype=np.float32)).shape == (0, 3)
    assert metrics.quantise(np.array([1.0, 0.5], dtype=np.float16)).tolist() == [65535, 32768]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_quantise_refuses_what_is_not_a_number(value: float) -> None:
    with pytest.raises(ValueError, match="NaN or infinite"):
        metrics.quantise(np.array([0.1, value, 0.3], dtype=np.float32))


def test_threshold_level_is_the_quantised_threshold() -> None:
    assert [metrics.threshold_level(t) for t in (0.0, 0.5, 1.0)] == [0, 32768, 65535]
    for wrong in (-0.01, 1.01, float("nan")):
        with pytest.raises(ValueError, match="between 0 and 1"):
            metrics.threshold_level(wrong)


def test_level_histogram_by_hand() -> None:
    levels = np.array([[0, 7, 7], [7, 65535, 3]], dtype=np.uint16)
    reference = np.array([[False, True, False], [True, True, True]])
    region = np.array([[True, True, True], [True, True, False]])
    histogram = metrics.level_histogram(levels, reference, region)
    assert histogram.shape == (2, 65536)
    assert histogram.dtype == np.int64
    assert {(row, level): int(histogram[row, level]) for row, level in np.argwhere(histogram)} == {
        (0, 0): 1,
        (0, 7): 1,
        (1, 7): 2,
        (1, 65535): 1,
    }
    assert metrics.level_histogram(levels, reference)[1, 3] == 1
    assert np.array_equal(metrics.level_histogram(levels, reference.astype(np.uint8), region), histogram)


def test_level_histogram_refuses_probabilities_and_other_shapes() -> None:
    with pytest.raises(ValueError, match="quantise"):
        metrics.level_histogram(np.zeros((2, 2)), np.zeros((2, 2), dtype=bool))
    with pytest.raises(ValueError, match="shapes"):
        metrics.level_histogram(np.zeros((2, 2), dtype=np.uint16), np.zeros((2, 3), dtype=bool))


def _histogram(negatives: list[float], positives: list[float]) -> np.ndarray:
    values = metrics.quantise(np.array(negatives + positives))
    return metrics.level_histogram(values, np.arange(len(values)) >= len(negatives))


def test_sweep_by_hand() -> None:
    counts = metrics.sweep(_histogram([0.1, 0.4, 0.6], [0.4, 0.9]), [0.0, 0.4, 0.5, 0.95])
    assert counts.tp.tolist() == [2, 2, 1, 0]
    assert counts.fp.tolist() == [3, 2, 1, 0]
    assert counts.fn.tolist() == [0, 0, 1, 2]
    assert counts.tn.tolist() == [0, 1, 2, 3]


def test_sweep_agrees_with_thresholding_the_levels() -> None:
    generator = np.random.default_rng(3)
    levels = metrics.quantise(generator.random((40, 50)).round(2))
    reference = generator.random((40, 50)) < 0.3
    counts = metrics.sweep(metrics.level_histogram(levels, reference))
    for index, threshold in enumerate(step / 100 for step in range(1, 100)):
        confusion = metrics.confusion_matrix(reference, levels >= metrics.threshold_level(threshold), 2)
        found = [[counts.tn[index], counts.fp[index]], [counts.fn[index], counts.tp[index]]]
        assert confusion.tolist() == found


def test_best_threshold_by_hand() -> None:
    # At or below 0.30 one negative is in; above 0.70 one positive is lost; of the ties 0.50 is taken.
    threshold, score = metrics.best_threshold(_histogram([0.1, 0.3], [0.7, 0.8]))
    assert (threshold, score) == (0.5, 1.0)
    threshold, score = metrics.best_threshold(_histogram([0.1, 0.6], [0.65, 0.8]))
    assert (threshold, score) == (0.61, 1.0)
    threshold, score = metrics.best_threshold(_histogram([0.1, 0.5], [0.4, 0.2]))
    assert (threshold, score) == (0.2, pytest.approx(4 / 5))


def test_best_threshold_takes_the_lower_of_two_as_near() -> None:
    histogram = _histogram([0.1], [0.9])
    assert metrics.best_threshold(histogram, [0.6, 0.4, 0.3]) == (0.4, 1.0)


def test_the_best_of_a_sweep_is_the_best_threshold() -> None:
    histogram = _histogram([0.1, 0.6], [0.65, 0.8])
    pooled = metrics.sweep(histogram[np.newaxis])
    assert metrics.best_of_sweep(pooled) == metrics.best_threshold(histogram) == (0.61, 1.0)
    threshold, score = metrics.best_of_sweep(metrics.sweep(_histogram([], [])))
    assert threshold == 0.5
    assert np.isnan(score)


def test_best_threshold_of_nothing_to_find() -> None:
    threshold, score = metrics.best_threshold(_histogram([0.1, 0.9], []))
    assert threshold == 0.5
    assert np.isnan(score)
