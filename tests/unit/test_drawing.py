"""Overlays: what is drawn where, and that everybody can tell the colours apart."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from ocuseg.classes import default_classes, parse_classes
from ocuseg.drawing import COMPARISON_COLOURS, contours, draw_overlay

TWO = parse_classes([{"id": 0, "name": "background"}, {"id": 1, "name": "vessel", "colour": "#00ff00"}])
GREY = np.full((20, 20, 3), 100, np.uint8)


def square(size: int = 20, top: int = 5, bottom: int = 15) -> np.ndarray:
    mask = np.zeros((size, size), np.uint8)
    mask[top:bottom, top:bottom] = 1
    return mask


class TestContours:
    def test_the_inner_ring_of_a_square(self):
        border = contours(square())
        assert border.sum() == 36
        assert border[5, 5]
        assert not border[4, 5]
        assert not border[6, 6]

    def test_wider(self):
        border = contours(square(), 2)
        assert border.sum() == 36 + 28
        assert contours(square(), 9).sum() == 100

    def test_between_classes_both_sides_are_border(self):
        mask = np.array([[1, 1, 2, 2]], np.uint8)
        np.testing.assert_array_equal(contours(mask), [[False, True, True, False]])

    def test_the_edge_of_the_picture_is_none(self):
        assert not contours(np.ones((4, 4), np.uint8)).any()
        assert not contours(np.zeros((4, 4), np.uint8), 3).any()


class TestDrawOverlay:
    def test_fill_is_light_and_contour_firm(self):
        drawn = draw_overlay(GREY, square(), TWO, alpha=0.25)
        np.testing.assert_array_equal(drawn[10, 10], [75, 139, 75])
        np.testing.assert_array_equal(drawn[5, 10], [0, 255, 0])
        np.testing.assert_array_equal(drawn[0, 0], [100, 100, 100])
        assert drawn.shape == GREY.shape
        assert drawn.dtype == np.uint8

    def test_the_image_is_left_alone(self):
        image = GREY.copy()
        draw_overlay(image, square(), TWO, region=np.zeros((20, 20), np.bool_))
        assert (image == 100).all()

    def test_a_one_pixel_vessel_is_drawn_whole(self):
        mask = np.zeros((20, 20), np.uint8)
        mask[7, 2:18] = 1
        drawn = draw_overlay(GREY, mask, TWO)
        assert (drawn[7, 2:18] == (0, 255, 0)).all()
        assert (np.delete(drawn, 7, axis=0) == 100).all()

    def test_agreed_missed_and_extra(self):
        mask, reference = np.zeros((2, 20, 20), np.uint8)
        mask[5, 5:10] = 1
        reference[5, 8:13] = 1
        drawn = draw_overlay(GREY, mask, TWO, reference=reference)
        assert (drawn[5, 5:8] == COMPARISON_COLOURS["extra"]).all()
        assert (drawn[5, 8:10] == COMPARISON_COLOURS["agreed"]).all()
        assert (drawn[5, 10:13] == COMPARISON_COLOURS["missed"]).all()

    def test_a_wrong_class_is_extra(self):
        mask, reference = np.zeros((2, 20, 20), np.uint8)
        mask[5, 5], reference[5, 5] = 1, 2
        drawn = draw_overlay(GREY, mask, default_classes(3), reference=reference)
        np.testing.assert_array_equal(drawn[5, 5], COMPARISON_COLOURS["extra"])

    def test_ignored_pixels_are_not_drawn(self):
        reference = np.full((20, 20), 255, np.uint8)
        classes = default_classes(2, ignore_index=255)
        assert (draw_overlay(GREY, square(), classes, reference=reference) == 100).all()
        assert (draw_overlay(GREY, reference, classes) == 100).all()

    def test_outside_the_region_it_is_dark_and_empty(self):
        region = np.zeros((20, 20), np.bool_)
        region[:, :10] = True
        drawn = draw_overlay(GREY, square(), TWO, region=region)
        assert (drawn[:, 10:] == 35).all()
        assert (drawn[5:15, 5] == (0, 255, 0)).all()

    def test_the_contour_widens_with_the_image(self):
        image = np.zeros((1800, 1800, 3), np.uint8)
        mask = np.zeros((1800, 1800), np.uint8)
        mask[500:1300, 500:1300] = 1
        drawn = draw_overlay(image, mask, TWO)
        assert (drawn[500:502, 900] == (0, 255, 0)).all()
        assert (drawn[502, 900] == (0, 76, 0)).all()

    def test_the_legend_avoids_the_marks(self):
        image = np.full((400, 400, 3), 100, np.uint8)
        mask = np.zeros((400, 400), np.uint8)
        mask[200:, :200] = 1
        with_legend = draw_overlay(image, mask, TWO)
        without = draw_overlay(image, mask, TWO, legend=False)
        changed = (with_legend != without).any(axis=2)
        assert changed.any()
        assert not changed[mask > 0].any()
        assert (with_legend[changed] == (0, 255, 0)).all(axis=1).any()

    @pytest.mark.parametrize("size", [(1, 1), (1, 300), (200, 3)])
    def test_odd_shapes(self, size):
        drawn = draw_overlay(np.zeros((*size, 3), np.uint8), np.ones(size, np.uint8), TWO)
        assert drawn.shape == (*size, 3)

    def test_sizes_must_agree(self):
        with pytest.raises(ValueError, match="pixels"):
            draw_overlay(GREY, np.zeros((19, 20), np.uint8), TWO)


# Machado, Oliveira & Fernandes 2009 (doi:10.1109/TVCG.2009.113), full severity, on linear RGB.
DEFICIENCIES = {
    "none": np.eye(3),
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


@pytest.mark.parametrize("deficiency", DEFICIENCIES)
def test_the_comparison_colours_can_be_told_apart(deficiency):
    from skimage.color import rgb2lab

    fundus = (200, 100, 50)
    srgb = np.array([*COMPARISON_COLOURS.values(), fundus]) / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ np.asarray(DEFICIENCIES[deficiency]).T, 0, 1)
    seen = np.where(seen <= 0.0031308, 12.92 * seen, 1.055 * seen ** (1 / 2.4) - 0.055)
    colours = rgb2lab(seen[None])[0]
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(colours, 2)) > 30
