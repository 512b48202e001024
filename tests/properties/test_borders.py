from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ocuseg.metrics import borders, threads

SHAPE = (12, 15)
MASKS = st.one_of(arrays(bool, SHAPE), st.integers(0, 2**32 - 1).map(lambda seed: _blobs(seed)))


def _blobs(seed: int) -> np.ndarray:
    generator = np.random.default_rng(seed)
    mask = np.zeros(SHAPE, dtype=bool)
    for _ in range(generator.integers(0, 4)):
        top, left = generator.integers(0, SHAPE[0] - 2), generator.integers(0, SHAPE[1] - 2)
        mask[top : top + generator.integers(1, 6), left : left + generator.integers(1, 8)] = True
    return mask


@given(MASKS, MASKS)
@settings(deadline=None)
def test_borders_are_symmetric_bounded_and_wider_tolerances_hold_more(first: np.ndarray, second: np.ndarray) -> None:
    forward = borders.border_counts(first, second, (0, 1, 2, 30))
    backward = borders.border_counts(second, first, (0, 1, 2, 30))
    scores = borders.nsd(forward)
    assert np.array_equal(scores, borders.nsd(backward), equal_nan=True)
    assert forward.hd95_px == pytest.approx(backward.hd95_px, nan_ok=True)
    assert forward.within_reference.tolist() == backward.within_prediction.tolist()
    if first.any() and second.any():
        assert (np.diff(scores) >= 0).all()
        assert scores[-1] == 1.0
        assert 0.0 <= forward.hd95_px <= np.hypot(*SHAPE)
    else:
        assert np.isnan(forward.hd95_px)
        assert np.array_equal(scores, np.full(4, 0.0 if first.any() or second.any() else np.nan), equal_nan=True)


@given(MASKS, MASKS, st.integers(0, 9), st.integers(0, 9))
@settings(deadline=None)
def test_where_the_masks_lie_in_the_image_does_not_matter(
    first: np.ndarray, second: np.ndarray, rows: int, columns: int
) -> None:
    before = borders.border_counts(first, second)
    after = borders.border_counts(*(np.pad(mask, ((rows, 3), (columns, 1))) for mask in (first, second)))
    assert before.to_array().tolist() == after.to_array().tolist()
    assert after.hd95_px == pytest.approx(before.hd95_px, nan_ok=True)


@given(MASKS, MASKS, arrays(bool, SHAPE))
@settings(deadline=None)
def test_a_region_is_the_same_as_clearing_the_masks_outside_it(
    first: np.ndarray, second: np.ndarray, region: np.ndarray
) -> None:
    masked = borders.border_counts(first, second, region=region)
    cleared = borders.border_counts(first & region, second & region)
    assert masked.to_array().tolist() == cleared.to_array().tolist()
    thin = threads.thread_counts(first, second, region).to_array().tolist()
    assert thin == threads.thread_counts(first & region, second & region).to_array().tolist()


@given(MASKS, MASKS)
@settings(deadline=None)
def test_cldice_is_symmetric_bounded_and_perfect_on_equal_masks(first: np.ndarray, second: np.ndarray) -> None:
    score = float(threads.cldice(threads.thread_counts(first, second)))
    assert score == pytest.approx(float(threads.cldice(threads.thread_counts(second, first))), nan_ok=True)
    if not first.any() and not second.any():
        assert np.isnan(score)
    else:
        assert 0.0 <= score <= 1.0
    if first.any():
        assert threads.cldice(threads.thread_counts(first, first)) == 1.0
