from __future__ import annotations

import numpy as np
import pytest

from ocuseg.metrics import borders


def _mask(*rows: str) -> np.ndarray:
    return np.array([[pixel == "#" for pixel in row] for row in rows])


def _square(top: int, left: int, size: int = 5, shape: tuple[int, int] = (40, 40)) -> np.ndarray:
    mask = np.zeros(shape, dtype=bool)
    mask[top : top + size, left : left + size] = True
    return mask


def test_a_square_moved_by_one_pixel() -> None:
    # A border of 16 pixels each; the 8 in rows 3 and 7, columns 4 to 7 are shared, all others 1 px off.
    counts = borders.border_counts(_square(3, 3), _square(3, 4), tolerances_px=(0, 1))
    assert (counts.total_reference, counts.total_prediction) == (16, 16)
    assert counts.within_reference.tolist() == [8, 16]
    assert counts.within_prediction.tolist() == [8, 16]
    assert borders.nsd(counts).tolist() == [0.5, 1.0]
    assert counts.hd95_px == 1.0


def test_two_single_pixels_are_as_far_apart_as_pythagoras_says() -> None:
    counts = borders.border_counts(_square(2, 2, 1), _square(5, 6, 1), tolerances_px=(4.9, 5))
    assert counts.hd95_px == 5.0
    assert borders.nsd(counts).tolist() == [0.0, 1.0]


def test_hd95_is_the_larger_of_the_two_directed_percentiles() -> None:
    reference = np.zeros((30, 30), dtype=bool)
    reference[0, :10] = True
    prediction = reference.copy()
    prediction[20, 0] = True
    counts = borders.border_counts(reference, prediction)
    # From the reference all distances are 0; from the prediction ten are 0 and one is 20: the 95th percentile of
    # eleven values lies half-way between the last two.
    assert counts.hd95_px == pytest.approx(10.0)
    assert borders.nsd(counts).tolist() == pytest.approx([20 / 21, 20 / 21])


def test_the_border_is_what_has_a_four_neighbour_outside() -> None:
    ring = _mask(
        ".....",
        ".###.",
        ".###.",
        ".###.",
        ".....",
    )
    assert borders.border_counts(ring, ring).total_reference == 8
    plus = _mask(
        ".#.",
        "###",
        ".#.",
    )
    assert borders.border_counts(plus, plus).total_reference == 4


def test_the_edge_of_the_image_and_of_the_region_are_borders() -> None:
    full = np.ones((4, 5), dtype=bool)
    assert borders.border_counts(full, full).total_reference == 14
    region = np.zeros((9, 9), dtype=bool)
    region[2:7, 2:7] = True
    counts = borders.border_counts(np.ones((9, 9), dtype=bool), _square(2, 2, 5, (9, 9)), region=region)
    assert (counts.total_reference, counts.total_prediction) == (16, 16)
    assert borders.nsd(counts).tolist() == [1.0, 1.0]


def test_what_lies_outside_the_region_does_not_count() -> None:
    region = np.zeros((40, 40), dtype=np.uint8)
    region[:, :20] = 1
    inside, everything = _square(3, 3), _square(3, 3) | _square(20, 30)
    assert borders.border_counts(inside, everything).hd95_px > 5
    counts = borders.border_counts(inside, everything, region=region)
    assert counts.hd95_px == 0.0
    assert counts.total_prediction == 16


@pytest.mark.parametrize(
    ("reference", "prediction", "expected"),
    [
        (np.zeros((6, 6), bool), np.zeros((6, 6), bool), [np.nan, np.nan]),
        (_square(1, 1, 3, (6, 6)), np.zeros((6, 6), bool), [0.0, 0.0]),
        (np.zeros((6, 6), bool), _square(1, 1, 3, (6, 6)), [0.0, 0.0]),
    ],
    ids=["both empty", "prediction empty", "reference empty"],
)
def test_empty_masks(reference: np.ndarray, prediction: np.ndarray, expected: list[float]) -> None:
    counts = borders.border_counts(reference, prediction)
    assert np.isnan(counts.hd95_px)
    assert borders.nsd(counts) == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize("is_faster", [True, False])
def test_tree_and_distance_transform_agree(is_faster: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(5)
    reference, prediction = generator.random((2, 50, 60)) < 0.02
    expected = _slow_distances(reference, prediction)
    monkeypatch.setattr(borders, "_tree_is_faster", lambda *counts: is_faster)
    counts = borders.border_counts(reference, prediction, (1, 3, 5.5))
    assert counts.within_reference.tolist() == [int((expected <= limit).sum()) for limit in (1, 3, 5.5)]
    reverse = _slow_distances(prediction, reference)
    assert counts.hd95_px == pytest.approx(max(np.percentile(expected, 95), np.percentile(reverse, 95)))


def _slow_distances(origin: np.ndarray, target: np.ndarray) -> np.ndarray:
    from_points, to_points = np.argwhere(borders._border(origin)), np.argwhere(borders._border(target))
    return np.array([np.sqrt(((to_points - point) ** 2).sum(axis=1)).min() for point in from_points])


def test_counts_of_images_add_up_and_the_sum_has_no_hd95() -> None:
    first = borders.border_counts(_square(3, 3), _square(3, 4), (0, 1))
    second = borders.border_counts(_square(3, 3), np.zeros((40, 40), dtype=bool), (0, 1))
    pooled = borders.BorderCounts.from_array(first.to_array() + second.to_array())
    assert borders.nsd(pooled) == pytest.approx([16 / 48, 32 / 48])
    assert np.isnan(pooled.hd95_px)
    stacked = borders.BorderCounts.from_array(np.stack([first.to_array(), second.to_array()]))
    assert borders.nsd(stacked).tolist() == [[0.5, 1.0], [0.0, 0.0]]


def test_masks_of_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(3, 3\).*\(3, 4\)"):
        borders.border_counts(np.zeros((3, 3), bool), np.zeros((3, 4), bool))
    with pytest.raises(ValueError, match=r"\(H, W\)"):
        borders.border_counts(np.zeros((3, 3, 3), bool), np.zeros((3, 3, 3), bool))


def test_masks_are_left_as_they_were() -> None:
    reference, prediction = _square(3, 3), _square(3, 4)
    borders.border_counts(reference, prediction, region=np.zeros((40, 40), dtype=bool))
    assert np.array_equal(reference, _square(3, 3))
    assert np.array_equal(prediction, _square(3, 4))
