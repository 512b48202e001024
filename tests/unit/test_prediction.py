from __future__ import annotations

import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from ocuseg.bundle import load_bundle
from ocuseg.classes import default_classes
from ocuseg.errors import ImageError, ModelError, UsageError
from ocuseg.geometry import Preprocessing
from ocuseg.images import write_image
from ocuseg.prediction import Predictor, decide, open_predictor

PLAIN = Preprocessing(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0), multiple=4)


class RedNetwork:
    """Logit 8 * (red - 0.5), red from 0 to 1; keeps the shapes that it was given."""

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []

    def __call__(self, images: np.ndarray) -> np.ndarray:
        self.shapes.append(images.shape)
        return 8 * (images[:, :1] - np.float32(0.5))


def predictor_of(network, num_classes: int = 2, preprocessing: Preprocessing = PLAIN, **settings) -> Predictor:
    return Predictor(network, classes=default_classes(num_classes), preprocessing=preprocessing, **settings)


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def red_probability(image: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-8 * (image[..., 0] / 255 - 0.5)))


def test_one_image_by_hand():
    image = np.zeros((1, 3, 3), np.uint8)
    image[0, :, 0] = (0, 127, 255)
    result = predictor_of(RedNetwork())(image)
    assert result.mask.tolist() == [[0, 0, 1]]
    assert result.mask.dtype == np.uint8
    assert result.probabilities.shape == (1, 1, 3)
    assert result.probabilities.dtype == np.float32
    assert np.allclose(result.probabilities, [[[0.0179862, 0.4960785, 0.9820138]]], atol=1e-6)
    assert (result.threshold, result.name, result.classes.names) == (0.5, "image", ("background", "foreground"))
    assert np.array_equal(result.image, image)
    assert result.overlay().shape == image.shape


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (7, 1), (13, 17), (64, 64)])
def test_any_size_is_padded_for_the_network_and_cut_back(size):
    network = RedNetwork()
    image = picture(*size)
    probabilities = predictor_of(network).probabilities(image)
    assert np.allclose(probabilities[0], red_probability(image), atol=1e-6)
    assert all(side % 4 == 0 for shape in network.shapes for side in shape[2:])


def test_probabilities_come_back_to_the_size_of_the_image():
    network = RedNetwork()
    image = np.zeros((60, 100, 3), np.uint8)
    image[:, 50:] = 255
    result = predictor_of(network, preprocessing=Preprocessing(size=(16, 16), mean=PLAIN.mean, std=PLAIN.std))(image)
    assert network.shapes == [(1, 3, 32, 32)]
    assert result.probabilities.shape == (1, 60, 100)
    assert result.mask.shape == (60, 100)
    assert np.array_equal(result.mask[:, :45], np.zeros((60, 45)))
    assert np.array_equal(result.mask[:, 55:], np.ones((60, 45)))


def test_the_threshold_is_compared_on_the_levels():
    # 0.3 is level 19660.5, rounded half up to 19661; 19660.6 rounds to the same level, 19660.4 does not.
    probabilities = np.array([[[0.3, 19660.6 / 65535, 19660.4 / 65535, 1.0]]], np.float32)
    assert decide(probabilities, 0.3).tolist() == [[1, 1, 0, 1]]
    assert decide(probabilities, None).tolist() == [[0, 0, 0, 1]]
    assert decide(probabilities, 0.0).tolist() == [[1, 1, 1, 1]]
    assert decide(probabilities, 1.0).tolist() == [[0, 0, 0, 1]]


def test_of_several_classes_the_most_probable_is_taken():
    probabilities = np.array([[[0.2, 0.4, 0.3]], [[0.5, 0.4, 0.3]], [[0.3, 0.2, 0.4]]], np.float32)
    assert decide(probabilities, None).tolist() == [[1, 0, 2]]


def test_a_mask_decided_in_blocks_is_the_mask(monkeypatch):
    monkeypatch.setattr("ocuseg.prediction.single._BLOCK_PX", 20)
    probabilities = np.random.default_rng(0).random((1, 11, 7), dtype=np.float32)
    assert np.array_equal(decide(probabilities, 0.4), probabilities[0] >= 0.4)
    three = np.random.default_rng(1).random((3, 11, 7), dtype=np.float32)
    assert np.array_equal(decide(three, None), three.argmax(axis=0))


def test_several_classes_are_a_softmax():
    def network(images: np.ndarray) -> np.ndarray:
        return 500 * images

    image = np.zeros((1, 3, 3), np.uint8)
    image[0, 0] = image[0, 1] = image[0, 2] = 255
    image[0, 1, 0] = 254
    image[0, 2, :2] = 0
    probabilities = predictor_of(network, num_classes=3).probabilities(image)
    e = np.exp(-500 / 255)
    expected = [[1 / 3, e / (2 + e), 0], [1 / 3, 1 / (2 + e), 0], [1 / 3, 1 / (2 + e), 1]]
    assert np.allclose(probabilities[:, 0], expected, atol=1e-5)


