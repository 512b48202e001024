from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocuseg.metrics import intervals

SCORES = st.lists(st.one_of(st.floats(0, 1), st.just(float("nan"))), min_size=1, max_size=8)


@given(SCORES, st.randoms(use_true_random=False))
@settings(max_examples=50, deadline=None)
def test_intervals_hold_no_more_than_the_scores_and_do_not_depend_on_the_order(scores: list[float], random) -> None:
    groups = [f"eye {index // 2}" for index in range(len(scores))]
    interval = intervals.interval_of_mean(scores, groups, resamples=100)
    defined = [score for score in scores if not np.isnan(score)]
    if interval is not None:
        low, high = interval
        assert min(defined) - 1e-12 <= low <= high <= max(defined) + 1e-12
    pairs = list(zip(scores, groups, strict=True))
    random.shuffle(pairs)
    again = intervals.interval_of_mean(*zip(*pairs, strict=True), resamples=100)
    assert (interval is None) == (again is None)
    if interval is not None:
        assert again == pytest.approx(interval)


@given(st.lists(st.floats(0, 1), max_size=12))
@settings(deadline=None)
def test_holm_never_lowers_a_p_value_nor_changes_their_order(p_values: list[float]) -> None:
    adjusted = intervals.holm(p_values)
    order = np.argsort(p_values, kind="stable")
    assert (adjusted >= np.array(p_values)).all()
    assert (np.diff(adjusted[order]) >= 0).all()
    assert (adjusted <= 1).all()
    bonferroni = np.minimum(np.array(p_values) * len(p_values), 1.0)
    assert (adjusted <= bonferroni + 1e-12).all()


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=2, max_size=7))
@settings(max_examples=50, deadline=None)
def test_swapping_a_and_b_changes_the_sign_alone(pairs: list[tuple[float, float]]) -> None:
    a, b = np.array(pairs).T
    groups = [f"{index}" for index in range(len(pairs))]
    forward = intervals.paired_difference(a, b, groups, resamples=100)
    backward = intervals.paired_difference(b, a, groups, resamples=100)
    assert forward.mean == pytest.approx(-backward.mean)
    assert forward.p_value == pytest.approx(backward.p_value)
    assert forward.ci95 == pytest.approx((-backward.ci95[1], -backward.ci95[0]))
