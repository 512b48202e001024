"""Overlays: what is drawn where, and that everybody can tell the colours apart."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from ocuseg.classes import default_classes, parse_classes
from ocuseg.drawing import COMPARISON_COLOURS, comparison_legend, contours, draw_overlay

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

    def test_of_many_classes_errors_are_firm_and_the_reference_has_a_white_edge(self):
        classes = default_classes(3)
        mask, reference = np.zeros((2, 20, 20), np.uint8)
        mask[4:16, 4:16] = 1
        reference[4:16, 8:18] = 1
        mask[8:10, 10:12] = 2  # wrong, in the middle of the reference
        drawn = draw_overlay(GREY, mask, classes, reference=reference, alpha=0.25)
        right, wrong, other = drawn[13, 12], drawn[10, 5], drawn[9, 11]
        blend = [np.rint(100 * (1 - alpha) + classes.colours[1].astype(float) * alpha) for alpha in (0.25, 0.75)]
        np.testing.assert_array_equal(right, blend[0])
        np.testing.assert_array_equal(wrong, blend[1])
        np.testing.assert_array_equal(other, np.rint(25 + classes.colours[2] * 0.75))
        np.testing.assert_array_equal(drawn[10, 16], [100, 100, 100])  # missed: nothing inside the edge
        np.testing.assert_array_equal(drawn[10, 8], [255, 255, 255])
        np.testing.assert_array_equal(drawn[10, 17], [255, 255, 255])
        assert (drawn[10, :4] == 100).all()

    def test_of_many_classes_ignored_pixels_are_not_drawn(self):
        reference = np.full((20, 20), 255, np.uint8)
        classes = default_classes(3, ignore_index=255)
        assert (draw_overlay(GREY, square(), classes, reference=reference) == 100).all()

    def test_one_pixel_of_another_class_is_seen(self):
        classes = default_classes(3)
        mask = square()
        mask[10, 10] = 2
        drawn = draw_overlay(GREY, mask, classes)
        np.testing.assert_array_equal(drawn[10, 10], classes.colours[2])
        np.testing.assert_array_equal(drawn[10, 9], classes.colours[1])  # around it, the edge of the other

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

    @pytest.mark.parametrize("size", [(200, 200), (768, 1024)])
    def test_the_legend_has_the_classes_in_the_picture(self, size):
        classes = default_classes(13)
        mask = np.zeros(size, np.uint8)
        mask[-20:, -20:], mask[-40:-30, -20:] = 3, 7
        image = np.full((*size, 3), 100, np.uint8)
        drawn = draw_overlay(image, mask, classes)
        legend = (drawn != draw_overlay(image, mask, classes, legend=False)).any(axis=2)
        shown = {tuple(colour) for colour in drawn[legend].tolist()}
        held = [class_id for class_id in range(1, 8) if tuple(classes.colours[class_id].tolist()) in shown]
        assert held == [3, 7]
        assert 0.005 < legend.mean() < 0.2
        assert (drawn[legend] > 180).all(axis=1).sum() > 20  # letters

    def test_the_meaning_of_the_colours(self):
        assert comparison_legend(TWO) == COMPARISON_COLOURS
        many = comparison_legend(default_classes(3))
        assert list(many) == ["class_1", "class_2", "reference edge"]
        assert many["class_1"] == (0x56, 0xB4, 0xE9)

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


def seen_with(deficiency: str, colours) -> np.ndarray:
    """Lab of colours (N, 3) of 0 to 255, as people with a deficiency see them."""
    from skimage.color import rgb2lab

    srgb = np.array(colours) / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ np.asarray(DEFICIENCIES[deficiency]).T, 0, 1)
    return rgb2lab(np.where(seen <= 0.0031308, 12.92 * seen, 1.055 * seen ** (1 / 2.4) - 0.055)[None])[0]


@pytest.mark.parametrize("deficiency", DEFICIENCIES)
def test_the_comparison_colours_can_be_told_apart(deficiency):
    colours = seen_with(deficiency, [*COMPARISON_COLOURS.values(), (200, 100, 50)])  # the last is a fundus
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(colours, 2)) > 30


def test_the_colours_of_twelve_classes_can_be_told_apart():
    colours = seen_with("none", default_classes(13).colours)
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(colours, 2)) > 25