def test_steep_logits_are_certain_and_warn_of_nothing():
    def network(images: np.ndarray) -> np.ndarray:
        return np.where(images[:, :1] > 0.5, np.float32(1e30), np.float32(-1e30))

    image = np.array([[[0, 0, 0], [255, 0, 0]]], np.uint8)
    assert np.allclose(predictor_of(network).probabilities(image), [[[0, 1]]], atol=1e-30)


def test_flips_are_averaged():
    def left_neighbour(images: np.ndarray) -> np.ndarray:
        logits = np.zeros_like(images[:, :1])
        logits[..., 1:] = 20 * images[:, :1, :, :-1] - 10
        return logits

    image = np.zeros((4, 4, 3), np.uint8)
    image[:, 1] = 255
    assert predictor_of(left_neighbour)(image).mask[0].tolist() == [1, 0, 1, 0]
    probabilities = predictor_of(left_neighbour, flips=True).probabilities(image)
    # Half of the flips see the left neighbour, half the right one; at an edge without one the logit is 0.
    assert np.allclose(probabilities[0], [[0.75, 0, 0.5, 0.25]] * 4, atol=1e-4)


def box_blur(images: np.ndarray) -> np.ndarray:
    """A 3 x 3 mean with zero padding, as a convolution sees a border; not symmetric in x and y."""
    padded = np.pad(images[:, :1], ((0, 0), (0, 0), (1, 1), (1, 1)))
    height, width = images.shape[2:]
    shifted = [padded[:, :, dy : dy + height, dx : dx + width] * (1 + dx) for dy in range(3) for dx in range(3)]
    return sum(shifted) / 3 - 2


def blockwise(images: np.ndarray) -> np.ndarray:
    """The mean of each 4 x 4 block, in its place: what a network with two poolings knows."""
    n, _, height, width = images.shape
    means = images[:, :1].reshape(n, 1, height // 4, 4, width // 4, 4).mean(axis=(3, 5))
    return 8 * (np.repeat(np.repeat(means, 4, axis=2), 4, axis=3) - np.float32(0.5))


@pytest.mark.parametrize("network", [box_blur, blockwise])
@pytest.mark.parametrize("flips", [False, True])
def test_tiles_give_what_the_whole_image_gives(network, flips):
    image = picture(101, 150)
    whole = predictor_of(network, flips=flips, tile_px=1000).probabilities(image)
    tiled = predictor_of(network, flips=flips, tile_px=40, overlap_px=12).probabilities(image)
    assert np.abs(whole - tiled).max() < 1e-5


def test_only_an_image_above_the_limit_is_tiled():
    network = RedNetwork()
    predictor = predictor_of(network, tile_px=40, overlap_px=8)
    predictor.probabilities(picture(40, 40))
    assert network.shapes == [(1, 3, 40, 40)]
    predictor.probabilities(picture(40, 44))
    assert set(network.shapes[1:]) == {(1, 3, 40, 28)}  # 7 of its 11 steps of 4 px each
    assert len(network.shapes) == 3


def test_a_large_image_is_held_as_floats_only_once():
    image = picture(1500, 2000)
    pixels = image.shape[0] * image.shape[1]
    predictor = predictor_of(RedNetwork(), tile_px=256, overlap_px=32)
    tracemalloc.start()
    try:
        predictor(image)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # Per pixel: 3 bytes of padded image, 4 of probabilities, 1 of mask; and a few arrays of a tile or block.
    assert peak < 8 * pixels + 4 * 2**20


@pytest.mark.parametrize("settings", [{}, {"size": (256, 256)}, {"field_of_view_diameter_px": 252}])
def test_the_dark_surround_is_background_at_the_size_of_the_network_too(settings):
    rows, columns = np.mgrid[:256, :256] - 127.5
    eye = np.where(np.hypot(rows, columns)[..., None] <= 126, (180, 90, 40), (4, 4, 4)).astype(np.uint8)
    preprocessing = Preprocessing("field_of_view", **settings)
    found = predictor_of(lambda images: np.full_like(images[:, :1], 9), 2, preprocessing).probabilities(eye)[0]
    assert found[128, 128] > 0.99
    assert (found[np.hypot(rows, columns) > 129] == 0).all()


def test_a_list_gives_a_list_in_its_order_and_small_images_share_a_call():
    network = RedNetwork()
    predictor = predictor_of(network)
    images = [picture(60, 60, seed) for seed in range(5)] + [picture(16, 20), picture(600, 600), picture(600, 600, 9)]
    results = predictor(images)
    assert network.shapes == [(5, 3, 60, 60), (1, 3, 16, 20), (1, 3, 600, 600), (1, 3, 600, 600)]
    for image, result in zip(images, results, strict=True):
        assert np.array_equal(result.image, image)
        assert np.allclose(result.probabilities[0], red_probability(image), atol=1e-6)
    assert predictor([]) == []
    assert len(predictor((images[0],))) == 1


def test_a_path_is_read_and_named(tmp_path):
    image = picture(10, 12)
    write_image(tmp_path / "eye.png", image)
    predictor = predictor_of(RedNetwork())
    result = predictor(tmp_path / "eye.png")
    assert result.name == "eye"
    assert np.array_equal(result.image, image)
    assert np.array_equal(predictor([str(tmp_path / "eye.png"), image])[1].mask, result.mask)
    with pytest.raises(ImageError):
        predictor(tmp_path / "none.png")


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 4, 3)),
        np.zeros((4, 4), np.uint8),
        np.zeros((3, 4, 4), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
    ],
)
def test_what_is_no_image_says_what_an_image_is(array):
    with pytest.raises(UsageError, match="height x width x 3 of uint8"):
        predictor_of(RedNetwork())(array)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("num_classes", [2, 3])
