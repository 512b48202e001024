"""The scores of ocuseg beside those of scikit-learn, MONAI, surface-distance, torchmetrics and SciPy.

Where a definition differs the test says how: ours is NaN where there is nothing to measure.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

from ocuseg import metrics
from ocuseg.metrics import borders, intervals, ranking, threads

sklearn_metrics = pytest.importorskip("sklearn.metrics")


# What the others call by names that are on their way out is theirs to mend.
by_old_names = pytest.mark.filterwarnings(
    "ignore:Please import `.*` from the `scipy.ndimage` namespace:DeprecationWarning",
    "ignore:monai.metrics.utils get_mask_edges.always_return_as_numpy:FutureWarning",
)


def _random_masks(seed: int, num_classes: int = 4) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    shares = generator.dirichlet(np.ones(num_classes) * 0.7)
    reference = generator.choice(num_classes, (23, 31), p=shares).astype(np.uint8)
    noise = generator.choice(num_classes, reference.shape).astype(np.uint8)
    return reference, np.where(generator.random(reference.shape) < 0.7, reference, noise)


MASKS = {
    **{f"random {seed}": _random_masks(seed) for seed in range(6)},
    "both empty": (np.zeros((5, 7), np.uint8), np.zeros((5, 7), np.uint8)),
    "prediction empty": (_random_masks(9)[0], np.zeros((23, 31), np.uint8)),
    "reference empty": (np.zeros((23, 31), np.uint8), _random_masks(9)[1]),
    "one class missing": (_random_masks(8, 3)[0], _random_masks(8, 2)[1]),
}


@pytest.mark.parametrize("name", MASKS)
def test_counts_and_overlaps_are_those_of_scikit_learn(name: str) -> None:
    reference, prediction = MASKS[name]
    confusion = metrics.confusion_matrix(reference, prediction, 4)
    labels = np.arange(4)
    flat = reference.ravel(), prediction.ravel()
    assert np.array_equal(confusion, sklearn_metrics.confusion_matrix(*flat, labels=labels))
    counts = metrics.counts_of(confusion)
    others = sklearn_metrics.multilabel_confusion_matrix(*flat, labels=labels)
    assert np.array_equal(np.stack([counts.tn, counts.fp, counts.fn, counts.tp], axis=-1), others.reshape(4, 4))
    assert metrics.pixel_accuracy(confusion) == pytest.approx(sklearn_metrics.accuracy_score(*flat))
    options: dict[str, Any] = {"labels": labels, "average": None}
    nan = {"zero_division": np.nan}
    np.testing.assert_allclose(metrics.precision(counts), sklearn_metrics.precision_score(*flat, **options, **nan))
    np.testing.assert_allclose(metrics.recall(counts), sklearn_metrics.recall_score(*flat, **options, **nan))
    np.testing.assert_allclose(metrics.dice(counts), sklearn_metrics.f1_score(*flat, **options, **nan))
    # jaccard_score has no NaN: 0/0 is 0 or 1 there.
    jaccard = sklearn_metrics.jaccard_score(*flat, **options, zero_division=0)
    np.testing.assert_allclose(np.nan_to_num(metrics.iou(counts)), jaccard)
    assert np.array_equal(np.isnan(metrics.iou(counts)), np.isnan(metrics.dice(counts)))


def _random_levels(seed: int, positives: float, decimals: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    reference = generator.random(3000) < positives
    probabilities = np.clip(generator.normal(0.35 + 0.3 * reference, 0.2), 0, 1).round(decimals)
    return metrics.quantise(probabilities), reference


@pytest.mark.parametrize("decimals", [1, 2, 9])
@pytest.mark.parametrize("positives", [0.02, 0.3, 0.9])
def test_ranking_scores_are_those_of_scikit_learn(positives: float, decimals: int) -> None:
    levels, reference = _random_levels(decimals, positives, decimals)
    histogram = metrics.level_histogram(levels, reference)
    scores = levels / 65535
    assert ranking.auc(histogram) == pytest.approx(sklearn_metrics.roc_auc_score(reference, scores), abs=1e-12)
    expected = sklearn_metrics.average_precision_score(reference, scores)
    assert ranking.average_precision(histogram) == pytest.approx(expected, abs=1e-12)
    expected = sklearn_metrics.brier_score_loss(reference, scores)
    assert ranking.brier_score(histogram) == pytest.approx(expected, abs=1e-12)


def test_levels_change_the_scores_of_plain_probabilities_by_nothing_that_shows() -> None:
    generator = np.random.default_rng(1)
    reference = generator.random(20000) < 0.1
    probabilities = 1 / (1 + np.exp(-generator.normal(3.0 * reference - 2.5, 1.2)))
    histogram = metrics.level_histogram(metrics.quantise(probabilities), reference)
    assert ranking.auc(histogram) == pytest.approx(sklearn_metrics.roc_auc_score(reference, probabilities), abs=1e-5)
    expected = sklearn_metrics.average_precision_score(reference, probabilities)
    assert ranking.average_precision(histogram) == pytest.approx(expected, abs=1e-4)
    merged = ranking.merge_levels(histogram)
    assert ranking.auc(merged) == pytest.approx(float(ranking.auc(histogram)), abs=1e-4)


def test_ranking_scores_of_one_class_only_are_nan_where_scikit_learn_warns() -> None:
    levels = metrics.quantise(np.array([0.2, 0.7]))
    nothing = metrics.level_histogram(levels, np.zeros(2, dtype=bool))
    assert np.isnan(ranking.auc(nothing))
    assert np.isnan(ranking.average_precision(nothing))
    with pytest.warns(UserWarning, match="No positive class"):
        assert sklearn_metrics.average_precision_score([0, 0], [0.2, 0.7]) == 0.0


def test_brier_score_of_several_classes_is_the_sum_over_one_against_the_rest() -> None:
    generator = np.random.default_rng(4)
    reference = generator.integers(0, 3, 500)
    probabilities = generator.dirichlet(np.ones(3), 500)
    levels = metrics.quantise(probabilities)
    ours = sum(ranking.brier_score(metrics.level_histogram(levels[:, c].copy(), reference == c)) for c in range(3))
    expected = ((probabilities - np.eye(3)[reference]) ** 2).sum(axis=1).mean()
    assert ours == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("decimals", [1, 9])
def test_calibration_error_is_that_of_torchmetrics(decimals: int) -> None:
    torch = pytest.importorskip("torch")
    classification = pytest.importorskip("torchmetrics.functional.classification")
    levels, reference = _random_levels(2, 0.3, decimals)
    # torchmetrics puts a probability of exactly 1 into a bin of its own, ours into the last one.
    levels = np.minimum(levels, 65534)
    # Off the edges of the bins, which torchmetrics places in 32 bits.
    levels = np.where(levels % 4369 == 0, levels + 1, levels).astype(np.uint16)
    expected = classification.binary_calibration_error(
        torch.from_numpy(levels / 65535).float(), torch.from_numpy(reference).long(), n_bins=15, norm="l1"
    )
    histogram = metrics.level_histogram(levels, reference)
    assert ranking.calibration_error(histogram) == pytest.approx(float(expected), abs=1e-5)


def _random_shapes(seed: int) -> tuple[np.ndarray, np.ndarray]:
    from scipy.ndimage import gaussian_filter

    generator = np.random.default_rng(seed)
    field = gaussian_filter(generator.random((60, 70)), 2 + seed % 3)
    other = gaussian_filter(generator.random((60, 70)), 2)
    field, other = field / field.std(), other / other.std()
    mixed = 0.9 * field + 0.25 * other
    limit = np.quantile(field, (0.5, 0.8, 0.95)[seed % 3])
    return field > limit, mixed > np.quantile(mixed, 0.85)


SHAPES = {
    **{f"shapes {seed}": _random_shapes(seed) for seed in range(9)},
    "noise": tuple(np.random.default_rng(0).random((2, 30, 40)) < 0.4),
    "sparse": tuple(np.random.default_rng(1).random((2, 60, 70)) < 0.003),
    "whole image": (np.ones((12, 9), bool), _random_shapes(0)[0][20:32, 20:29]),
    "same": (_random_shapes(2)[0], _random_shapes(2)[0]),
}
EMPTY = np.zeros((60, 70), dtype=bool)


def _one_hot(mask: np.ndarray) -> Any:
    import torch

    return torch.from_numpy(np.stack([~mask, mask])[np.newaxis].astype(np.float32))


@pytest.fixture(scope="module")
def monai() -> Any:
    pytest.importorskip("torch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("monai.metrics")


@by_old_names
@pytest.mark.parametrize("name", SHAPES)
def test_hd95_and_nsd_are_those_of_monai(name: str, monai: Any) -> None:
    reference, prediction = SHAPES[name]
    counts = borders.border_counts(reference, prediction, (1, 2))
    y_pred, y = _one_hot(prediction), _one_hot(reference)
    expected = monai.compute_hausdorff_distance(y_pred, y, percentile=95)
    assert counts.hd95_px == pytest.approx(float(expected), abs=1e-4)
    expected = [float(monai.compute_surface_dice(y_pred, y, [tolerance])) for tolerance in (1, 2)]
    assert borders.nsd(counts) == pytest.approx(expected, abs=1e-6)


@by_old_names
def test_a_region_is_monai_on_masks_cleared_outside_it(monai: Any) -> None:
    reference, prediction = SHAPES["shapes 4"]
    rows, columns = np.ogrid[:60, :70]
    region = (rows - 30) ** 2 + (columns - 35) ** 2 < 28**2
    counts = borders.border_counts(reference, prediction, (1,), region)
    y_pred, y = _one_hot(prediction & region), _one_hot(reference & region)
    expected = float(monai.compute_hausdorff_distance(y_pred, y, percentile=95))
    assert counts.hd95_px == pytest.approx(expected, abs=1e-4)
    assert borders.nsd(counts) == pytest.approx([float(monai.compute_surface_dice(y_pred, y, [1]))], abs=1e-6)


@pytest.mark.parametrize(
    ("reference", "prediction", "nsd", "hd95"),
    [
        # MONAI gives NSD NaN and 0 as we do. Its HD95 is infinite with one mask empty, 0 or NaN with both (it changed
        # between versions); ours is undefined in either case.
        (EMPTY, EMPTY, np.nan, (np.nan, 0.0)),
        (SHAPES["shapes 1"][0], EMPTY, 0.0, (np.inf, np.nan)),
        (EMPTY, SHAPES["shapes 1"][0], 0.0, (np.inf, np.nan)),
    ],
    ids=["both empty", "prediction empty", "reference empty"],
)
def test_empty_masks_beside_monai(
    reference: np.ndarray, prediction: np.ndarray, nsd: float, hd95: tuple[float, ...], monai: Any
) -> None:
    counts = borders.border_counts(reference, prediction, (1,))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        y_pred, y = _one_hot(prediction), _one_hot(reference)
        other_nsd = float(monai.compute_surface_dice(y_pred, y, [1]))
        other_hd95 = float(monai.compute_hausdorff_distance(y_pred, y, percentile=95))
    assert borders.nsd(counts) == pytest.approx([nsd], nan_ok=True)
    assert other_nsd == pytest.approx(nsd, nan_ok=True)
    assert np.isnan(counts.hd95_px)
    assert any(other_hd95 == pytest.approx(value, nan_ok=True) for value in hd95)


@by_old_names
@pytest.mark.parametrize("name", [f"shapes {seed}" for seed in range(9)])
def test_hd95_and_nsd_are_near_those_of_surface_distance(name: str) -> None:
    surface_distance = pytest.importorskip("surface_distance")
    reference, prediction = SHAPES[name]
    counts = borders.border_counts(reference, prediction, (1, 2))
    distances = surface_distance.compute_surface_distances(reference, prediction, (1, 1))
    # It measures between surface elements half a pixel off the pixels, weighs them by length and does not interpolate
    # the percentile: a distance that 95 % are within here 92 to 98 % are within there, give or take a pixel.
    low, high = (surface_distance.compute_robust_hausdorff(distances, percent) for percent in (92, 98))
    assert low - 1 <= counts.hd95_px <= high + 1
    for tolerance, score in zip((1, 2), borders.nsd(counts), strict=True):
        assert score == pytest.approx(
            surface_distance.compute_surface_dice_at_tolerance(distances, tolerance), abs=0.08
        )


@by_old_names
def test_empty_masks_beside_surface_distance() -> None:
    surface_distance = pytest.importorskip("surface_distance")
    distances = surface_distance.compute_surface_distances(SHAPES["shapes 1"][0], EMPTY, (1, 1))
    assert surface_distance.compute_surface_dice_at_tolerance(distances, 1) == 0.0
    assert surface_distance.compute_robust_hausdorff(distances, 95) == np.inf


@pytest.mark.parametrize("seed", range(4))
def test_cldice_is_the_published_formula(seed: int) -> None:
    morphology = pytest.importorskip("skimage.morphology")
    measure = pytest.importorskip("skimage.measure")
    reference, prediction = _random_shapes(seed)
    # Shit et al.'s clDice.py, written out.
    precision = (morphology.skeletonize(prediction) * reference).sum() / morphology.skeletonize(prediction).sum()
    sensitivity = (morphology.skeletonize(reference) * prediction).sum() / morphology.skeletonize(reference).sum()
    counts = threads.thread_counts(reference, prediction)
    assert threads.cldice(counts) == pytest.approx(2 * precision * sensitivity / (precision + sensitivity))
    assert counts.components_reference == measure.label(reference, connectivity=2).max()
    assert counts.components_prediction == measure.label(prediction, connectivity=2).max()


def test_the_interval_of_a_mean_is_that_of_scipy() -> None:
    stats = pytest.importorskip("scipy.stats")
    scores = np.random.default_rng(7).beta(8, 2, 40)
    expected = stats.bootstrap(
        (scores,), np.mean, n_resamples=20000, method="percentile", rng=np.random.default_rng(0)
    ).confidence_interval
    found = intervals.interval_of_mean(scores, [f"{index:02d}" for index in range(40)], resamples=20000)
    assert found == pytest.approx((expected.low, expected.high), abs=0.002)


def test_the_pooled_interval_is_that_of_resampled_images() -> None:
    generator = np.random.default_rng(8)
    confusions = np.stack([metrics.confusion_matrix(*_random_masks(seed, 2), 2) for seed in range(12)])
    resampled = [confusions[generator.integers(0, 12, 12)].sum(axis=0) for _ in range(5000)]
    expected = np.percentile([metrics.dice(metrics.counts_of(sums))[1] for sums in resampled], [2.5, 97.5])
    found = intervals.interval_of_pooled(
        confusions,
        [f"{index:02d}" for index in range(12)],
        lambda sums: metrics.dice(metrics.counts_of(sums))[:, 1],
        resamples=5000,
    )
    assert found == pytest.approx(tuple(expected), abs=0.01)


def test_wilcoxon_is_that_of_scipy() -> None:
    stats = pytest.importorskip("scipy.stats")
    generator = np.random.default_rng(2)
    a, b = generator.random((2, 20))
    result = intervals.paired_difference(a, b, [f"{index:02d}" for index in range(20)])
    assert result.p_value == pytest.approx(stats.wilcoxon(a, b).pvalue)
