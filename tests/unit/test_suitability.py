"""The rule that flags pictures that a model was not made for, on drawn images and arrays."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ocuseg.field_of_view import FieldOfView, find_field_of_view
from ocuseg.phantom import draw_eye, draw_fundus
from ocuseg.suitability import FEATURES, MadeFor, count_foreground, differences, features, learn_features

LEVELS = np.array([1200, 1000, 800])


def features_of(image: np.ndarray, levels: np.ndarray | None = None) -> dict[str, float]:
    area = find_field_of_view(lambda top, bottom: image[top:bottom], image.shape[:2])
    counted = np.array([0.12, 0.1, 0.08]) * image[..., 0].size if levels is None else levels
    return features(lambda top, bottom: image[top:bottom], area, counted)


def plain(red: int, green: int, blue: int, size: tuple[int, int] = (200, 300)) -> np.ndarray:
    return np.broadcast_to(np.array([red, green, blue], np.uint8), (*size, 3))


@pytest.fixture(scope="module")
def made_for_fundus() -> MadeFor:
    return learn_features(features_of(draw_fundus(seed, 256).image) for seed in range(8))


def test_the_features_of_a_plain_picture_worked_by_hand() -> None:
    found = features_of(plain(204, 102, 51), np.array([6000, 3000, 1500]))
    assert list(found) == list(FEATURES)
    assert found["brightness"] == pytest.approx(math.log(357 / 3 / 255 + 0.02))
    assert found["red"] == pytest.approx(math.log(0.81 / 0.41))
    assert found["blue"] == pytest.approx(math.log(0.21 / 0.41))
    assert found["saturation"] == pytest.approx(0.75)
    assert found["variety"] == pytest.approx(math.log(0.01))
    assert found["structure"] == pytest.approx(math.log(0.005))
    assert found["fineness"] == pytest.approx(0)
    assert found["centre"] == pytest.approx(0)
    assert found["foreground"] == pytest.approx(math.log(3000 / 60000 + 0.003))
    assert found["sharpness"] == 0.25


def test_stripes_are_structure_or_fine_by_their_width() -> None:
    def stripes(period_px: int) -> dict[str, float]:
        image = np.zeros((128, 128, 3), np.uint8)
        image[:] = (100 + 50 * np.sin(2 * np.pi * np.arange(128) / period_px))[None, :, None]
        return features(
            lambda top, bottom: image[top:bottom], FieldOfView((128, 128), None), LEVELS
        )  # fmt: skip

    assert stripes(20)["structure"] > stripes(100)["structure"] + 0.5
    assert stripes(3)["fineness"] > 1
    assert stripes(20)["fineness"] < -1


def test_a_bright_disc_in_the_centre() -> None:
    image = plain(50, 50, 50, (200, 200)).copy()
    image[60:140, 60:140] = 200
    assert features_of(image)["centre"] > 1
    assert features_of(255 - image)["centre"] < -0.8


def test_the_dark_around_a_field_of_view_does_not_count() -> None:
    drawn = draw_fundus(2, 256).image
    wide = np.pad(drawn, ((40, 40), (120, 120), (0, 0)), mode="edge")
    levels = np.array([0.12, 0.1, 0.08]) * drawn[..., 0].size
    one, other = features_of(drawn, levels), features_of(wide, levels)
    assert all(abs(one[name] - other[name]) < 0.1 for name in FEATURES)


def test_levels_are_counted_and_of_many_classes_all_but_the_first_are_foreground() -> None:
    two = np.array([[[0.1, 0.25, 0.5, 0.75, 0.9]]], np.float32)
    assert count_foreground(two).tolist() == [4, 3, 2]
    many = np.array([[[0.9, 0.3]], [[0.05, 0.3]], [[0.05, 0.4]]], np.float32)
    assert count_foreground(many).tolist() == [1, 1, 0]


def test_sharpness_of_nothing_is_left_out() -> None:
    found = features_of(plain(10, 20, 30), np.zeros(3, np.int64))
    assert "sharpness" not in found
    assert not differences(found, [{"sharpness": 0.6}])


def test_features_are_kept_rounded_and_once() -> None:
    assert learn_features([{"red": -1.00049, "odd": 3.0}, {"red": -1.0}, {"red": -1.0, "blue": 0.12351}, {}]) == [
        {"red": -1.0},
        {"red": -1.0, "blue": 0.124},
    ]


def test_a_picture_has_to_be_like_one_of_them_not_like_their_mixture() -> None:
    made_for = [{"red": 0.0, "blue": 0.0}, {"red": 2.0, "blue": 5.0}]
    assert differences({"red": 0.6, "blue": 1.8}, made_for) == ()
    assert differences({"red": 1.4, "blue": 3.2}, made_for) == ()
    assert differences({"red": 0.0, "blue": 5.0}, made_for) == ("bluer",)
    assert differences({"red": 2.0, "blue": 1.0}, made_for) == ("less blue",)


def test_differences_are_in_words_the_farthest_off_first_and_from_the_nearest() -> None:
    made_for = [{"brightness": 3.0, "red": 0.5}, {"brightness": -1.0, "red": 0.5, "unknown": 0.0}]
    found = {"brightness": -2.0, "red": 1.9, "blue": 9.0, "unknown": 7.0}
    assert differences(found, made_for) == ("redder", "darker")
    assert differences({"brightness": -1.9, "red": 1.11}, made_for) == ()
    assert differences(found, []) == ()


def test_other_drawings_of_the_same_kind_pass(made_for_fundus) -> None:
    for seed in range(20, 32):
        assert differences(features_of(draw_fundus(seed, 200).image), made_for_fundus) == ()


def test_drawn_eyes_are_flagged_by_the_rule_of_the_fundus_and_the_other_way_round(made_for_fundus) -> None:
    eyes = [features_of(draw_eye(seed, 256).image) for seed in range(8)]
    assert all(differences(eye, made_for_fundus) for eye in eyes)
    made_for_eyes = learn_features(eyes)
    assert all(differences(features_of(draw_fundus(seed, 256).image), made_for_eyes) for seed in range(8))


def test_frames_that_show_nothing_are_flagged(made_for_fundus) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    for frame in (plain(0, 0, 0), plain(255, 255, 255), plain(160, 90, 40), noise):
        assert differences(features_of(frame), made_for_fundus)
    assert "darker" in differences(features_of(plain(0, 0, 0)), made_for_fundus)
    assert "paler" in differences(features_of(plain(255, 255, 255)), made_for_fundus)


@pytest.mark.parametrize("name", ["chelsea", "astronaut", "coffee", "page"])
def test_photographs_of_other_things_are_flagged(made_for_fundus, name: str) -> None:
    data = pytest.importorskip("skimage.data")
    image = getattr(data, name)()
    colour = image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2)
    assert differences(features_of(colour), made_for_fundus)


def test_little_or_unsure_foreground_is_flagged(made_for_fundus) -> None:
    image = draw_fundus(1, 256).image
    pixels = image[..., 0].size
    assert differences(features_of(image, pixels * np.array([0.03, 0.02, 0.016])), made_for_fundus) == ("less found",)
    assert differences(features_of(image, pixels * np.array([0.2, 0.1, 0.02])), made_for_fundus) == ("less certain",)


def test_a_picture_of_one_pixel_has_features() -> None:
    assert all(map(math.isfinite, features_of(plain(1, 2, 3, (1, 1)), np.zeros(3, np.int64)).values()))
