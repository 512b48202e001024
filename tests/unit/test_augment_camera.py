from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from ocuseg.errors import RecipeError
from ocuseg.phantom import draw_fundus
from ocuseg.training.augment import Augmentation
from ocuseg.training.recipe import load_recipe
from ocuseg.training.settings import AugmentationSettings

OFF: dict[str, Any] = {
    **dict.fromkeys(("flip_horizontal", "flip_vertical", "rotation_degrees", "shift", "elastic"), 0.0),
    **dict.fromkeys(("brightness", "contrast", "gamma", "colour", "blur", "noise"), 0.0),
    "scale": (1.0, 1.0),
}


def _views(images: Tensor, **settings: Any) -> Tensor:
    shape = (len(images), *images.shape[-2:])
    masks = (torch.zeros(shape, dtype=torch.uint8), torch.ones(shape, dtype=torch.bool))
    augmentation = Augmentation(AugmentationSettings(**{**OFF, **settings}))
    return augmentation(images, *masks, out_size=(shape[1], shape[2]), generator=0)[0]


def _fundus(samples: int, size: int = 96) -> Tensor:
    return torch.from_numpy(draw_fundus(3, size).image).movedim(-1, 0).repeat(samples, 1, 1, 1)


def _detail(views: Tensor) -> Tensor:
    """Return the mean square of the differences of neighbours, of each sample."""
    return views.diff(dim=-1).square().mean(dim=(1, 2, 3)) + views.diff(dim=-2).square().mean(dim=(1, 2, 3))


def test_another_resolution_takes_detail_and_no_light() -> None:
    images = torch.randint(0, 256, (200, 3, 30, 42), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    plain, views = images / 255, _views(images, resolution=0.4)
    coarse = (views != plain).flatten(1).any(dim=1)
    assert 60 <= coarse.sum() <= 100
    left = _detail(views)[coarse] / _detail(plain)[coarse]
    assert left.max() < 0.2  # of noise, which no resampling keeps
    assert left.min() < 0.01
    torch.testing.assert_close(views.mean(dim=(2, 3)), plain.mean(dim=(2, 3)), atol=0.02, rtol=0)


def test_the_coarsest_is_a_third_of_the_size() -> None:
    stripes = torch.zeros(300, 3, 96, 96, dtype=torch.uint8)
    stripes[..., ::12] = 255  # at a third of the size, a line in four
    contrast = _views(stripes, resolution=1.0)[:, 0, 48].amax(dim=1)
    assert 0.2 < contrast.min() < 0.4
    assert contrast.max() > 0.8


def test_even_images_have_no_resolution() -> None:
    images = torch.full((8, 3, 1, 17), 77, dtype=torch.uint8)
    torch.testing.assert_close(_views(images, resolution=1.0), images / 255)


def test_jpeg_is_that_of_a_file_and_as_often_as_it_should() -> None:
    images = _fundus(200, 64)
    views, plain = _views(images, jpeg=0.3), images / 255
    error = (views - plain).square().mean(dim=(1, 2, 3)).sqrt()
    changed = error > 0
    assert 40 <= changed.sum() <= 80
    assert torch.equal(views[~changed], plain[~changed])
    assert error[changed].min() > 0.002
    assert error[changed].max() < 0.05
    assert error[changed].max() > 1.5 * error[changed].min()  # of several qualities
    torch.testing.assert_close(views * 255, (views * 255).round(), atol=1e-4, rtol=0)


def test_blocks_of_jpeg_are_eight_pixels_wide_and_begin_anywhere() -> None:
    ramp = torch.linspace(60, 200, 96).round().to(torch.uint8).expand(60, 3, 96, 96)
    steps = _views(ramp, jpeg=1.0)[:, 1].diff(dim=-1).abs().mean(dim=1)  # (60, 95)
    by_place = torch.stack([steps[:, place::8].mean(dim=1) for place in range(8)], dim=1)
    edges = by_place.argmax(dim=1)
    assert len(edges.unique()) > 4
    assert (by_place.amax(dim=1) > 1.2 * by_place.median(dim=1).values).float().mean() > 0.5


def test_an_even_image_survives_jpeg() -> None:
    images = torch.full((4, 3, 21, 33), 120, dtype=torch.uint8)
    torch.testing.assert_close(_views(images, jpeg=1.0), images / 255, atol=1.5 / 255, rtol=0)


def test_blur_is_as_wide_as_it_is_told() -> None:
    impulse = torch.zeros(100, 3, 61, 61, dtype=torch.uint8)
    impulse[..., 30, 30] = 255
    views = _views(impulse, blur=1.0, blur_px=(2.0, 5.0))
    y = torch.arange(61.0)[:, None] - 30
    deviation = (views[:, 0] * y**2).sum(dim=(1, 2)).sqrt()
    assert 1.95 < deviation.min() < 2.2
    assert 4.7 < deviation.max() < 5.05
    torch.testing.assert_close(views.sum(dim=(2, 3)), torch.ones(100, 3), atol=1e-3, rtol=0)


@pytest.mark.parametrize("blur_px", ["[2, 1]", "[0, 1]", "[1, 20]", "1.5"])
def test_a_wrong_width_of_blur_is_refused(blur_px: str) -> None:
    with pytest.raises(RecipeError, match=r"augmentation\.blur_px.* such as \["):
        load_recipe("vessels", [f"augmentation.blur_px={blur_px}"])
