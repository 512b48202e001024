from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ocuseg.classes import default_classes
from ocuseg.geometry import Preprocessing
from ocuseg.metrics import quantise, threshold_level
from ocuseg.prediction import Predictor, decide

sides = st.integers(1, 90)


def edges(images: np.ndarray) -> np.ndarray:
    """A 3 x 3 convolution with zero padding, so that a tile's border differs from the inside of an image."""
    padded = np.pad(images, ((0, 0), (0, 0), (1, 1), (1, 1)))
    logits = 5 * images - padded[:, :, :-2, 1:-1] - 2 * padded[:, :, 2:, 1:-1] - 3 * padded[:, :, 1:-1, :-2]
    return logits.astype(np.float32)


def picture(height: int, width: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def predictor_of(num_classes: int, **values) -> Predictor:
    multiple = values.pop("multiple", 4)

    def network(images: np.ndarray) -> np.ndarray:
        assert images.shape[2] % multiple == images.shape[3] % multiple == 0
        return edges(images)[:, : 1 if num_classes == 2 else num_classes]

    return Predictor(
        network, classes=default_classes(num_classes), preprocessing=Preprocessing(multiple=multiple), **values
    )


@settings(max_examples=60, deadline=None)
@given(
    sides, sides, st.integers(0, 99), st.sampled_from([1, 2, 8]), st.integers(16, 40), st.integers(8, 15),
    st.sampled_from([2, 3]), st.booleans(),
)  # fmt: skip
def test_tiled_equals_whole(height, width, seed, multiple, tile, overlap, num_classes, flips):
    image = picture(height, width, seed)
    whole = predictor_of(num_classes, multiple=multiple, tile_px=1000, flips=flips).probabilities(image)
    tiled = predictor_of(num_classes, multiple=multiple, tile_px=tile, overlap_px=overlap, flips=flips)
    assert np.abs(tiled.probabilities(image) - whole).max() < 1e-4


@settings(max_examples=40, deadline=None)
@given(
    sides, sides, st.integers(0, 99), st.sampled_from([2, 3]), st.integers(2, 40), st.floats(0, 0.99),
    st.sampled_from([None, (8, 24), (50, 20)]), st.booleans(),
)  # fmt: skip
def test_probabilities_are_probabilities_of_the_size_of_the_image(h, w, seed, num_classes, tile, share, size, flips):
    predictor = predictor_of(num_classes, tile_px=tile, overlap_px=int(tile * share), flips=flips)
    predictor.preprocessing = Preprocessing(size=size, multiple=4)
    result = predictor(picture(h, w, seed))
    assert result.mask.shape == (h, w)
    assert result.probabilities.shape == (1 if num_classes == 2 else num_classes, h, w)
    assert result.probabilities.dtype == np.float32
    assert result.probabilities.min() >= 0
    assert result.probabilities.max() <= 1 + 1e-6
    if num_classes > 2:
        assert np.allclose(result.probabilities.sum(axis=0), 1, atol=1e-5)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from([(8, 8), (8, 12), (33, 7)]), max_size=6), st.integers(0, 99))
def test_a_list_is_its_images_one_by_one(sizes, seed):
    predictor = predictor_of(2)
    images = [picture(*size, seed + index) for index, size in enumerate(sizes)]
    for image, result in zip(images, predictor(images), strict=True):
        assert np.allclose(predictor(image).probabilities, result.probabilities, atol=1e-6)


@settings(max_examples=50, deadline=None)
@given(sides, sides, st.floats(0, 1), st.integers(0, 99))
def test_the_mask_is_that_of_the_levels_and_shrinks_as_the_threshold_grows(height, width, threshold, seed):
    probabilities = np.random.default_rng(seed).random((1, height, width), dtype=np.float32)
    mask = decide(probabilities, threshold)
    assert np.array_equal(mask, quantise(probabilities[0]) >= threshold_level(threshold))
    assert (decide(probabilities, min(1.0, threshold + 0.1)) <= mask).all()


@settings(max_examples=25, deadline=None)
@given(sides, sides, st.integers(0, 99))
def test_averaged_over_flips_a_flipped_image_has_the_flipped_answer(height, width, seed):
    # Sides of the network's multiple: padding lies on one side only.
    image = picture(4 * (height // 4 + 1), 4 * (width // 4 + 1), seed)
    predictor = predictor_of(2, flips=True)
    assert np.allclose(
        predictor.probabilities(image[::-1, ::-1])[:, ::-1, ::-1], predictor.probabilities(image), atol=1e-6
    )
