"""An image that is predicted by bands has the probabilities, to the last bit, of one that is predicted whole."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ocuseg.classes import default_classes
from ocuseg.geometry import Preprocessing, place
from ocuseg.images import HeldImage
from ocuseg.prediction import Predictor
from ocuseg.prediction.banding import probability_bands


def edges(images: np.ndarray) -> np.ndarray:
    """A 3 x 3 convolution with zero padding, so that a tile's border differs from the inside of an image."""
    padded = np.pad(images, ((0, 0), (0, 0), (1, 1), (1, 1)))
    logits = 5 * images - padded[:, :, :-2, 1:-1] - 2 * padded[:, :, 2:, 1:-1] - 3 * padded[:, :, 1:-1, :-2]
    return logits.astype(np.float32)


def predictor_of(preprocessing: Preprocessing, num_classes: int = 2, **settings) -> Predictor:
    def network(images: np.ndarray) -> np.ndarray:
        return edges(images)[:, : 1 if num_classes == 2 else num_classes]

    return Predictor(network, classes=default_classes(num_classes), preprocessing=preprocessing, **settings)


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def fundus(height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    inside = (y - height / 2) ** 2 + (x - width / 2) ** 2 < (0.42 * height) ** 2
    return np.where(inside[..., None], 90 + picture(height, width) // 3, 0).astype(np.uint8)


@pytest.mark.parametrize("num_classes", [2, 3])
@pytest.mark.parametrize(
    "preprocessing",
    [
        {},
        {"multiple": 32},
        {"size": (40, 60)},
        {"size": (200, 60)},
        {"size": (300, 400), "crop": "field_of_view"},
        {"crop": "field_of_view"},
        {"crop": "field_of_view", "field_of_view_diameter_px": 50},
        {"crop": "field_of_view", "field_of_view_diameter_px": 230},
        {"field_of_view_diameter_px": 70},
        {"even_light": 0.1},
        {"channel": "green"},
        {"crop": "field_of_view", "field_of_view_diameter_px": 70, "even_light": 0.06, "channel": "green"},
    ],
)
@pytest.mark.parametrize("settings", [{"tile_px": 48, "overlap_px": 16}, {"tile_px": 1000, "flips": True}])
def test_bands_are_the_whole(preprocessing, settings, num_classes, monkeypatch):
    monkeypatch.setattr("ocuseg.prediction.banding._BAND_PX", 1500)
    monkeypatch.setattr("ocuseg.prediction.banding._SEEN_ROWS", 10)
    monkeypatch.setattr("ocuseg.resampling._READ_PX", 900)
    monkeypatch.setattr("ocuseg.field_of_view._BAND_ROWS", 16)
    predictor = predictor_of(Preprocessing(**({"multiple": 4} | preprocessing)), num_classes, **settings)
    for image in (fundus(130, 151), picture(150, 33)):
        assert_same(predictor, image)


@pytest.mark.parametrize("wanted", [0, 2, -1])
@pytest.mark.parametrize("settings", [{}, {"smallest_piece_px": 5, "threshold": 0.6}, {"flips": True}])
def test_at_the_surest_scale_and_without_small_pieces(wanted, settings, monkeypatch):
    def doubt(_, placement):
        return 1 + abs(np.log2(placement.working_size[1] / 92) * 2 - wanted)

    monkeypatch.setattr("ocuseg.prediction.banding._BAND_PX", 1500)
    monkeypatch.setattr("ocuseg.field_of_view._BAND_ROWS", 16)
    monkeypatch.setattr("ocuseg.prediction.adapting.doubt", doubt)
    preprocessing = Preprocessing(
        crop="field_of_view", field_of_view_diameter_px=90, multiple=4, channel="green", find_scale=True
    )
    predictor = predictor_of(preprocessing, tile_px=48, overlap_px=16, **settings)
    plain = predictor_of(replace(preprocessing, find_scale=False), tile_px=48, overlap_px=16, **settings)
    assert not np.array_equal(predictor.probabilities(fundus(130, 151)), plain.probabilities(fundus(130, 151)))
    assert_same(predictor, fundus(130, 151))


@pytest.mark.parametrize("diameter", [None, 90, 700])
def test_a_field_of_view_that_is_estimated_on_a_reduced_picture(diameter, monkeypatch):
    monkeypatch.setattr("ocuseg.prediction.banding._BAND_PX", 20_000)
    monkeypatch.setattr("ocuseg.field_of_view._BAND_ROWS", 100)
    preprocessing = Preprocessing(crop="field_of_view", field_of_view_diameter_px=diameter, multiple=16)
    assert_same(predictor_of(preprocessing, tile_px=256, overlap_px=32), fundus(640, 1250))


def assert_same(predictor: Predictor, image: np.ndarray) -> None:
    whole = predictor.probabilities(image)
    row = 0
    bands, area = probability_bands(predictor, HeldImage(image))
    found = place(image, predictor.preprocessing).area
    assert (area and area.box) == (found and found.box)
    for top, band in bands:
        assert top == row
        assert np.array_equal(band, whole[:, top : top + band.shape[1]])
        row += band.shape[1]
    assert row == len(image)
