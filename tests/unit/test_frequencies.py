from __future__ import annotations

import math

import numpy as np
import pytest

from ocuseg.errors import UsageError
from ocuseg.training.frequencies import class_weights, repeat_factors


def test_inverse_class_weights_by_hand() -> None:
    assert class_weights([90, 10], "inverse") == pytest.approx((100 / 180, 100 / 20))
    # A class that does not occur is left out of the count of classes, and weighs 1.
    assert class_weights([60, 20, 0, 20], "inverse") == pytest.approx((100 / 180, 100 / 60, 1, 100 / 60))


def test_median_frequency_class_weights_by_hand() -> None:
    assert class_weights([60, 30, 10], "median_frequency") == pytest.approx((0.5, 1.0, 3.0))
    # Class 2 lies in the second image only: frequencies 100/200, 80/200, 20/100; the median is 0.4.
    assert class_weights([[60, 40, 0], [40, 40, 20]], "median_frequency") == pytest.approx((0.8, 1.0, 2.0))


def test_class_weights_of_nothing() -> None:
    assert class_weights([90, 10], "none") is None
    assert class_weights([0, 0], "inverse") == (1.0, 1.0)
    with pytest.raises(UsageError, match="did you mean 'inverse'"):
        class_weights([1, 1], "invers")  # type: ignore[arg-type]


def test_repeat_factors_by_hand() -> None:
    # Class 0 in all of 8 images, class 1 in 2 (r = sqrt(0.5 / 0.25)), class 2 in 1 (r = sqrt(0.5 / 0.125) = 2).
    holds = np.zeros((8, 3), bool)
    holds[:, 0] = True
    holds[1:3, 1] = True
    holds[2, 2] = True
    expected = [1, math.sqrt(2), 2, 1, 1, 1, 1, 1]  # the image with both takes the larger
    assert repeat_factors(holds, 0.5) == pytest.approx(expected)
    assert repeat_factors(holds, 0.25) == pytest.approx([1, 1, math.sqrt(2), 1, 1, 1, 1, 1])
    assert repeat_factors(holds, 0.1).tolist() == [1] * 8


def test_repeat_factors_of_nothing() -> None:
    assert repeat_factors(np.zeros((3, 2), bool), 1.0).tolist() == [1, 1, 1]  # images where nothing counts
