from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from ocuseg.resampling import resize, resize_rows, rows_needed

SIZES = [
    ((40, 60), (13, 17)),
    ((13, 17), (40, 60)),
    ((31, 20), (31, 7)),
    ((9, 9), (50, 9)),
    ((1, 5), (7, 3)),
    ((90, 8), (2, 8)),
    ((150, 33), (40, 60)),
]


def by_bands(picture: np.ndarray, size: tuple[int, int], step: int) -> np.ndarray:
    def read(top: int, bottom: int) -> np.ndarray:
        assert 0 <= top < bottom <= len(picture)
        return picture[top:bottom]

    bands = [
        resize_rows(read, picture.shape[:2], size, top, min(top + step, size[0])) for top in range(0, size[0], step)
    ]
    return np.concatenate(bands)


@pytest.mark.parametrize(("source", "target"), SIZES)
@pytest.mark.parametrize("step", [1, 5, 1000])
@pytest.mark.parametrize("kind", ["colour", "grey", "float"])
def test_bands_are_those_of_the_whole_picture_to_the_last_bit(source, target, step, kind, monkeypatch):
    rng = np.random.default_rng(source[0] + target[1])
    shape = (*source, 3) if kind == "colour" else source
    picture = rng.random(shape, np.float32) if kind == "float" else rng.integers(0, 256, shape, np.uint8)
    whole = resize(picture, target)
    assert np.array_equal(by_bands(picture, target, step), whole)
    monkeypatch.setattr("ocuseg.resampling._READ_PX", 1)
    monkeypatch.setattr("ocuseg.resampling._SUM_VALUES", 100)
    assert np.array_equal(by_bands(picture, target, step), whole)


def test_few_rows_are_read_at_once():
    asked = []

    def read(top: int, bottom: int) -> np.ndarray:
        asked.append(bottom - top)
        return np.zeros((bottom - top, 20_000, 3), np.uint8)

    assert resize_rows(read, (20_000, 20_000), (500, 500), 0, 20).shape == (20, 500, 3)
    assert max(asked) <= 210 + 80


def test_one_picture_by_hand():
    row = np.array([[0, 100]], np.float32)
    assert resize(row, (1, 4)).tolist() == [[0, 25, 75, 100]]
    assert resize(np.array([[[0, 0, 0]], [[200, 100, 50]]], np.uint8), (1, 1)).tolist() == [[[100, 50, 25]]]


@pytest.mark.parametrize(("source", "target"), [((60, 60), (21, 21)), ((30, 20), (75, 50))])
def test_where_both_sides_change_alike_it_is_what_pillow_does(source, target):
    picture = np.random.default_rng(0).integers(0, 256, (*source, 3), np.uint8)
    whole = Image.fromarray(picture).resize(target[::-1], Image.Resampling.BILINEAR)
    assert np.array_equal(resize(picture, target), np.asarray(whole))


@pytest.mark.parametrize(("source", "target"), [(13, 40), (40, 13), (9, 9)])
def test_no_row_is_read_that_is_not_needed(source, target):
    asked = []

    def read(top: int, bottom: int) -> np.ndarray:
        asked.extend((top, bottom))
        return np.zeros((bottom - top, 4), np.uint8)

    for top in range(target - 2):
        resize_rows(read, (source, 4), (target, 4), top, top + 2)
        assert (min(asked), max(asked)) == rows_needed(source, target, top, top + 2)
        asked.clear()
