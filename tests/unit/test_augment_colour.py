from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from ocuseg.training.augment import Augmentation
from ocuseg.training.settings import AugmentationSettings

OFF: dict[str, Any] = {
    **dict.fromkeys(("flip_horizontal", "flip_vertical", "rotation_degrees", "shift", "elastic"), 0.0),
    **dict.fromkeys(("brightness", "contrast", "gamma", "colour", "blur", "noise"), 0.0),
    "scale": (1.0, 1.0),
}


def _views(images: Tensor, field_of_view: Tensor | None = None, **settings: Any) -> Tensor:
    shape = (len(images), *images.shape[-2:])
    if field_of_view is None:
        field_of_view = torch.ones(shape, dtype=torch.bool)
    target, out_size = torch.zeros(shape, dtype=torch.uint8), (shape[1], shape[2])
    augmentation = Augmentation(AugmentationSettings(**{**OFF, **settings}))
    return augmentation(images, target, field_of_view, out_size=out_size, generator=0)[0]


def _even(samples: int, colour: tuple[int, int, int], size: int = 24) -> Tensor:
    return torch.tensor(colour, dtype=torch.uint8)[None, :, None, None].repeat(samples, 1, size, size)


def _ramps(samples: int) -> Tensor:
    return torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).repeat(samples, 3, 1, 1)


def test_light_is_smooth_and_changes_up_to_its_limit() -> None:
    views = _views(_even(300, (102, 102, 102)), illumination=0.5)
    change = (views / 0.4).log()
    largest = change.abs().amax(dim=(1, 2, 3))
    assert math.log(1.45) < largest.max() < math.log(1.5) + 1e-4
    assert largest.min() < 0.02
    assert (change.amax() > math.log(1.4)) & (change.amin() < -math.log(1.4))  # brighter and darker
    assert torch.equal(views[:, 0], views[:, 2])  # the light has no colour
    step = torch.maximum(change.diff(dim=-1).abs().amax(dim=(1, 2, 3)), change.diff(dim=-2).abs().amax(dim=(1, 2, 3)))
    assert (step < 0.35 * largest).all()  # no edge: white noise of 24 x 24 would step by more than its largest value
    assert (change.flatten(1).std(dim=1) > 0.05 * largest).all()  # uneven


def test_light_does_not_pass_white_and_leaves_black() -> None:
    assert _views(_even(50, (250, 250, 250)), illumination=2.0).max() == 1
    assert not _views(_even(2, (0, 0, 0)), illumination=2.0).any()


@pytest.mark.parametrize("tone", [0.3, 1.0, 4.0])
def test_tone_curves_rise_from_black_to_white(tone: float) -> None:
    curves = _views(_ramps(100), tone=tone).flatten(2)
    assert (curves.diff(dim=2) > -1e-6).all()
    torch.testing.assert_close(curves[..., 0], torch.zeros(100, 3))
    torch.testing.assert_close(curves[..., -1], torch.ones(100, 3))
    assert (curves.diff(n=2, dim=2).abs() < 0.005).all()  # smooth: a kink of one control point would be more
    moved = (curves - torch.arange(256) / 255).abs().amax(dim=2)
    assert moved.max() > 0.1 * min(tone, 1)
    assert not torch.allclose(curves[:, 0], curves[:, 1], atol=0.01)  # each channel has its own


def test_a_tone_of_almost_nothing_changes_almost_nothing() -> None:
    torch.testing.assert_close(_views(_ramps(3), tone=1e-6), _ramps(3) / 255, atol=1e-5, rtol=0)


def test_the_control_values_are_those_of_bernsteins_form() -> None:
    from ocuseg.training.augment_draws import Draws

    draws = Draws(1, (0, 1), torch.Generator().manual_seed(0), torch.device("cpu"))
    curve = _views(_ramps(1), tone=1.0).flatten(2)[0, 1]
    steps = torch.stack([draws.factor(f"tone_{number}", 1.0)[0] for number in range(4, 8)])
    values = [0.0, *(steps.cumsum(0) / steps.sum()).tolist()]
    x = torch.arange(256) / 255
    expected = sum(math.comb(4, k) * value * x**k * (1 - x) ** (4 - k) for k, value in enumerate(values))
    torch.testing.assert_close(curve, expected, atol=1e-5, rtol=0)


