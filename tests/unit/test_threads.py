from __future__ import annotations

import numpy as np
import pytest

from ocuseg.metrics import threads


def _lines(*rows: int, width: int = 1) -> np.ndarray:
    mask = np.zeros((40, 40), dtype=bool)
    for row in rows:
        mask[row : row + width, 5:35] = True
    return mask


NOTHING = np.zeros((40, 40), dtype=bool)


def test_one_of_two_vessels_is_missed() -> None:
    counts = threads.thread_counts(_lines(10, 20), _lines(10))
    assert counts.to_array().tolist() == [30, 30, 60, 30, 2, 1]
    # precision 1, sensitivity 1/2
    assert threads.cldice(counts) == pytest.approx(2 * 0.5 / 1.5)


def test_a_wider_vessel_is_as_good_as_its_centreline() -> None:
    # The skeleton of a bar runs along its middle row and ends in one of its corners.
    counts = threads.thread_counts(_lines(10, width=3), _lines(11))
    assert counts.skeleton_prediction_inside == counts.skeleton_prediction == 30
    assert counts.skeleton_reference - counts.skeleton_reference_inside <= 2
    assert threads.cldice(counts) > 0.96
    assert threads.cldice(threads.thread_counts(_lines(10, width=3), _lines(10))) < 0.1


def test_components_touch_at_corners() -> None:
    diagonal = np.eye(6, dtype=bool)
    gap = diagonal.copy()
    gap[3, 3] = False
    counts = threads.thread_counts(diagonal, gap)
    assert (counts.components_reference, counts.components_prediction) == (1, 2)


@pytest.mark.parametrize(
    ("reference", "prediction", "expected"),
    [
        (NOTHING, NOTHING, np.nan),
        (_lines(10), NOTHING, 0.0),
        (NOTHING, _lines(10), 0.0),
        (_lines(10), _lines(20), 0.0),
        (_lines(10), _lines(10), 1.0),
    ],
    ids=["both empty", "prediction empty", "reference empty", "apart", "same"],
)
def test_cldice_of_the_ends(reference: np.ndarray, prediction: np.ndarray, expected: float) -> None:
    score = threads.cldice(threads.thread_counts(reference, prediction))
    assert float(score) == pytest.approx(expected, nan_ok=True)


def test_a_small_blob_has_a_skeleton() -> None:
    for size in (1, 2, 3):
        blob = np.zeros((9, 9), dtype=bool)
        blob[4 : 4 + size, 4 : 4 + size] = True
        assert threads.thread_counts(blob, blob).skeleton_reference > 0


def test_only_the_region_counts() -> None:
    region = np.zeros((40, 40), dtype=np.uint8)
    region[:15] = 1
    counts = threads.thread_counts(_lines(10, 20), _lines(10), region)
    assert counts.to_array().tolist() == [30, 30, 30, 30, 1, 1]


def test_counts_of_images_add_up() -> None:
    arrays = [
        threads.thread_counts(reference, _lines(10)).to_array() for reference in (_lines(10, 20), NOTHING, _lines(10))
    ]
    pooled = threads.ThreadCounts.from_array(np.sum(arrays, axis=0))
    # precision 60/90, sensitivity 60/90
    assert threads.cldice(pooled) == pytest.approx(2 / 3)
    assert threads.cldice(threads.ThreadCounts.from_array(np.stack(arrays))) == pytest.approx([2 / 3, 0.0, 1.0])


def test_masks_of_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="shapes"):
        threads.thread_counts(NOTHING, NOTHING[:5])


def test_the_smallest_images_are_measured() -> None:
    for shape in ((1, 1), (1, 7), (7, 1), (2, 2)):
        counts = threads.thread_counts(np.ones(shape, dtype=bool), np.ones(shape, dtype=bool))
        assert threads.cldice(counts) == 1.0


def test_cldice_is_the_harmonic_mean_of_precision_and_sensitivity() -> None:
    # precision 5/10, sensitivity 30/40
    counts = threads.ThreadCounts.from_array(np.array([10, 5, 40, 30, 1, 1]))
    assert threads.cldice(counts) == pytest.approx(2 * 0.5 * 0.75 / (0.5 + 0.75))


def test_a_mask_of_pillow_whose_true_is_255_has_a_skeleton() -> None:
    mask = np.zeros((9, 30), np.uint8)
    mask[3:6, 2:28] = 255
    skeleton = threads.skeleton_of(mask.view(np.bool_))
    np.testing.assert_array_equal(skeleton, threads.skeleton_of(mask > 0))
    assert skeleton.view(np.uint8).max() == 1
