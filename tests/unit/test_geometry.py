"""Cropping, resizing, padding, tiling and flipping, and that each is undone exactly."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest

from ocuseg.errors import UsageError
from ocuseg.geometry import (
    Placement,
    Preprocessing,
    flips,
    normalise,
    pad_to_multiple,
    place,
)
from ocuseg.prediction.tiling import tile_weights, tiles


def picture_of_a_disc(height: int = 120, width: int = 200, radius: float = 50) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width]
    inside = np.hypot(rows + 0.5 - height / 2, columns + 0.5 - width / 2) <= radius
    return np.where(inside[..., None], (180, 90, 40), (4, 4, 4)).astype(np.uint8)


def ramp(height: int, width: int) -> np.ndarray:
    """Linear in the position of the pixel centres on a picture that is 1 high and 1 wide."""
    y = (np.arange(height) + 0.5) / height
    x = (np.arange(width) + 0.5) / width
    return (0.1 + 0.3 * y[:, None] + 0.5 * x[None, :]).astype(np.float32)


class TestPreprocessing:
    def test_json_round_trip(self):
        for given in (
            Preprocessing(),
            Preprocessing("field_of_view", (256, 320), None, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6), 16),
            Preprocessing(field_of_view_diameter_px=1024, even_light=0.06, channel="green"),
        ):
            assert Preprocessing.from_json(json.loads(json.dumps(given.to_json()))) == given

    def test_left_out_keys_take_defaults(self):
        assert Preprocessing.from_json({"size": [8, 9]}) == Preprocessing(size=(8, 9))

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ({"size": [8, 8], "field_of_view_diameter_px": 9}, "both given"),
            ({"crop": "disc"}, "crop is 'disc'"),
            ({"size": [8]}, "height and width"),
            ({"size": [8, 0]}, "height and width"),
            ({"size": 8}, "lists of numbers"),
            ({"field_of_view_diameter_px": 0}, "pixel count"),
            ({"even_light": 0}, "share above 0"),
            ({"channel": "red"}, "'all' or 'green'"),
            ({"even_light": 1.5}, "share above 0"),
            ({"even_light": "a little"}, "share above 0"),
            ({"multiple": True}, "multiple is True"),
            ({"std": [1, 1, 0]}, "positive"),
            ({"mean": [1, 1]}, "three numbers"),
            ({"mean": ["a", "b", "c"]}, "lists of numbers"),
            ({"sise": [8, 8]}, "unknown key 'sise'"),
        ],
    )
    def test_what_cannot_be_meant(self, content, message):
        with pytest.raises(UsageError, match=message) as caught:
            Preprocessing.from_json(content)
        assert "\n" not in str(caught.value)


class TestPlace:
    def test_as_it_is(self):
        image = np.zeros((5, 7, 3), np.uint8)
        assert place(image, Preprocessing()) == Placement((5, 7), (0, 0, 5, 7), (5, 7))

    def test_exact_size(self):
        image = np.zeros((5, 7, 3), np.uint8)
        assert place(image, Preprocessing(size=(10, 3))).working_size == (10, 3)

    def test_crop_holds_the_field_of_view_with_a_narrow_margin(self):
        placement = place(picture_of_a_disc(), Preprocessing(crop="field_of_view"))
        top, left, bottom, right = placement.box
        assert 5 <= top <= 10
        assert 45 <= left <= 50
        assert 110 <= bottom <= 115
        assert 150 <= right <= 155
        assert placement.working_size == (bottom - top, right - left)

    @pytest.mark.parametrize(("height", "width", "radius", "sure_to_px"), [(120, 200, 50, 1), (960, 999, 460, 2)])
    def test_nothing_is_seen_beyond_the_rim_of_the_field_of_view(self, height, width, radius, sure_to_px):
        image = picture_of_a_disc(height, width, radius)
        placement = place(image, Preprocessing(crop="field_of_view"))
        native = placement.undo(np.ones((1, *placement.working_size), np.float32))[0]
        rows, columns = np.mgrid[:height, :width]
        away = np.hypot(rows + 0.5 - height / 2, columns + 0.5 - width / 2)
        assert (native[away <= radius - sure_to_px] == 1).all()
        assert (native[away > radius + 2.5 * sure_to_px] == 0).all()

    def test_field_of_view_diameter_without_crop(self):
        placement = place(picture_of_a_disc(), Preprocessing(field_of_view_diameter_px=50))
        assert placement.box == (0, 0, 120, 200)
        assert placement.working_size == (60, 100)

    def test_field_of_view_diameter_is_the_picture_where_there_is_no_surround(self):
        image = np.full((40, 80, 3), 90, np.uint8)
        assert place(image, Preprocessing("field_of_view", None, 160)).working_size == (80, 160)

    @pytest.mark.parametrize("size", [(1, 1), (1, 4000), (4000, 1), (3, 900), (17, 6000)])
    def test_odd_shapes(self, size):
        image = np.full((*size, 3), 77, np.uint8)
        for settings in (Preprocessing(), Preprocessing("field_of_view", None, 100), Preprocessing(size=(64, 48))):
            placement = place(image, settings)
            working = placement.apply_image(image)
            assert working.shape == (*placement.working_size, 3)
            assert (working == 77).all()
            native = placement.undo(np.full((1, *placement.working_size), 0.25, np.float32))
            assert native.shape == (1, *size)
            np.testing.assert_allclose(native, 0.25, atol=1e-7)


class TestPlacement:
    def test_same_size_is_exact(self):
        random = np.random.default_rng(0)
        image = random.integers(0, 256, (30, 40, 3), dtype=np.uint8)
        placement = Placement((30, 40), (3, 5, 20, 33), (17, 28))
        np.testing.assert_array_equal(placement.apply_image(image), image[3:20, 5:33])
        probabilities = random.random((1, 17, 28), dtype=np.float32)
        native = placement.undo(probabilities)
        np.testing.assert_array_equal(native[:, 3:20, 5:33], probabilities)
        assert native.sum() == pytest.approx(probabilities.sum(), rel=1e-5)

    def test_outside_the_box_is_background(self):
        placement = Placement((8, 8), (2, 2, 6, 6), (4, 4))
        assert placement.undo(np.ones((1, 4, 4), np.float32))[0, 0, 0] == 0
        native = placement.undo(np.full((3, 4, 4), 1 / 3, np.float32))
        np.testing.assert_array_equal(native[:, 0, 0], [1, 0, 0])
        np.testing.assert_allclose(native.sum(axis=0), 1, atol=1e-6)

    @pytest.mark.parametrize(("small", "large"), [((16, 20), (48, 60)), ((17, 23), (101, 97)), ((30, 41), (33, 77))])
    def test_a_ramp_enlarged_is_a_ramp(self, small, large):
        placement = Placement(large, (0, 0, *large), small)
        native = placement.undo(ramp(*small)[None])[0]
        # Up to half a small pixel from the edge there is no second neighbour: the value stays.
        rows, columns = (-(-large[k] // (2 * small[k])) for k in (0, 1))
        inner = (slice(rows, -rows), slice(columns, -columns))
        np.testing.assert_allclose(native[inner], ramp(*large)[inner], atol=1e-6)

    def test_enlarged_twice_by_hand(self):
        placement = Placement((1, 4), (0, 0, 1, 4), (1, 2))
        np.testing.assert_allclose(placement.undo(np.array([[[0.0, 1.0]]], np.float32)), [[[0, 0.25, 0.75, 1]]])

    def test_image_and_mask_stay_aligned(self):
        image = np.zeros((90, 90, 3), np.uint8)
        image[30:60, 15:75] = 255
        placement = Placement((90, 90), (0, 0, 90, 90), (30, 30))
        mask = placement.apply_mask((image[..., 0] > 0).astype(np.uint8))
        np.testing.assert_array_equal(mask > 0, placement.apply_image(image)[..., 0] > 127)
        assert mask.sum() == 10 * 20

    def test_reducing_averages(self):
        image = np.indices((64, 64)).sum(axis=0) % 2 * 255
        image = np.repeat(image[..., None], 3, axis=2).astype(np.uint8)
        reduced = Placement((64, 64), (0, 0, 64, 64), (16, 16)).apply_image(image)
        assert abs(reduced.astype(int) - 127).max() <= 2

    @pytest.mark.parametrize("diameter", [30, 200])
    @pytest.mark.parametrize("settings", [{}, {"channel": "green"}, {"channel": "green", "even_light": 0.1}])
    def test_rows_are_those_of_the_whole(self, settings, diameter):
        image = np.random.default_rng(0).integers(60, 256, (90, 110, 3), dtype=np.uint8)
        placement = place(image, Preprocessing("field_of_view", None, diameter, **settings))
        whole = placement.apply_image(image)
        top, bottom = diameter // 10, 2 * diameter // 3
        rows = placement.apply_rows(lambda start, stop: image[start:stop], top, bottom)
        np.testing.assert_array_equal(rows, whole[top:bottom])

    def test_mask_keeps_its_type_and_ids(self):
        mask = np.array([[0, 255], [3, 7]], np.uint8)
        enlarged = Placement((2, 2), (0, 0, 2, 2), (4, 6)).apply_mask(mask)
        np.testing.assert_array_equal(enlarged, np.repeat(np.repeat(mask, 2, 0), 3, 1))
        assert Placement((2, 2), (0, 0, 2, 2), (1, 1)).apply_mask(mask > 0).dtype == np.bool_

    def test_wrong_size_is_refused(self):
        placement = Placement((4, 4), (0, 0, 4, 4), (2, 2))
        with pytest.raises(ValueError, match="this placement is for"):
            placement.apply_image(np.zeros((5, 4, 3), np.uint8))
        with pytest.raises(ValueError, match="this placement is for"):
            placement.apply_mask(np.zeros((4, 5), np.uint8))
        with pytest.raises(ValueError, match="this placement is for"):
            placement.undo(np.zeros((1, 4, 4), np.float32))

    def test_eight_megapixels_are_fast(self):
        placement = Placement((2336, 3504), (0, 90, 2336, 3430), (732, 1045))
        probabilities = np.random.default_rng(0).random((1, 732, 1045), dtype=np.float32)
        seconds = []
        for _ in range(3):
            start = time.perf_counter()
            placement.undo(probabilities)
            seconds.append(time.perf_counter() - start)
        assert min(seconds) < 2


class TestNormalise:
    def test_by_hand(self):
        image = np.array([[[0, 255, 51]]], np.uint8)
        settings = Preprocessing(mean=(0.5, 0.5, 0.1), std=(0.5, 0.25, 0.1))
        normalised = normalise(image, settings)
        np.testing.assert_allclose(normalised, np.array([-1, 2, 1]).reshape(3, 1, 1), atol=1e-6)
        assert normalised.dtype == np.float32
        assert normalised.flags.c_contiguous


class TestPadToMultiple:
    def test_mirrors_at_the_bottom_and_the_right(self):
        padded, undo = pad_to_multiple(np.array([[1, 2, 3], [4, 5, 6]]), 4)
        np.testing.assert_array_equal(padded, [[1, 2, 3, 2], [4, 5, 6, 5], [1, 2, 3, 2], [4, 5, 6, 5]])
        np.testing.assert_array_equal(undo(padded), [[1, 2, 3], [4, 5, 6]])

    def test_one_pixel(self):
        padded, undo = pad_to_multiple(np.full((3, 1, 1), 7.0), 32)
        assert padded.shape == (3, 32, 32)
        assert (padded == 7).all()
        assert undo(padded).shape == (3, 1, 1)

    def test_undo_takes_other_channels(self):
        _, undo = pad_to_multiple(np.zeros((3, 5, 6)), 8)
        assert undo(np.zeros((2, 4, 8, 8))).shape == (2, 4, 5, 6)

    def test_nothing_to_do(self):
        array = np.zeros((3, 8, 16))
        assert pad_to_multiple(array, 8)[0] is array


class TestTiles:
    def test_by_hand(self):
        assert tiles((4, 10), 4, 1) == [(0, 0, 4, 4), (0, 3, 4, 7), (0, 6, 4, 10)]

    def test_small_picture_is_one_tile(self):
        assert tiles((5, 7), 8, 2) == [(0, 0, 5, 7)]

    def test_overlap_must_be_less_than_the_tile(self):
        with pytest.raises(UsageError, match="less than the tile"):
            tiles((9, 9), 4, 4)

    def test_weights_fade_out_and_stay_positive(self):
        weights = tile_weights((64, 33))
        assert weights.shape == (64, 33)
        assert weights.min() > 0
        assert weights[31, 16] > 0.99
        assert weights[0, 16] < 0.01
        np.testing.assert_array_equal(weights, weights[::-1, ::-1])
        assert tile_weights((1, 1))[0, 0] == 1


def test_flips_are_four_and_different():
    array = np.arange(12).reshape(1, 3, 4)
    flipped = [apply(array).tobytes() for apply, _ in flips]
    assert len(set(flipped)) == 4
    np.testing.assert_array_equal(flips[1][0](array)[0, 0], [3, 2, 1, 0])
    np.testing.assert_array_equal(flips[2][0](array)[0, 0], [8, 9, 10, 11])


def test_the_dark_surround_is_background_whatever_the_network_says() -> None:
    rows, columns = np.mgrid[:200, :240]
    inside = (rows - 100) ** 2 + (columns - 120) ** 2 < 80**2
    image = np.where(inside[..., None], np.uint8([180, 90, 40]), np.uint8(3)).astype(np.uint8)
    placement = place(image, Preprocessing(crop="field_of_view", size=(64, 64)))

    vessel = placement.undo(np.ones((1, 64, 64), np.float32))[0]
    classes = placement.undo(np.stack([np.zeros((64, 64)), np.ones((64, 64))]).astype(np.float32))

    assert (vessel[inside] == 1).all()
    far = (rows - 100) ** 2 + (columns - 120) ** 2 > 84**2 * 1.05
    assert (vessel[far] == 0).all()
    assert (classes[0][far] == 1).all()
    assert (classes[1][far] == 0).all()
    whole = place(image, Preprocessing(size=(64, 64)))
    assert (whole.undo(np.ones((1, 64, 64), np.float32)) == 1).all()
