from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from ocuseg.training.augment import Augmentation
from ocuseg.training.settings import AugmentationSettings
from ocuseg.training.terms import Pool

COLOUR = ("brightness", "contrast", "gamma", "colour", "blur", "noise")
GEOMETRY = ("flip_horizontal", "flip_vertical", "rotation_degrees", "scale", "shift", "elastic")
OFF: dict[str, Any] = {**dict.fromkeys(GEOMETRY + COLOUR, 0.0), "scale": (1.0, 1.0)}
STRONG: dict[str, Any] = {
    **dict.fromkeys(("flip_horizontal", "flip_vertical", "blur"), 0.5),
    **dict.fromkeys(("brightness", "contrast", "gamma", "colour", "noise"), 0.3),
    "rotation_degrees": 180.0,
    "scale": (0.8, 1.25),
    "shift": 0.1,
    "elastic": 0.02,
}
ANOTHER_CAMERA: dict[str, Any] = {
    "illumination": 0.5,
    "tone": 1.0,
    "blur": 0.5,
    "blur_px": (1.0, 3.0),
    **dict.fromkeys(("mix_colours", "channels", "resolution", "jpeg"), 0.7),
}


def _augmentation(**settings: Any) -> Augmentation:
    return Augmentation(AugmentationSettings(**{**OFF, **settings}))


def _batch(samples: int = 2, height: int = 40, width: int = 48, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (samples, 3, height, width), dtype=torch.uint8, generator=generator)
    target = torch.randint(0, 4, (samples, height, width), dtype=torch.uint8, generator=generator)
    return images, target, torch.rand(samples, height, width, generator=generator) < 0.9


def _disc(samples: int, size: int, centre: tuple[float, float], radius: float) -> tuple[Tensor, Tensor, Tensor]:
    y = torch.arange(size)[:, None] - centre[0]
    x = torch.arange(size)[None, :] - centre[1]
    disc = (y**2 + x**2 <= radius**2).to(torch.uint8).expand(samples, size, size)
    return (disc * 255)[:, None].expand(-1, 3, -1, -1), disc, torch.ones(samples, size, size, dtype=torch.bool)


def _centroids(masks: Tensor) -> Tensor:
    """Return (N, 2) y and x from the middle of each mask."""
    masks = masks.double()
    size = masks.shape[-1]
    places = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    total = masks.sum(dim=(1, 2))
    y, x = (masks.sum(dim=2) * places).sum(dim=1) / total, (masks.sum(dim=1) * places).sum(dim=1) / total
    return torch.stack([y, x], dim=1)


