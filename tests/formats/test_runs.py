"""Run lengths against pycocotools, and those that lie about their size."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from formats.annotation_files import pack_brush
from ocuseg.formats.runs import coco_counts, pixels_of_runs, runs_of_pixels, unpack_words


@st.composite
def masks(draw: st.DrawFn) -> np.ndarray:
    height, width = draw(st.integers(1, 12)), draw(st.integers(1, 12))
    cells = draw(st.lists(st.booleans(), min_size=height * width, max_size=height * width))
    return np.array(cells).reshape(height, width)


@settings(max_examples=100, deadline=None)
@given(masks())
def test_what_pycocotools_packs_is_read(mask: np.ndarray) -> None:
    from pycocotools import mask as runs

    counts = runs.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode()
    np.testing.assert_array_equal(pixels_of_runs(coco_counts(counts), mask.shape, by_columns=True), mask)  # type: ignore[arg-type]


def test_long_runs_of_pycocotools_are_read() -> None:
    from pycocotools import mask as runs

    mask = np.zeros((700, 900), np.uint8, order="F")
    mask[3:650, 100:800:3] = 1
    counts = runs.encode(mask)["counts"].decode()
    np.testing.assert_array_equal(pixels_of_runs(coco_counts(counts), (700, 900), by_columns=True), mask)


@settings(max_examples=100, deadline=None)
@given(masks())
def test_runs_row_by_row_come_back(mask: np.ndarray) -> None:
    runs = runs_of_pixels(mask)
    assert sum(runs) == mask.size
    np.testing.assert_array_equal(pixels_of_runs(runs, mask.shape, by_columns=False), mask)  # type: ignore[arg-type]


@settings(max_examples=60, deadline=None)
@given(masks())
def test_a_brush_comes_back(mask: np.ndarray) -> None:
    words = np.frombuffer(unpack_words(pack_brush(mask), 4 * mask.size), np.uint8)
    np.testing.assert_array_equal(words[3::4].reshape(mask.shape) > 0, mask)


@pytest.mark.parametrize(
    ("counts", "size"),
    [
        ([5, 5], (3, 3)),
        ([1, -1, 9], (3, 3)),
        ([2**62, 2**62], (3, 3)),
        ([1.5, 7.5], (3, 3)),
        ([9], (10**6, 10**6)),
        ([1], (0, 5)),
        ([[1], [8]], (3, 3)),
        (["9"], (3, 3)),
        ([4], (3, 3)),  # only a last run of what is not set may be missing
    ],
)
def test_runs_that_do_not_fit_are_refused(counts: list[object], size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="run"):
        pixels_of_runs(counts, size, by_columns=True)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["P", "~~", "PPPPPPPPPPPPPPPPPP0", "0é", "0 0"])
def test_damaged_compressed_runs_are_refused(text: str) -> None:
    with pytest.raises(ValueError):
        pixels_of_runs(coco_counts(text), (3, 3), by_columns=True)


@pytest.mark.parametrize("data", [[], [255] * 8, [0, 0, 0, 36, 57, 8, 0, 1]])
def test_a_damaged_brush_is_refused(data: list[int]) -> None:
    with pytest.raises(ValueError, match="runs"):
        unpack_words(data, 36)


def test_a_brush_that_breaks_off_is_refused() -> None:
    packed = pack_brush(np.eye(6, dtype=bool))
    with pytest.raises(ValueError, match="break off"):
        unpack_words(packed[: len(packed) // 2], 144)
