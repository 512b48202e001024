"""The field of view is found on drawn and real photographs, and only where there is one."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from ocuseg.field_of_view import _filled, _median_of_nine, bounding_box, estimate_field_of_view

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"


def disc(height: int, width: int, radius: float) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width]
    return np.hypot(rows + 0.5 - height / 2, columns + 0.5 - width / 2) <= radius


def agreement(found: np.ndarray, true: np.ndarray) -> float:
    return 2 * float((found & true).sum()) / float(found.sum() + true.sum())


def paint(inside: np.ndarray, colour: tuple[int, int, int] = (150, 80, 40), surround: int = 6) -> np.ndarray:
    return np.where(inside[..., None], colour, surround).astype(np.uint8)


@pytest.mark.parametrize("size", [(64, 64), (300, 500), (1000, 1001), (1301, 700)])
def test_a_disc_is_found(size):
    inside = disc(*size, 0.45 * min(size))
    assert agreement(estimate_field_of_view(paint(inside)), inside) > 0.99


def test_a_dim_noisy_photograph():
    inside = disc(400, 400, 180)
    noise = np.random.default_rng(0).normal(0, 5, (400, 400, 3))
    image = np.clip(paint(inside, (60, 30, 15)) + noise, 0, 255).astype(np.uint8)
    assert agreement(estimate_field_of_view(image), inside) > 0.98


def test_dark_parts_inside_and_a_label_outside():
    inside = disc(400, 400, 180)
    image = paint(inside)
    image[190:230, 100:160] = 3
    image[5:25, 5:60] = 255
    assert agreement(estimate_field_of_view(image), inside) > 0.99


def test_cut_off_at_two_sides_and_at_one():
    inside = disc(300, 500, 220)
    assert agreement(estimate_field_of_view(paint(inside)), inside) > 0.99
    assert agreement(estimate_field_of_view(paint(inside)[:, 250:]), inside[:, 250:]) > 0.99


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((50, 50, 3), np.uint8),
        np.full((50, 50, 3), 200, np.uint8),
        np.full((1, 1, 3), 9, np.uint8),
        np.full((8, 3000, 3), 9, np.uint8),
        np.random.default_rng(0).integers(0, 256, (100, 120, 3), dtype=np.uint8),
        np.broadcast_to(np.linspace(0, 255, 200).astype(np.uint8)[None, :, None], (100, 200, 3)),
    ],
    ids=["black", "white", "one pixel", "a strip", "noise", "gradient"],
)
def test_everything_where_there_is_no_surround(image):
    assert estimate_field_of_view(image).all()
    assert estimate_field_of_view(image).shape == image.shape[:2]


def test_a_dark_pupil_in_a_grey_picture_is_no_surround():
    grey = np.full((200, 200), 140, np.uint8)
    grey[disc(200, 200, 40)] = 12
    grey[:, :30] = np.linspace(60, 140, 30).astype(np.uint8)
    assert estimate_field_of_view(np.repeat(grey[..., None], 3, axis=2)).all()


def test_bounding_box():
    area = np.zeros((5, 6), np.bool_)
    area[1, 2] = area[3, 4] = True
    assert bounding_box(area) == (1, 2, 4, 5)


def test_eight_megapixels_are_fast():
    image = paint(disc(2336, 3504, 1600))
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        estimate_field_of_view(image)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 2


@pytest.mark.parametrize(("name", "every"), [("chase_db1", 2), ("hrf", 6)])
def test_the_given_field_of_view_of_real_sets(name, every):
    given = sorted((SHARED / name / "fov").glob("*.png"))[::every]
    if not given:
        pytest.skip(f"{name} is not here")
    images = {path.stem: path for path in (SHARED / name / "images").iterdir()}
    for path in given:
        with Image.open(images[path.stem]) as image, Image.open(path) as true:
            found = estimate_field_of_view(np.asarray(image.convert("RGB")))
            assert agreement(found, np.asarray(true.convert("L")) > 127) > 0.98, path.stem


def test_real_infrared_eyes_and_surgery_have_none():
    files = sorted((SHARED / "inp_eye" / "images").glob("*.png"))[::50]
    files += sorted((SHARED / "cataract_frames" / "images").glob("*.png"))
    if not files:
        pytest.skip("the sets are not here")
    for path in files:
        with Image.open(path) as image:
            assert estimate_field_of_view(np.asarray(image.convert("RGB"))).all(), path.stem


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (2, 3), (16, 16), (61, 40)])
def test_its_own_median_and_filling_are_those_of_scipy(size):
    random = np.random.default_rng(5)
    image = random.integers(0, 256, size).astype(np.uint8)
    np.testing.assert_array_equal(_median_of_nine(image), ndimage.median_filter(image, size=3))
    for smoothness in (0.3, 1.0, 3.0):
        area = ndimage.gaussian_filter(random.normal(size=size), smoothness) > 0
        np.testing.assert_array_equal(_filled(area), ndimage.binary_fill_holes(area))
