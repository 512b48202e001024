from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from ocuseg.classes import default_classes
from ocuseg.errors import UsageError
from ocuseg.geometry import Preprocessing
from ocuseg.prediction import Predictor, decide
from ocuseg.prediction.pieces import without_small_pieces


def _map() -> np.ndarray:
    found = np.full((1, 12, 20), 0.1, np.float32)
    found[0, 2, 2:12] = 0.9  # a line of ten
    found[0, 5:7, 2:4] = 0.99  # a piece of four
    found[0, [8, 9, 10], [4, 5, 6]] = 0.7  # three that touch at corners
    return found


@pytest.mark.parametrize(("least", "left"), [(1, 17), (3, 17), (4, 14), (5, 10), (11, 0)])
def test_pieces_below_the_smallest_are_no_foreground(least: int, left: int) -> None:
    for threshold in (0.5, 0.6999, 0.11):
        found = without_small_pieces(_map(), threshold, least)
        assert np.count_nonzero(decide(found, threshold)) == left


def test_nothing_else_changes() -> None:
    before = _map()
    found = without_small_pieces(before, 0.5, 5)
    changed = found != before
    assert np.count_nonzero(changed) == 7
    assert (found[changed] < 0.5).all()
    assert (found[changed] > 0.4999).all()
    np.testing.assert_array_equal(before, _map())


def test_a_threshold_of_nothing_has_no_pieces() -> None:
    np.testing.assert_array_equal(without_small_pieces(_map(), 0.0, 9), _map())


def test_without_a_threshold_no_mask_at_any_has_such_a_piece() -> None:
    rough = gaussian_filter(np.random.default_rng(0).random((1, 60, 70)), (0, 2, 2))
    probabilities = ((rough - rough.min()) / np.ptp(rough)).astype(np.float32)
    found = without_small_pieces(probabilities, None, 12)
    for threshold in (0.45, 0.61, 0.75, 0.9):
        at_it = decide(without_small_pieces(probabilities, threshold, 12), threshold)
        assert np.count_nonzero(decide(probabilities, threshold) != at_it) > 0
        np.testing.assert_array_equal(decide(found, threshold), at_it)


def test_it_goes_by_the_threshold_that_the_predictor_has_and_by_the_working_size() -> None:
    image = np.zeros((40, 80, 3), np.uint8)
    image[10:12, 4:60] = 255  # 28 pixels at half the size
    image[30:32, 4:10] = 200  # 3 pixels
    place = Preprocessing(size=(20, 40), multiple=4)

    def bright(images: np.ndarray) -> np.ndarray:
        return images[:, :1] * 5

    predictor = Predictor(bright, classes=default_classes(2), preprocessing=place, smallest_piece_px=4)
    mask = predictor(image).mask
    assert mask[10:12].any()
    assert not mask[28:].any()
    predictor.smallest_piece_px = 3
    assert predictor(image).mask[28:].any()
    predictor.smallest_piece_px = 29
    assert not predictor(image).mask.any()


def test_many_classes_have_no_smallest_piece() -> None:
    with pytest.raises(UsageError, match="a smallest piece has no meaning for 3 classes; leave it out"):
        Predictor(lambda images: images, classes=default_classes(3), preprocessing=Preprocessing(), smallest_piece_px=4)
