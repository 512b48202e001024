import numpy as np
import pytest

from ocuseg.evaluation.counting import count_levels, count_masks, is_thread_like, level_histograms


def test_two_classes_by_hand():
    reference = np.array([[1, 1, 0, 0]], dtype=np.uint8)
    prediction = np.array([[1, 0, 1, 0]], dtype=np.uint8)
    counts = count_masks(reference, prediction, 2, threads=True)
    assert counts.confusion.tolist() == [[1, 1], [1, 1]]
    assert counts.borders.shape == (1, 6)
    # Every pixel is border; (0, 1) of the reference is 1 px from the prediction, and so is (0, 2) from the reference.
    assert counts.borders[0].tolist() == [2, 2, 2, 2, 2, 2]
    assert counts.hd95_px[0] == pytest.approx(0.95)
    assert counts.threads[0].tolist()[4:] == [1, 2]


def test_what_was_not_asked_for_is_not_measured():
    mask = np.zeros((4, 4), dtype=np.uint8)
    counts = count_masks(mask, mask, 3, borders=False)
    assert counts.borders is None
    assert counts.hd95_px is None
    assert counts.threads is None
    assert counts.confusion.shape == (3, 3)


def test_the_region_bounds_everything():
    reference = np.array([[1, 1, 7, 7]], dtype=np.uint8)
    prediction = np.array([[1, 1, 1, 1]], dtype=np.uint8)
    counts = count_masks(reference, prediction, 2, np.array([[True, True, False, False]]), threads=True)
    assert counts.confusion.tolist() == [[0, 0], [0, 2]]
    assert counts.borders[0].tolist() == [2, 2, 2, 2, 2, 2]
    assert counts.hd95_px[0] == 0


def test_one_channel_is_that_of_class_1_and_its_own_confidence():
    probabilities = np.array([[[0.0, 1.0]]], dtype=np.float32)
    reference = np.array([[0, 1]], dtype=np.uint8)
    histograms, confidence = count_levels(probabilities, reference, reference)
    assert histograms[0, 0, 0] == 1
    assert histograms[0, 1, 65535] == 1
    assert np.array_equal(confidence, histograms[0])


def test_the_confidence_of_several_is_positive_where_the_top_class_is_right():
    probabilities = np.array([[[1.0, 0.0]], [[0.0, 1.0]], [[0.0, 0.0]]], dtype=np.float32)
    reference = np.array([[0, 2]], dtype=np.uint8)
    histograms, confidence = count_levels(probabilities, reference, np.array([[0, 1]], dtype=np.uint8))
    assert histograms.shape == (3, 2, 65536)
    assert confidence[:, 65535].tolist() == [1, 1]
    assert level_histograms(probabilities, reference)[2, 1, 0] == 1


def test_vessels_are_thread_like_and_spots_are_not():
    rows, columns = np.mgrid[:200, :200]
    lines = (rows % 40 < 3) | (columns % 50 < 3)
    spots = (rows % 40 - 20) ** 2 + (columns % 40 - 20) ** 2 < 100
    ellipse = ((rows - 100) / 10) ** 2 + ((columns - 100) / 95) ** 2 < 1
    assert is_thread_like(lines) is True
    assert is_thread_like(spots) is False
    assert is_thread_like(ellipse) is False
    assert is_thread_like(np.zeros((5, 5), dtype=bool)) is None
