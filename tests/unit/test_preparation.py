"""What is settled before a training: here what the loss makes of the pixels of the training images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ocuseg.checking import check_index
from ocuseg.errors import ModelError, RecipeError, UsageError
from ocuseg.index import build_index
from ocuseg.networks import build_network, resolve_network
from ocuseg.training.frequencies import class_weights
from ocuseg.training.preparation import prepare
from ocuseg.training.recipe import load_recipe
from ocuseg.training.start import Origin, StartWeights


def _set(root: Path) -> Path:
    """Class 2 lies in the first image of each split alone, in an eighth of it."""
    for split, count in (("train", 3), ("val", 2)):
        for kind in ("images", "masks"):
            (root / split / kind).mkdir(parents=True)
        for number in range(count):
            noise = np.random.default_rng(number + 10 * count).integers(0, 256, (32, 32, 3)).astype(np.uint8)
            mask = np.zeros((32, 32), np.uint8)
            mask[:, 20:] = 1
            mask[:4] = 2 if number == 0 else mask[:4]
            Image.fromarray(noise).save(root / split / "images" / f"{split}{number}.png")
            Image.fromarray(mask).save(root / split / "masks" / f"{split}{number}.png")
    return root


@pytest.mark.parametrize("kind", ["inverse", "median_frequency"])
def test_class_weights_go_by_the_images_that_hold_a_class(tmp_path: Path, kind: str) -> None:
    checked = check_index(build_index(_set(tmp_path)), workers=1)
    recipe = load_recipe({"network": {"name": "unet-small", "width": 4, "depth": 2}, "class_weights": kind})
    by_image = [[560, 336, 128], [640, 384, 0], [640, 384, 0]]
    assert [checked.image_class_pixels[name].tolist() for name in ("train0", "train1", "train2")] == by_image
    assert prepare(checked, recipe).loss.class_weights == pytest.approx(class_weights(by_image, kind))  # type: ignore[arg-type]


def test_channels_that_do_not_fit_the_data_are_refused_in_a_line(tmp_path: Path) -> None:
    checked = check_index(build_index(_set(tmp_path)), workers=1)
    small = {"name": "unet-small", "width": 4, "depth": 2}
    for key, value in (("out_channels", 2), ("in_channels", 1)):
        with pytest.raises(UsageError, match=f"^network.{key}: {value} does not fit"):
            prepare(checked, load_recipe({"network": {**small, key: value}}))
    two = resolve_network({**small, "in_channels": 3, "out_channels": 1})
    start = StartWeights(Origin("mine"), two, build_network(two).state_dict())
    with pytest.raises(ModelError, match=r"^mine: has 2 classes, the data 3 classes \(.*start from a model of as many"):
        prepare(checked, load_recipe({"network": two, "loss": "bce"}), start=start)


@pytest.mark.parametrize("seed", [-1, 1 << 32])
def test_a_seed_that_generators_refuse_is_refused_in_a_line(seed: int) -> None:
    with pytest.raises(RecipeError, match="'seed' is "):
        load_recipe({"seed": seed})
