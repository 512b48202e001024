from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ocuseg.metrics import ranking


@st.composite
def histograms(draw: st.DrawFn, levels: int = 24) -> np.ndarray:
    return draw(arrays(np.int64, (2, levels), elements=st.integers(0, 9)))


@given(histograms())
@settings(deadline=None)
def test_scores_are_shares(histogram: np.ndarray) -> None:
    for score in (ranking.auc, ranking.average_precision, ranking.calibration_error, ranking.brier_score):
        value = float(score(histogram))
        assert np.isnan(value) or -1e-12 <= value <= 1 + 1e-12


@given(histograms())
@settings(deadline=None)
def test_calling_the_other_class_positive_keeps_the_auc(histogram: np.ndarray) -> None:
    swapped = histogram[::-1, ::-1]
    assert ranking.auc(swapped) == pytest.approx(float(ranking.auc(histogram)), nan_ok=True)
    assert ranking.brier_score(swapped) == pytest.approx(float(ranking.brier_score(histogram)), nan_ok=True)
    assert ranking.auc(histogram[::-1]) == pytest.approx(1 - float(ranking.auc(histogram)), nan_ok=True)


@given(histograms())
@settings(deadline=None)
def test_auc_and_average_precision_see_only_the_order(histogram: np.ndarray) -> None:
    spread = np.zeros((2, 3 * histogram.shape[1]), dtype=np.int64)
    spread[:, 1::3] = histogram
    for score in (ranking.auc, ranking.average_precision):
        assert score(spread) == pytest.approx(float(score(histogram)), nan_ok=True)


@given(histograms(), st.integers(2, 50))
@settings(deadline=None)
def test_twice_the_pixels_give_the_same_scores(histogram: np.ndarray, times: int) -> None:
    for score in (ranking.auc, ranking.average_precision, ranking.calibration_error, ranking.brier_score):
        assert score(times * histogram) == pytest.approx(float(score(histogram)), nan_ok=True)


@given(histograms(), st.integers(1, 23))
@settings(deadline=None)
def test_one_bin_is_the_least_calibration_error(histogram: np.ndarray, bins: int) -> None:
    few, many = ranking.calibration_error(histogram, bins=1), ranking.calibration_error(histogram, bins=bins)
    assert np.isnan(few) or few <= many + 1e-12


@given(st.integers(0, 2**32 - 1), st.sampled_from([16, 64, 256]), st.floats(0.1, 8))
@settings(max_examples=60, deadline=None)
def test_merged_levels_keep_the_pixels_and_nearly_the_auc(seed: int, levels: int, skew: float) -> None:
    generator = np.random.default_rng(seed)
    shares = generator.random((2, 2, 2000)) ** skew
    shares[..., 0] *= 500
    histogram = generator.poisson(shares).astype(np.int64)
    merged = ranking.merge_levels(histogram, levels)
    assert merged.shape[-1] <= levels
    assert np.array_equal(merged.sum(axis=-1), histogram.sum(axis=-1))
    pooled, before = merged.sum(axis=0), histogram.sum(axis=0)
    assert abs(ranking.auc(pooled) - ranking.auc(before)) < 3 / levels
