from __future__ import annotations

import numpy as np
import pytest

from ocuseg.field_of_view import FieldOfView
from ocuseg.geometry import Preprocessing, place
from ocuseg.lighting import measure_lighting


def measured(image: np.ndarray, lit: np.ndarray | None = None, window: float = 0.1):
    area = FieldOfView(image.shape[:2], lit)
    return measure_lighting(lambda top, bottom: image[top:bottom], (0, 0, *image.shape[:2]), area, window)


def evened(image: np.ndarray, **words) -> np.ndarray:
    return measured(image, **words).even(image, 0, image.shape[:2])


def stripes(height: int = 120, width: int = 120) -> np.ndarray:
    """Two levels in turn, one pixel wide, in three colours."""
    levels = np.where(np.arange(width) % 2, 140, 100)
    return np.repeat(np.repeat(levels[None, :, None], height, axis=0), 3, axis=2).astype(np.uint8)


def test_by_hand() -> None:
    light = measured(stripes())
    middle = (60, 60)
    assert light.mean[middle] == pytest.approx([120] * 3, abs=0.1)
    assert light.spread[middle] == pytest.approx([22] * 3, abs=0.1)  # 20, and 2 that keep noise small
    values = evened(stripes())[60, 60:62, 0]
    assert values.tolist() == [90, 166]  # 128 -+ 42 * 20 / 22


def test_another_camera_shows_the_same() -> None:
    rng = np.random.default_rng(0)
    scene = rng.integers(80, 160, (200, 220, 3)).astype(np.float64)
    shade = np.linspace(0.5, 1.2, 220)[None, :, None] * np.array([1.3, 0.8, 0.6])
    one, other = (np.clip(np.rint(values), 0, 255).astype(np.uint8) for values in (scene, scene * shade + 10))
    before = np.abs(one.astype(int) - other).mean()
    after = np.abs(evened(one).astype(int) - evened(other)).mean()
    assert before > 20
    assert after < 6


def test_what_is_not_lit_does_not_count() -> None:
    image = stripes()
    image[:, 60:] = 0
    lit = np.zeros((120, 120), np.bool_)
    lit[:, :60] = True
    assert measured(image, lit).mean[60, 59] == pytest.approx([120] * 3, abs=1)
    assert measured(image).mean[60, 59].max() < 90
    assert np.unique(evened(image, lit=lit)[:, 60:]).tolist() == [128]


def test_the_rim_of_the_lit_area_is_no_line() -> None:
    rows, columns = np.mgrid[:240, :240]
    lit = np.hypot(rows - 120, columns - 120) < 100
    image = np.where(lit[..., None], 120, 5).astype(np.uint8).repeat(3, axis=2)
    shown = evened(image, lit=lit).astype(int)
    assert np.abs(shown - 128).max() <= 2
    assert np.abs(evened(image).astype(int) - 128).max() > 60  # were everything taken for lit


def test_an_even_area_stays_even() -> None:
    assert np.unique(evened(np.full((50, 60, 3), 77, np.uint8))).tolist() == [128]
    assert np.unique(evened(np.zeros((50, 60, 3), np.uint8), lit=np.zeros((50, 60), np.bool_))).tolist() == [128]


def test_a_large_picture_has_the_light_of_its_reduction() -> None:
    rng = np.random.default_rng(1)
    small = rng.integers(60, 200, (125, 250, 3), dtype=np.uint8)
    large = small.repeat(4, axis=0).repeat(4, axis=1)
    assert np.allclose(measured(large).mean, measured(small).mean, atol=1e-3)


def test_green_stands_for_all_colours_once_its_light_is_even() -> None:
    image = stripes()
    image[..., 0], image[..., 2] = 7, np.arange(120)
    alone = evened(image)[..., 1]
    shown = place(image, Preprocessing(even_light=0.1, channel="green")).apply_image(image)
    assert all(np.array_equal(shown[..., colour], alone) for colour in range(3))
    plain = place(image, Preprocessing(channel="green")).apply_image(image)
    assert all(np.array_equal(plain[..., colour], image[..., 1]) for colour in range(3))


def test_it_comes_before_the_network_and_after_the_resize() -> None:
    image = stripes(100, 140)
    placement = place(image, Preprocessing(even_light=0.1, size=(50, 70)))
    shown = placement.apply_image(image)
    assert shown.shape == (50, 70, 3)
    assert abs(int(np.median(shown)) - 128) < 10
    assert np.array_equal(
        place(image, Preprocessing(size=(50, 70))).apply_image(image).mean(axis=2) > 128, shown[..., 0] > 200
    )