def test_a_network_that_gives_no_numbers_is_an_error(value, num_classes):
    def network(images: np.ndarray) -> np.ndarray:
        logits = np.zeros((len(images), 1 if num_classes == 2 else 3, *images.shape[2:]), np.float32)
        logits[0, 0, 1, 1] = value
        return logits

    with pytest.raises(ModelError, match="no numbers"):
        predictor_of(network, num_classes)(picture(4, 4))


def test_a_network_of_other_classes_is_an_error():
    with pytest.raises(ModelError, match="gives 1 channels, but 4 classes need 4"):
        predictor_of(RedNetwork(), 4)(picture(4, 4))


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"threshold": 1.2}, "no probability"),
        ({"threshold": 0.5, "num_classes": 3}, "no meaning for 3 classes"),
        ({"tile_px": 8, "overlap_px": 8}, "cannot overlap"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(settings, says):
    with pytest.raises(UsageError, match=says):
        predictor_of(RedNetwork(), **settings)


def test_a_bundle_is_opened_with_its_settings_or_with_others(bright_red):
    folder = bright_red(threshold=0.25, prediction={"tile_px": 64, "overlap_px": 16, "flips": True})
    predictor = open_predictor(folder, threads=1)
    assert (predictor.name, predictor.threshold, predictor.flips) == ("bright-red", 0.25, True)
    assert (predictor.tile_px, predictor.overlap_px, predictor.network.name) == (64, 16, "onnxruntime fp32")
    image = picture(70, 90)
    result = predictor(image)
    assert np.allclose(result.probabilities[0], red_probability(image), atol=1e-5)
    assert np.array_equal(result.mask, result.probabilities[0] >= 0.25)
    other = open_predictor(load_bundle(folder), threads=1, threshold=0.75, flips=False, tile_px=20)
    assert (other.threshold, other.flips, other.tile_px, other.overlap_px) == (0.75, False, 20, 10)
    assert np.array_equal(other(image).mask, result.probabilities[0] >= 0.75)


def test_several_classes_of_a_bundle(bright_red):
    predictor = open_predictor(bright_red(3), threads=1)
    image = np.zeros((1, 3, 3), np.uint8)
    image[0, 1, 0] = image[0, 2, 1] = 255
    result = predictor(image)
    assert result.mask.tolist() == [[0, 1, 2]]
    assert result.threshold is None
    assert np.allclose(result.probabilities.sum(axis=0), 1, atol=1e-6)


WITHOUT_TORCH = """
import sys

class Forbid:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "pytorch_lightning", "monai", "matplotlib"):
            raise AssertionError(f"{name} was imported")

sys.meta_path.insert(0, Forbid())
from ocuseg.prediction import open_predictor
from ocuseg.prediction.results import predict_files
predictor = open_predictor(sys.argv[1], threads=1)
outcome, = predict_files(predictor, [sys.argv[2]], sys.argv[3], probabilities=True, overlay=True)
assert outcome.error is None and len(outcome.written) == 3
"""


def test_prediction_imports_no_torch(bright_red, tmp_path):
    write_image(tmp_path / "eye.png", picture(200, 200))
    arguments = [bright_red(), tmp_path / "eye.png", tmp_path / "out"]
    subprocess.run([sys.executable, "-c", WITHOUT_TORCH, *map(str, arguments)], check=True, timeout=300)
    assert Path(tmp_path / "out" / "eye.png").is_file()