def _all_equal(first: tuple[Tensor, ...], second: tuple[Tensor, ...]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("out_size", [(40, 48), (24, 32), (23, 31), (1, 1)])
def test_with_all_off_the_view_is_the_centre_exactly(out_size: tuple[int, int]) -> None:
    images, target, field_of_view = _batch()
    views, ids, inside = _augmentation()(images, target, field_of_view, out_size=out_size, generator=0)
    top, left = (40 - out_size[0]) // 2, (48 - out_size[1]) // 2
    cut = (..., slice(top, top + out_size[0]), slice(left, left + out_size[1]))
    assert torch.equal(views, images[cut].float() / 255)
    assert torch.equal(ids, target[cut])
    assert torch.equal(inside, field_of_view[cut])
    assert (views.dtype, ids.dtype, inside.dtype) == (torch.float32, torch.uint8, torch.bool)


@pytest.mark.parametrize("out_size", [(24, 32), (23, 31)])
def test_a_warp_that_is_next_to_nothing_is_that_centre_too(out_size: tuple[int, int]) -> None:
    batch = _batch()
    views, ids, inside = _augmentation(rotation_degrees=1e-4)(*batch, out_size=out_size, generator=0)
    expected, expected_ids, expected_inside = _augmentation()(*batch, out_size=out_size, generator=0)
    torch.testing.assert_close(views, expected, atol=1e-3, rtol=0)
    assert torch.equal(ids, expected_ids)
    assert torch.equal(inside, expected_inside)


@pytest.mark.parametrize("settings", [{}, {"rotation_degrees": 1e-4}])
def test_what_lies_outside_the_window_does_not_count(settings: dict[str, Any]) -> None:
    images = torch.full((1, 3, 4, 4), 100, dtype=torch.uint8)
    target, field_of_view = torch.ones(1, 4, 4, dtype=torch.uint8), torch.ones(1, 4, 4, dtype=torch.bool)
    views, ids, inside = _augmentation(**settings)(images, target, field_of_view, out_size=(8, 6), generator=0)
    expected = torch.zeros(1, 8, 6, dtype=torch.bool)
    expected[:, 2:6, 1:5] = True
    assert torch.equal(inside, expected)
    assert torch.equal(ids, expected.to(torch.uint8))
    torch.testing.assert_close(views, torch.full((1, 3, 8, 6), 100 / 255))


@pytest.mark.parametrize(("name", "axis"), [("flip_horizontal", -1), ("flip_vertical", -2)])
def test_flips_are_exact_and_as_often_as_they_should(name: str, axis: int) -> None:
    images, target, field_of_view = _batch(samples=200, height=6, width=8)
    always = _augmentation(**{name: 1.0})(images, target, field_of_view, out_size=(6, 8), generator=0)
    expected = (images.flip(axis).float() / 255, target.flip(axis), field_of_view.flip(axis))
    assert _all_equal(always, expected)
    views, ids, _ = _augmentation(**{name: 0.3})(images, target, field_of_view, out_size=(6, 8), generator=0)
    flipped = (ids == target.flip(axis)).flatten(1).all(dim=1)
    assert torch.equal(flipped, (views == expected[0]).flatten(1).all(dim=1))
    assert 40 <= flipped.sum() <= 80
    assert torch.equal(ids[~flipped], target[~flipped])


def test_rotation_turns_about_the_middle_up_to_its_angle() -> None:
    batch = _disc(200, 101, (50.0, 80.0), 8.0)
    views, ids, _ = _augmentation(rotation_degrees=40.0)(*batch, out_size=(101, 101), generator=0)
    places = _centroids(ids)
    assert torch.allclose(places.norm(dim=1), torch.tensor(30.0, dtype=torch.float64), atol=0.3)
    angles = torch.rad2deg(torch.atan2(places[:, 0], places[:, 1]))
    assert angles.min() > -40.5
    assert angles.max() < 40.5
    assert angles.min() < -35
    assert angles.max() > 35
    assert torch.allclose(_centroids(views.mean(dim=1)), places, atol=0.6)
    assert torch.allclose(
        ids.sum(dim=(1, 2)).double(), torch.tensor(batch[1][0].sum().item(), dtype=torch.float64), rtol=0.1
    )


def test_scale_above_one_enlarges_whatever_the_angle() -> None:
    batch = _disc(20, 101, (50.0, 60.0), 12.0)
    _, ids, _ = _augmentation(scale=(1.5, 1.5), rotation_degrees=180.0)(*batch, out_size=(101, 101), generator=0)
    area, radius = ids.sum(dim=(1, 2)) / batch[1][0].sum(), _centroids(ids).norm(dim=1)
    assert torch.allclose(area, torch.tensor(2.25), rtol=0.03)
    assert torch.allclose(radius, torch.tensor(15.0, dtype=torch.float64), atol=0.3)


def test_scale_is_even_in_its_logarithm() -> None:
    batch = _disc(200, 101, (50.0, 50.0), 20.0)
    _, ids, _ = _augmentation(scale=(0.5, 2.0))(*batch, out_size=(101, 101), generator=0)
    magnification = (ids.sum(dim=(1, 2)) / batch[1][0].sum()).sqrt()
    assert magnification.min() > 0.48
    assert magnification.max() < 2.05
    assert magnification.min() < 0.55
    assert magnification.max() > 1.85
    assert 80 <= (magnification < 1).sum() <= 120


def test_shift_is_a_share_of_the_view() -> None:
    batch = _disc(200, 101, (50.0, 50.0), 10.0)
    _, ids, _ = _augmentation(shift=0.2)(*batch, out_size=(101, 101), generator=0)
    places = _centroids(ids)
    assert places.abs().max() < 0.2 * 101 + 0.5
    assert (places.amax(dim=0) > 15).all()
    assert (places.amin(dim=0) < -15).all()


def test_elastic_is_smooth_and_of_its_size() -> None:
    size = 128
    ramp = torch.arange(size, dtype=torch.uint8).expand(100, 3, size, size)
    batch = (ramp, torch.zeros(100, size, size, dtype=torch.uint8), torch.ones(100, size, size, dtype=torch.bool))
    views, _, _ = _augmentation(elastic=0.02)(*batch, out_size=(96, 96), generator=0)
    moved = views[:, 0] * 255 - torch.arange(16, 112)
    strengths = moved.flatten(1).std(dim=1)
    # Strengths are even up to 0.02 of 96 pixels, so that their mean square is a third of that.
    assert moved.square().mean().sqrt().item() == pytest.approx(0.02 * 96 / math.sqrt(3), rel=0.25)
    assert strengths.max() < 0.02 * 96 * 2
    assert strengths.min() < 0.2
    assert (views[:, 0].diff(dim=-1) >= -1e-4).all()  # nothing is folded


@pytest.mark.parametrize("settings", [STRONG, {**STRONG, **ANOTHER_CAMERA}], ids=["strong", "another camera"])
def test_the_seed_decides_and_nothing_else(settings: dict[str, Any]) -> None:
    batch, augmentation = _batch(), _augmentation(**settings)
    first = augmentation(*batch, out_size=(32, 32), generator=5)
    torch.manual_seed(99)
    assert _all_equal(first, augmentation(*batch, out_size=(32, 32), generator=5))
    assert _all_equal(first, augmentation(*batch, out_size=(32, 32), generator=torch.Generator().manual_seed(5)))
    assert not torch.equal(first[0], augmentation(*batch, out_size=(32, 32), generator=6)[0])
    torch.manual_seed(5)
    assert _all_equal(first, augmentation(*batch, out_size=(32, 32)))
    in_rows = batch[0].permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
    assert _all_equal(first, augmentation(in_rows, *batch[1:], out_size=(32, 32), generator=5))


def test_samples_differ_and_a_generator_moves_on_by_the_same_amount() -> None:
    images, target, field_of_view = (each[:1].expand(3, *each.shape[1:]) for each in _batch())
    generators = [torch.Generator().manual_seed(1) for _ in range(2)]
    views = _augmentation(**STRONG)(images, target, field_of_view, out_size=(32, 32), generator=generators[0])[0]
    _augmentation()(images, target, field_of_view, out_size=(32, 32), generator=generators[1])
    assert not torch.equal(views[0], views[1])
    assert torch.equal(torch.rand(4, generator=generators[0]), torch.rand(4, generator=generators[1]))


def test_turning_one_change_off_leaves_the_others() -> None:
    batch = _batch()
    _, ids, inside = _augmentation(**STRONG)(*batch, out_size=(32, 32), generator=2)
    geometry = {name: STRONG[name] for name in GEOMETRY}
    views, *masks = _augmentation(**geometry)(*batch, out_size=(32, 32), generator=2)
    assert _all_equal((ids, inside), tuple(masks))
    brighter, *_ = _augmentation(**geometry, brightness=0.1)(*batch, out_size=(32, 32), generator=2)
    assert not torch.equal(views, brighter)
    middle = (brighter > 0) & (brighter < 1)
    for sample in range(2):
        difference = (brighter - views)[sample][middle[sample]]
        assert difference.std() < 1e-5


def test_inputs_stay_as_they_are() -> None:
    batch = _batch()
    copies = tuple(each.clone() for each in batch)
    always = [{**OFF, name: 1.0} for name in ("blur", *ANOTHER_CAMERA) if name != "blur_px"]
    for settings in (OFF, STRONG, {**OFF, "noise": 0.1}, *always):
        _augmentation(**settings)(*batch, out_size=(40, 48), generator=0)
        assert _all_equal(batch, copies)


def _colours(samples: int, colour: tuple[int, int, int]) -> tuple[Tensor, Tensor, Tensor]:
    images = torch.tensor(colour, dtype=torch.uint8)[None, :, None, None].expand(samples, 3, 16, 16)
    return images, torch.zeros(samples, 16, 16, dtype=torch.uint8), torch.ones(samples, 16, 16, dtype=torch.bool)


@pytest.mark.parametrize(
    ("settings", "low", "high"),
    [
        ({"brightness": 0.1}, 0.4 - 0.1, 0.4 + 0.1),
        ({"contrast": 0.5}, 0.4, 0.4),  # an even image has no spread
        ({"gamma": 0.25}, 0.4**1.25, 0.4**0.8),
        ({"colour": 0.25}, 0.4 / 1.25 - 0.04, 0.4 * 1.25 + 0.05),  # gains, then a spread about grey
        ({"blur": 1.0}, 0.4, 0.4),
    ],
)
def test_an_even_grey_moves_within_its_range(settings: dict[str, Any], low: float, high: float) -> None:
    views, *_ = _augmentation(**settings)(*_colours(200, (102, 102, 102)), out_size=(16, 16), generator=0)
    assert views.min().item() >= low - 1e-5
    assert views.max().item() <= high + 1e-5
    if low != high:
        assert views.min().item() < low + 0.5 * (0.4 - low)
        assert views.max().item() > high - 0.5 * (high - 0.4)
    assert (views.flatten(2).std(dim=2) < 1e-4).all()  # even images stay even


def test_colour_changes_hue_and_brightness_does_not() -> None:
    batch = _colours(50, (180, 90, 40))
    for settings, changes in (({"brightness": 0.1}, False), ({"colour": 0.2}, True)):
        views = _augmentation(**settings)(*batch, out_size=(16, 16), generator=0)[0][:, :, 0, 0]
        spread = views - views.mean(dim=1, keepdim=True)
        direction = spread / spread.norm(dim=1, keepdim=True)
        assert (direction.std(dim=0).max() > 0.01) == changes


def test_contrast_stretches_about_the_mean() -> None:
    images = torch.tensor([102, 153], dtype=torch.uint8).repeat(8).expand(100, 3, 16, 16)
    batch = (images, *_colours(100, (0, 0, 0))[1:])
    views, *_ = _augmentation(contrast=0.5)(*batch, out_size=(16, 16), generator=0)
    assert torch.allclose(views.mean(dim=(1, 2, 3)), torch.tensor(0.5), atol=1e-4)
    spread = (views[:, 0, 0, 1] - views[:, 0, 0, 0]) / 0.2
    assert 1 / 1.5 - 1e-4 <= spread.min() < 0.7
    assert 1.4 < spread.max() <= 1.5 + 1e-4


def test_blur_meets_its_share_and_keeps_the_mean() -> None:
    impulse = torch.zeros(200, 3, 31, 31, dtype=torch.uint8)
    impulse[..., 15, 15] = 255
    masks = (torch.zeros(200, 31, 31, dtype=torch.uint8), torch.ones(200, 31, 31, dtype=torch.bool))
    views, *_ = _augmentation(blur=0.3)(impulse, *masks, out_size=(31, 31), generator=0)
    blurred = views[:, 0, 15, 15] < 1
    assert 40 <= blurred.sum() <= 80
    torch.testing.assert_close(views.sum(dim=(2, 3)), torch.ones(200, 3), atol=1e-4, rtol=0)
    y = torch.arange(31.0)[:, None] - 15
    deviation = (views[blurred][:, 0] * y**2).sum(dim=(1, 2)).sqrt()
    assert 0.45 < deviation.min() < 0.6
    assert 1.35 < deviation.max() < 1.55


def test_noise_is_up_to_its_deviation() -> None:
    views, *_ = _augmentation(noise=0.1)(*_colours(200, (128, 128, 128)), out_size=(16, 16), generator=0)
    deviations = views.flatten(1).std(dim=1)
    assert deviations.max() < 0.11
    assert deviations.max() > 0.09
    assert deviations.min() < 0.01
    assert views.mean().item() == pytest.approx(128 / 255, abs=1e-3)


def test_images_stay_between_zero_and_one() -> None:
    views, ids, _ = _augmentation(**{**STRONG, **ANOTHER_CAMERA, "brightness": 1.0, "noise": 1.0})(
        *_batch(samples=8), out_size=(40, 48), generator=0
    )
    assert views.min() >= 0
    assert views.max() <= 1
    assert views.isfinite().all()
    assert ids.dtype == torch.uint8


@pytest.mark.parametrize(
    "settings",
    [STRONG, {**STRONG, "noise": 0.0}, {"noise": 0.1}, {**STRONG, **ANOTHER_CAMERA}],
    ids=["all", "quiet", "noise", "another camera"],
)
def test_parts_of_a_batch_look_as_they_do_in_the_whole(settings: dict[str, Any]) -> None:
    batch = _batch(samples=6)
    whole = _augmentation(**settings)(*batch, out_size=(31, 37), generator=5)

    def parts(pool: Pool) -> list[tuple[Tensor, Tensor, Tensor]]:
        return [
            _augmentation(**settings)(
                *(each[2 * part : 2 * part + 2] for each in batch),
                out_size=(31, 37),
                generator=5,
                part=(part, 3),
                pool=pool,
            )
            for part in range(3)
        ]

    given: list[Tensor] = []

    def noted(sums: Tensor) -> Tensor:
        given.append(sums)
        return sums

    parts(noted)
    together = parts(lambda _: torch.stack(given).sum(dim=0))
    for of_parts, of_whole in zip(zip(*together, strict=True), whole, strict=True):
        torch.testing.assert_close(torch.cat(of_parts), of_whole, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("names", "axes"), [(("flip_vertical",), (-2,)), (("flip_horizontal", "flip_vertical"), (-1, -2))]
)
@pytest.mark.parametrize("elastic", [0.0, 0.02])
def test_a_flipped_warp_is_the_warp_flipped(names: tuple[str, ...], axes: tuple[int, ...], elastic: float) -> None:
    warp: dict[str, Any] = {"rotation_degrees": 40.0, "scale": (0.8, 1.25), "shift": 0.1, "elastic": elastic}
    batch = _batch(samples=6)
    plain = _augmentation(**warp)(*batch, out_size=(31, 24), generator=3)
    flipped = _augmentation(**warp, **dict.fromkeys(names, 1.0))(*batch, out_size=(31, 24), generator=3)
    if not elastic:
        assert _all_equal(flipped, tuple(each.flip(axes) for each in plain))
    torch.testing.assert_close(flipped[0], plain[0].flip(axes), atol=1e-4, rtol=0)
    assert (flipped[1] == plain[1].flip(axes)).float().mean() > 0.999