def _two_cameras() -> tuple[Tensor, Tensor]:
    """Six images of two kinds whose field of view is the right half, all black at the left."""
    generator = torch.Generator().manual_seed(1)
    spread = torch.randint(-20, 21, (6, 3, 32, 32), generator=generator)
    kinds = torch.tensor([[200, 90, 40], [120, 120, 90]]).repeat(3, 1)[:, :, None, None]
    inside = torch.zeros(6, 32, 32, dtype=torch.bool)
    inside[..., 16:] = True
    return ((kinds + spread) * inside[:, None]).to(torch.uint8), inside


def test_mixed_colours_lie_between_those_of_two_samples_and_black_stays() -> None:
    images, inside = _two_cameras()
    views, plain = _views(images, inside, mix_colours=1.0), images / 255
    assert not views[..., :16].any()
    means, before = views[..., 16:].mean(dim=(2, 3)), plain[..., 16:].mean(dim=(2, 3))
    low, high = before.amin(dim=0), before.amax(dim=0)
    assert ((means > low - 1e-3) & (means < high + 1e-3)).all()
    moved = (means - before).abs().amax(dim=1)
    assert moved.max() > 0.05  # some partners are of the other kind
    stretched = views[..., 16:].std(dim=(2, 3)) / plain[..., 16:].std(dim=(2, 3))
    torch.testing.assert_close(stretched, torch.ones(6, 3), atol=0.1, rtol=0)  # all have one spread


def test_a_spread_is_at_most_doubled_or_halved() -> None:
    images, inside = _two_cameras()
    images[::2] = images[::2] // 8 * 8 // 10 + 80  # every other one has a tenth of the spread
    views, plain = _views(images, inside, mix_colours=1.0), images / 255
    stretched = views[..., 16:].std(dim=(2, 3)) / plain[..., 16:].std(dim=(2, 3))
    assert stretched.max() > 1.5
    assert stretched.min() < 0.7
    assert stretched.max() < 2 + 1e-3
    assert stretched.min() > 0.5 - 1e-3


def test_a_sample_without_field_of_view_takes_and_gives_no_colours() -> None:
    images, inside = _two_cameras()
    inside[1:] = False
    assert torch.equal(_views(images, inside, mix_colours=1.0), images.float() / 255)
    assert torch.equal(_views(images[:1], inside[:1], mix_colours=1.0), images[:1].float() / 255)


def test_colours_are_mixed_as_often_as_they_should() -> None:
    images, inside = (each.repeat(50, *[1] * (each.ndim - 1)) for each in _two_cameras())
    changed = (_views(images, inside, mix_colours=0.3) != images / 255).flatten(1).any(dim=1)
    assert 65 <= changed.sum() <= 115


def test_grey_is_the_green_channel_or_a_mean() -> None:
    views = _views(_even(400, (200, 100, 20)), channels=0.5)[:, :, 0, 0]
    grey = (views[:, 0] == views[:, 1]) & (views[:, 1] == views[:, 2])
    assert 160 <= grey.sum() <= 240
    assert torch.equal(views[~grey], torch.tensor([200, 100, 20]).div(255).expand(int((~grey).sum()), 3))
    green = (views[grey, 0] - 100 / 255).abs() < 1e-6
    assert 0.35 < green.float().mean() < 0.65
    means = views[grey, 0][~green]
    assert ((means > 20 / 255) & (means < 200 / 255)).all()
    assert means.std() > 0.08


def test_mixing_needs_no_spread() -> None:
    views = _views(torch.cat([_even(3, (200, 100, 20)), _even(3, (90, 80, 70))]), mix_colours=1.0)
    assert views.isfinite().all()
    assert (views.flatten(2).std(dim=2) < 1e-5).all()  # even images stay even
