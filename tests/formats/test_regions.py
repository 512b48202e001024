"""Which pixels a shape takes: by hand, against independent libraries, and for any outline along the edges of pixels."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ocuseg.formats.regions import Ellipse, Outline, cover, pack, rectangle, ring
from ocuseg.formats.tracing import trace

SIZE = (8, 10)


def covered(region: object, size: tuple[int, int] = SIZE) -> np.ndarray:
    pixels = np.zeros(size, bool)
    patch = cover(region, size)  # type: ignore[arg-type]
    if patch is not None:
        pixels[patch.rows, patch.columns] = patch.pixels
    return pixels


def polygon(*points: tuple[float, float], through: bool = False) -> Outline:
    return Outline(((ring(points),),), through)


def box(top: int, bottom: int, left: int, right: int) -> np.ndarray:
    pixels = np.zeros(SIZE, bool)
    pixels[top:bottom, left:right] = True
    return pixels


def test_an_outline_along_the_edges_of_pixels_takes_these_pixels() -> None:
    np.testing.assert_array_equal(covered(polygon((2, 1), (6, 1), (6, 4), (2, 4))), box(1, 4, 2, 6))


def test_a_pixel_belongs_where_its_centre_is_inside() -> None:
    np.testing.assert_array_equal(covered(polygon((2.4, 1.6), (5.6, 1.6), (5.6, 3.4), (2.4, 3.4))), box(2, 3, 2, 6))


def test_a_centre_on_the_outline_belongs_to_the_right_and_below_so_that_neighbours_share_none() -> None:
    left = covered(polygon((1.5, 1.5), (4.5, 1.5), (4.5, 5.5), (1.5, 5.5)))
    right = covered(polygon((4.5, 1.5), (8.5, 1.5), (8.5, 5.5), (4.5, 5.5)))
    np.testing.assert_array_equal(left, box(1, 5, 1, 4))
    np.testing.assert_array_equal(right, box(1, 5, 4, 8))


def test_vertices_that_are_pixels_take_these_pixels_with_them() -> None:
    square = polygon((2, 1), (5, 1), (5, 4), (2, 4), through=True)
    np.testing.assert_array_equal(covered(square), box(1, 5, 2, 6))
    np.testing.assert_array_equal(covered(polygon((2, 1), (5, 1), (5, 1), through=True)), box(1, 2, 2, 6))
    fractions = polygon((2.9, 1.2), (5.5, 1.9), (5.1, 4.7), (2.3, 4.4), through=True)
    np.testing.assert_array_equal(covered(fractions), box(1, 5, 2, 6))


def test_a_hole_of_such_a_tool_takes_its_pixels_away() -> None:
    outer, hole = ring([(1, 1), (7, 1), (7, 6), (1, 6)]), ring([(3, 3), (5, 3), (5, 4), (3, 4)])
    np.testing.assert_array_equal(covered(Outline(((outer, hole),), through=True)), box(1, 7, 1, 8) & ~box(3, 5, 3, 6))


def test_holes_and_several_parts() -> None:
    outer, hole = ring([(1, 1), (7, 1), (7, 7), (1, 7)]), ring([(3, 3), (5, 3), (5, 5), (3, 5)])
    other = ring([(4, 4), (9, 4), (9, 6), (4, 6)])  # a part over another's hole fills it
    expected = (box(1, 7, 1, 7) & ~box(3, 5, 3, 5)) | box(4, 6, 4, 9)
    np.testing.assert_array_equal(covered(Outline(((outer, hole), (other,)))), expected)


def test_an_outline_that_crosses_itself_counts_even_and_odd() -> None:
    bow_tie = covered(polygon((0, 0), (8, 8), (8, 0), (0, 8)))
    assert bow_tie[4, 1]
    assert bow_tie[4, 6]
    assert not bow_tie[1, 4]


def test_what_lies_beyond_the_image_is_cut_off() -> None:
    np.testing.assert_array_equal(covered(polygon((-50, -9), (4, -9), (4, 3), (-50, 3))), box(0, 3, 0, 4))
    assert cover(polygon((20, 1), (30, 1), (30, 5)), SIZE) is None
    assert cover(polygon((-5, 1), (-1, 1), (-1, 5)), SIZE) is None
    bitmap = pack(np.ones((4, 4), bool), left=8, top=-2)
    np.testing.assert_array_equal(covered(bitmap), box(0, 2, 8, 10))


def test_a_turned_rectangle_is_turned_clockwise() -> None:
    upright = rectangle(4, 1, 6, 7)
    np.testing.assert_array_equal(covered(rectangle(2, 3, 8, 5, 90)), covered(upright))
    corner = rectangle(4, 2, 7, 3, 90, pivot=(4, 2))  # the upper left corner stays, the rest goes down
    np.testing.assert_array_equal(covered(corner), box(2, 5, 3, 4))


def test_an_ellipse() -> None:
    lying = covered(Ellipse((5, 4), (4, 2)))
    assert lying[4, 1]
    assert lying[4, 8]
    assert not lying[1, 5]
    standing = covered(Ellipse((5, 4), (2, 4), 0.0))
    np.testing.assert_array_equal(covered(Ellipse((5, 4), (4, 2), math.pi / 2)), standing)
    assert abs(covered(Ellipse((50, 50), (40, 30), 0.3), (100, 100)).sum() - math.pi * 1200) < 40


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(-3, 13), st.floats(-3, 11)), min_size=3, max_size=8))
@example([(1, 2.111e-303), (0, 1), (0, 0), (1, 0)])
def test_shapely_finds_the_same_centres_inside(points: list[tuple[float, float]]) -> None:
    import shapely

    points = [(round(x, 9), round(y, 9)) for x, y in points]  # shapely divides by the squares of shorter edges, by 0
    simple = shapely.Polygon(points)
    if not simple.is_valid or simple.area < 1e-6:
        return
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]] + 0.5
    inside = shapely.contains_xy(simple, columns.ravel(), rows.ravel()).reshape(SIZE)
    distance = shapely.distance(simple.exterior, shapely.points(columns.ravel(), rows.ravel())).reshape(SIZE)
    sure = distance > 1e-9
    np.testing.assert_array_equal(covered(polygon(*points))[sure], inside[sure])


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_pycocotools_agrees_but_for_centres_next_to_the_outline() -> None:
    import shapely
    from pycocotools import mask as runs

    rng = np.random.default_rng(0)
    for _ in range(30):
        angles = np.sort(rng.uniform(0, 2 * np.pi, 9))
        points = 40 + rng.uniform(10, 35, (9, 1)) * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        theirs = runs.decode(runs.frPyObjects([points.ravel().tolist()], 80, 80))[..., 0].astype(bool)
        ours = covered(polygon(*points.tolist()), (80, 80))
        rows, columns = np.nonzero(theirs != ours)
        distance = shapely.distance(shapely.LinearRing(points), shapely.points(columns + 0.5, rows + 0.5))
        assert distance.max(initial=0) < 0.25  # pycocotools draws on a grid of five steps to a pixel


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 8), st.integers(1, 8), st.data())
def test_a_traced_mask_comes_back(height: int, width: int, data: st.DataObject) -> None:
    cells = data.draw(st.lists(st.booleans(), min_size=height * width, max_size=height * width))
    pixels = np.array(cells).reshape(height, width)
    found = np.zeros_like(pixels, dtype=int)
    for rings in trace(pixels):
        found += covered(Outline((tuple(one.astype(float) for one in rings),)), (height, width))
    np.testing.assert_array_equal(found, pixels.astype(int))  # and no pixel in two pieces


def test_pixels_that_touch_at_a_corner_are_two_pieces_and_pieces_come_from_the_top() -> None:
    pixels = np.array([[0, 0, 1], [1, 1, 0], [1, 0, 0]], bool)
    pieces = trace(pixels)
    assert [len(rings) for rings in pieces] == [1, 1]
    assert [rings[0].min(axis=0).tolist() for rings in pieces] == [[2, 0], [0, 1]]
    around = np.ones((3, 3), bool)
    around[1, 1] = False
    assert [len(rings) for rings in trace(around)] == [2]


@pytest.mark.parametrize("points", [[(math.nan, 1), (2, 3), (4, 5)], [(1e30, 0), (0, 1), (1, 1)], [(math.inf, 0)]])
def test_points_that_are_none_are_refused(points: list[tuple[float, float]]) -> None:
    with pytest.raises(ValueError, match="coordinates"):
        ring(points)


def test_very_many_long_edges_are_refused_before_memory_is_taken() -> None:
    zigzag = ring([(k % 7, 0 if k % 2 else 9000) for k in range(40_000)])
    with pytest.raises(ValueError, match="too many"):
        cover(Outline(((zigzag,),)), (9000, 10))
