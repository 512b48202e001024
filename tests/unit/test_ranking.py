from __future__ import annotations

import numpy as np
import pytest

from ocuseg.metrics import LEVELS, level_histogram, quantise, ranking


def _histogram(negatives: list[float], positives: list[float]) -> np.ndarray:
    levels = quantise(np.array(negatives + positives, dtype=np.float64))
    return level_histogram(levels, np.arange(len(levels)) >= len(negatives))


def test_auc_by_hand() -> None:
    # Of 3 x 2 pairs: .9 beats 3, .4 beats .1 and ties with .4.
    assert ranking.auc(_histogram([0.1, 0.4, 0.6], [0.4, 0.9])) == pytest.approx(4.5 / 6)
    assert ranking.auc(_histogram([0.1, 0.2], [0.3])) == 1.0
    assert ranking.auc(_histogram([0.3], [0.1, 0.2])) == 0.0
    assert ranking.auc(_histogram([0.3, 0.3], [0.3])) == 0.5


def test_average_precision_by_hand() -> None:
    # Down from the top: .9 (+) precision 1; .6 (-); the tie at .4 (+ and -) precision 2/4. Half of the recall each.
    assert ranking.average_precision(_histogram([0.1, 0.4, 0.6], [0.4, 0.9])) == pytest.approx(0.5 * 1 + 0.5 * 2 / 4)
    assert ranking.average_precision(_histogram([], [0.2, 0.9])) == 1.0


def test_calibration_error_by_hand() -> None:
    # Two bins: [0, .5) holds .2 and .4, one of two positive; [.5, 1] holds .8 and 1, both positive.
    histogram = _histogram([0.2], [0.4, 0.8, 1.0])
    assert ranking.calibration_error(histogram, bins=2) == pytest.approx((2 * 0.2 + 2 * 0.1) / 4, abs=1e-5)
    assert ranking.calibration_error(histogram, bins=1) == pytest.approx(0.75 - 0.6, abs=1e-5)
    assert ranking.calibration_error(_histogram([0.0], [1.0])) == 0.0
    assert ranking.calibration_error(_histogram([1.0], [0.0])) == 1.0


def test_a_level_on_the_edge_of_a_bin_belongs_to_the_upper_one() -> None:
    edge = _histogram([], [1 / 3]) + _histogram([0.3, 0.3], []) + _histogram([0.4], [])
    # 1/3 is in [1/3, 2/3) with .4: |1 - (1/3 + .4)| of 4 pixels, beside |0 - .6|.
    assert ranking.calibration_error(edge, bins=3) == pytest.approx((abs(1 - 1 / 3 - 0.4) + 0.6) / 4, abs=1e-5)


def test_brier_score_by_hand() -> None:
    assert ranking.brier_score(_histogram([0.2], [0.4, 1.0])) == pytest.approx((0.04 + 0.36) / 3, abs=1e-5)
    assert ranking.brier_score(_histogram([1.0], [0.0])) == 1.0


def test_undefined_is_nan() -> None:
    only_negative, only_positive = _histogram([0.2, 0.3], []), _histogram([], [0.2, 0.3])
    nothing = np.zeros((2, LEVELS), dtype=np.int64)
    assert np.isnan([ranking.auc(only_negative), ranking.auc(only_positive), ranking.auc(nothing)]).all()
    assert np.isnan([ranking.average_precision(only_negative), ranking.average_precision(nothing)]).all()
    assert np.isnan([ranking.calibration_error(nothing), ranking.brier_score(nothing)]).all()
    assert ranking.brier_score(only_negative) == pytest.approx((0.04 + 0.09) / 2, abs=1e-5)


@pytest.mark.parametrize(
    "score", [ranking.auc, ranking.average_precision, ranking.calibration_error, ranking.brier_score]
)
def test_scores_keep_leading_axes(score) -> None:
    histograms = np.stack([_histogram([0.1, 0.4, 0.6], [0.4, 0.9]), _histogram([0.3], [0.1, 0.2])])
    stacked = score(np.stack([histograms, histograms[::-1], histograms]))
    assert stacked.shape == (3, 2)
    assert stacked[1].tolist() == [float(score(histograms[1])), float(score(histograms[0]))]


def test_scores_stay_exact_on_more_pixels_than_32_bits_count() -> None:
    histogram = _histogram([0.1, 0.4, 0.6], [0.4, 0.9]) * 10**10
    assert ranking.auc(histogram) == pytest.approx(4.5 / 6)
    assert ranking.average_precision(histogram) == pytest.approx(0.75)


@pytest.mark.parametrize("bins", [0, LEVELS])
def test_impossible_bins_are_refused(bins: int) -> None:
    with pytest.raises(ValueError, match="give 1 to 65535"):
        ranking.calibration_error(np.zeros((2, LEVELS)), bins=bins)


def test_merged_levels_keep_the_pixels_and_the_order() -> None:
    histogram = np.zeros((2, 8), dtype=np.int64)
    histogram[0] = [1, 1, 1, 1, 0, 0, 40, 0]
    histogram[1] = [0, 0, 1, 1, 2, 0, 40, 2]
    merged = ranking.merge_levels(histogram, 8)
    # 90 pixels in 8 parts of 11.25; only the level that holds 80 of them stands alone.
    assert merged.tolist() == [[4, 40, 0], [4, 40, 2]]
    assert ranking.merge_levels(np.stack([histogram, histogram]), 8).shape == (2, 2, 3)


def test_merging_nothing_gives_nothing() -> None:
    assert not ranking.merge_levels(np.zeros((3, 2, LEVELS), dtype=np.int64)).any()


def test_a_bin_that_starts_between_two_levels_starts_at_the_upper_one() -> None:
    # .5 lies between the levels 32767 and 32768.
    histogram = np.zeros((2, LEVELS), dtype=np.int64)
    histogram[1, 32767] = histogram[0, 60000] = 1
    expected = ((1 - 32767 / 65535) + 60000 / 65535) / 2
    assert ranking.calibration_error(histogram, bins=2) == pytest.approx(expected)
