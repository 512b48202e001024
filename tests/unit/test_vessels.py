from __future__ import annotations

import numpy as np
import pytest

from ocuseg.field_of_view import FieldOfView, find_field_of_view
from ocuseg.metrics import VESSEL_COLUMNS, vessel_measures
from ocuseg.phantom import draw_fundus


def measured(mask: np.ndarray, area: FieldOfView | None = None) -> dict[str, float]:
    return vessel_measures(lambda top, bottom: mask[top:bottom], area or FieldOfView(mask.shape, None))


def test_one_straight_vessel_worked_by_hand() -> None:
    """800 px long and 5 px wide, in a field of view of 1,000 x 1,000."""
    mask = np.zeros((1000, 1000), np.uint8)
    mask[500:505, 100:900] = 1
    found = measured(mask)
    assert tuple(found) == VESSEL_COLUMNS
    assert found["field_of_view_diameter_px"] == 1000
    assert found["vessel_density"] == 800 * 5 / 1e6
    assert found["skeleton_length_px"] == pytest.approx(800, abs=5)
    assert found["skeleton_density"] == round(found["skeleton_length_px"] / 1e6, 6)
    assert found["mean_width_px"] == round(800 * 5 / found["skeleton_length_px"], 6)
    assert found["mean_width_share"] == round(found["mean_width_px"] / 1000, 6)


def test_a_diagonal_is_measured_by_its_steps() -> None:
    mask = np.zeros((1000, 1000), np.uint8)
    steps = np.arange(100, 900)
    for aside in range(-2, 3):
        mask[steps, steps + aside] = 1
    assert measured(mask)["skeleton_length_px"] == pytest.approx(800, abs=5)


@pytest.mark.parametrize("times", [2, 3])
def test_a_larger_photograph_of_the_same_has_the_same_measures(times: int) -> None:
    small = draw_fundus(seed=4, size=700)
    area = find_field_of_view(lambda top, bottom: small.image[top:bottom], (700, 700))
    large = np.kron(small.mask, np.ones((times, times), np.uint8))
    enlarged = FieldOfView(large.shape, np.kron(area.rows(0, 700), np.ones((times, times), bool)))
    one, other = measured(small.mask, area), measured(large, enlarged)
    assert other["vessel_density"] == pytest.approx(one["vessel_density"], abs=2e-6)
    for share in ("skeleton_density", "mean_width_share"):
        assert other[share] == pytest.approx(one[share], rel=0.05)
    for length in ("field_of_view_diameter_px", "skeleton_length_px", "mean_width_px"):
        assert other[length] == pytest.approx(times * one[length], rel=0.05)


def test_only_the_field_of_view_counts() -> None:
    mask = np.ones((40, 60), np.uint8)
    seen = np.zeros((40, 60), bool)
    seen[10:30, 20:40] = True
    seen[10:20, 20:30] = False  # a corner is missing: 300 px are left
    mask[20:30] = 0
    found = measured(mask, FieldOfView((40, 60), seen))
    assert found["field_of_view_diameter_px"] == 20
    assert found["vessel_density"] == round(100 / 300, 6)
    assert found["mean_width_px"] * found["skeleton_length_px"] == pytest.approx(100, rel=1e-5)


def test_without_a_vessel_there_is_no_width() -> None:
    found = measured(np.zeros((30, 50), np.uint8))
    assert found == dict.fromkeys(VESSEL_COLUMNS, 0) | {
        "field_of_view_diameter_px": 50, "mean_width_px": None, "mean_width_share": None
    }  # fmt: skip


def test_other_classes_are_no_vessels() -> None:
    assert measured(np.full((30, 50), 2, np.uint8))["vessel_density"] == 0


def test_a_large_mask_is_read_by_few_rows() -> None:
    size, most = (6000, 4000), 0

    def read(top: int, bottom: int) -> np.ndarray:
        nonlocal most
        most = max(most, bottom - top)
        return np.ones((bottom - top, size[1]), np.uint8)

    assert vessel_measures(read, FieldOfView(size, None))["vessel_density"] == 1
    assert most < 1500
