"""Whatever the sizes: undone is as before, tiles cover, image and mask move together."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ocuseg.geometry import Placement, Preprocessing, flips, pad_to_multiple, place
from ocuseg.prediction.tiling import tile_weights, tiles

sides = st.integers(1, 70)
sizes = st.tuples(sides, sides)


@st.composite
def placements(draw: st.DrawFn) -> Placement:
    height, width = draw(sizes)
    top, left = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
    bottom, right = draw(st.integers(top + 1, height)), draw(st.integers(left + 1, width))
    return Placement((height, width), (top, left, bottom, right), draw(sizes))


@given(placements(), st.integers(1, 4), st.floats(0, 1, width=32))
def test_a_constant_stays_constant(placement, channels, value):
    top, left, bottom, right = placement.box
    native = placement.undo(np.full((channels, *placement.working_size), value, np.float32))
    assert native.shape == (channels, *placement.original_size)
    np.testing.assert_allclose(native[:, top:bottom, left:right], value, atol=1e-6)
    outside = np.ones(placement.original_size, np.bool_)
    outside[top:bottom, left:right] = False
    assert (native[0][outside] == (channels > 1)).all()
    assert (native[1:, outside] == 0).all()


@given(placements(), st.integers(0, 2**32 - 1))
def test_undo_stays_within_the_values(placement, seed):
    top, left, bottom, right = placement.box
    values = np.random.default_rng(seed).random((1, *placement.working_size), dtype=np.float32)
    native = placement.undo(values)[:, top:bottom, left:right]
    assert native.min() >= values.min() - 1e-6
    assert native.max() <= values.max() + 1e-6


@given(placements(), st.integers(0, 255))
def test_a_uniform_image_stays_uniform(placement, value):
    working = placement.apply_image(np.full((*placement.original_size, 3), value, np.uint8))
    assert working.shape == (*placement.working_size, 3)
    assert (working == value).all()


@given(placements(), st.integers(0, 2**32 - 1))
def test_a_mask_gains_no_new_ids(placement, seed):
    top, left, bottom, right = placement.box
    mask = np.random.default_rng(seed).integers(0, 5, placement.original_size, dtype=np.uint8)
    working = placement.apply_mask(mask)
    assert working.shape == placement.working_size
    assert set(np.unique(working)) <= set(np.unique(mask[top:bottom, left:right]))


@given(sizes, st.integers(2, 6), st.integers(0, 2**32 - 1))
def test_a_mask_enlarged_a_whole_number_of_times_comes_back(size, times, seed):
    mask = np.random.default_rng(seed).integers(0, 5, size, dtype=np.uint8)
    large = (size[0] * times, size[1] * times)
    there = Placement(size, (0, 0, *size), large).apply_mask(mask)
    np.testing.assert_array_equal(Placement(large, (0, 0, *large), size).apply_mask(there), mask)


@given(sizes, st.integers(0, 2**32 - 1))
def test_the_middle_of_mass_does_not_move(size, seed):
    """A shift by part of a pixel, the usual mistake of a resize, would show here."""
    height, width = size[0] + 4, size[1] + 4
    random = np.random.default_rng(seed)
    values = np.zeros((1, height, width), np.float32)
    values[0, 2:-2, 2:-2] = random.random(size, dtype=np.float32) + 0.1
    native = Placement((3 * height, 3 * width), (0, 0, 3 * height, 3 * width), (height, width)).undo(values)
    for axis in (1, 2):
        before = np.average((np.arange(values.shape[axis]) + 0.5) * 3, weights=values.sum(axis=(0, 3 - axis)))
        after = np.average(np.arange(native.shape[axis]) + 0.5, weights=native.sum(axis=(0, 3 - axis)))
        np.testing.assert_allclose(after, before, rtol=1e-4)


@given(sizes, st.integers(1, 64))
def test_padding_is_undone(size, multiple):
    array = np.arange(2 * size[0] * size[1]).reshape(2, *size)
    padded, undo = pad_to_multiple(array, multiple)
    assert padded.shape[1] % multiple == padded.shape[2] % multiple == 0
    assert padded.shape[1] < size[0] + multiple
    assert padded.shape[2] < size[1] + multiple
    np.testing.assert_array_equal(undo(padded), array)


@given(sizes, st.integers(1, 40), st.data())
def test_tiles_cover_and_overlap(size, tile_px, data):
    overlap_px = data.draw(st.integers(0, tile_px - 1))
    covered = np.zeros(size, int)
    boxes = tiles(size, tile_px, overlap_px)
    for top, left, bottom, right in boxes:
        assert 0 <= top < bottom <= size[0]
        assert 0 <= left < right <= size[1]
        covered[top:bottom, left:right] += 1
    assert covered.min() >= 1
    assert len(set(boxes)) == len(boxes)
    assert len({(bottom - top, right - left) for top, left, bottom, right in boxes}) == 1
    for first, last in ((0, 2), (1, 3)):
        spans = sorted({(box[first], box[last]) for box in boxes})
        tile, side = spans[0][1], size[first]
        assert tile <= min(tile_px, side)
        # One pixel less, or one tile less, would not do.
        assert len(spans) == 1 or len(spans) * (tile - 1) - (len(spans) - 1) * overlap_px < side
        assert len(spans) == 1 or (len(spans) - 1) * tile_px - (len(spans) - 2) * overlap_px < side
        assert all(before[1] - after[0] >= overlap_px for before, after in itertools.pairwise(spans))


@given(sizes, st.integers(0, 2**32 - 1))
def test_weighted_tiles_add_up_to_the_picture(size, seed):
    values = np.random.default_rng(seed).random(size)
    total, weight = np.zeros(size), np.zeros(size)
    for top, left, bottom, right in tiles(size, 16, 5):
        part = tile_weights((bottom - top, right - left))
        total[top:bottom, left:right] += part * values[top:bottom, left:right]
        weight[top:bottom, left:right] += part
    np.testing.assert_allclose(total / weight, values, rtol=1e-5)


@given(st.sampled_from(flips), sizes)
def test_flips_are_undone(flip, size):
    array = np.arange(2 * size[0] * size[1]).reshape(2, *size)
    apply, undo = flip
    np.testing.assert_array_equal(undo(apply(array)), array)


@settings(max_examples=40)
@given(sizes, st.integers(0, 2**32 - 1), st.sampled_from(["none", "field_of_view"]), st.integers(1, 90))
def test_any_image_can_be_placed_and_undone(size, seed, crop, diameter):
    image = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    placement = place(image, Preprocessing(crop=crop, field_of_view_diameter_px=diameter))
    top, left, bottom, right = placement.box
    assert 0 <= top < bottom <= size[0]
    assert 0 <= left < right <= size[1]
    assert min(placement.working_size) >= 1
    assert placement.undo(np.zeros((1, *placement.working_size), np.float32)).shape == (1, *size)
