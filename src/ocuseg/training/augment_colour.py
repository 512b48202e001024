"""Colours of random views: light, the camera's channels and tone curve, and the colours of another image."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ocuseg.training.augment_draws import Draws
from ocuseg.training.settings import AugmentationSettings
from ocuseg.training.terms import Pool

__all__ = ["bend_tones", "jitter_colours", "light", "merge_channels", "mix_colours"]

_SPOT_SIZE = (0.3, 1.0)  # standard deviation, where half a side is 1
_LARGEST_STRETCH = 2.0
_GREY_LEVEL = 1 / 255
# Control values of a curve (five, of which the first is 0) to the coefficients of its powers: 4 over k times the k-th
# difference.
_POWERS = ((4.0, 0.0, 0.0, 0.0), (-12.0, 6.0, 0.0, 0.0), (12.0, -12.0, 4.0, 0.0), (-4.0, 6.0, -4.0, 1.0))


def light(views: Tensor, settings: AugmentationSettings, draws: Draws) -> Tensor:
    """Return views (N, 3, h, w), in 0 to 1, under another light: brighter here, darker there, without an edge.

    The logarithm of the light is a tilt, a bow and a round spot, scaled so that the largest change is what was drawn.
    """
    rows, columns = views.shape[-2:]
    y = _places(rows, views.device)[None, :, None]
    x = _places(columns, views.device)[None, None, :]

    def drawn(name: str) -> Tensor:
        return draws.either_way(name, 1.0)[:, None, None]

    width = 2 * draws.between("spot_size", *_SPOT_SIZE)[:, None, None] ** 2
    spot_y = torch.exp(-((y - drawn("spot_y")) ** 2) / width)
    spot_x = torch.exp(-((x - drawn("spot_x")) ** 2) / width)
    field = (drawn("tilt_y") * y + drawn("bow_y") * y**2) + (drawn("tilt_x") * x + drawn("bow_x") * x**2)
    field = torch.baddbmm(field, 2 * drawn("spot") * spot_y, spot_x)
    largest = field.abs().amax(dim=(1, 2), keepdim=True).clamp(min=1e-6)
    strength = draws.share("illumination") * math.log1p(settings.illumination)
    field = field.mul_(strength[:, None, None] / largest).exp_()
    return (views * field[:, None]).clamp_(max=1)


def _places(length: int, device: torch.device) -> Tensor:
    """Return where the pixels along a side lie, from -1 to 1."""
    return (2 * torch.arange(length, device=device) + 1) / length - 1


def mix_colours(
    views: Tensor, field_of_view: Tensor, settings: AugmentationSettings, draws: Draws, pool: Pool
) -> Tensor:
    """Return views (N, 3, h, w), in 0 to 1, of which some have taken colours of another sample of the whole batch.

    Mean and standard deviation of each channel, inside the field of view (N, h, w), move to those of the other sample
    by a random share, a deviation to no more than double or half. What lies outside stays as it is, which is black in
    photographs of the retina; a sample with nothing inside stays too, and gives nothing. `pool` adds up what the parts
    of a batch know. Reinhard et al. 2001, doi:10.1109/38.946629, with RGB for their colour space.
    """
    means, deviations = _statistics(views, field_of_view, draws, pool)
    own = torch.arange(draws.whole, device=views.device)[draws.rows]
    step = 1 + (draws.share("mix_partner") * (draws.whole - 1)).long()  # 1 to all but one on, round the batch
    other = (own + step) % draws.whole
    known = means.amax(dim=1) > 0
    chosen = draws.chosen("mix_colours", settings) & known[own] & known[other]
    share = (draws.share("mix_share") * chosen)[:, None]
    mean, shift = means[own], share * (means[other] - means[own])
    before, after = deviations[own], deviations[other]
    stretch = (after.clamp(min=_GREY_LEVEL) / before.clamp(min=_GREY_LEVEL) - 1) * share + 1
    stretch = stretch.clamp(1 / _LARGEST_STRETCH, _LARGEST_STRETCH)
    offset = mean + shift - stretch * mean
    mixed = torch.addcmul(offset[..., None, None], views, stretch[..., None, None]).clamp_(0, 1)
    return torch.where(field_of_view[:, None], mixed, views)


def _statistics(views: Tensor, field_of_view: Tensor, draws: Draws, pool: Pool) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation (M, 3) of the channels of all M samples of the batch, 0 where none counts."""
    flat, inside = views.flatten(2), field_of_view.flatten(1)[..., None].to(views.dtype)
    count = inside.sum(dim=1).clamp(min=1)
    mean = torch.bmm(flat, inside)[..., 0] / count
    square = torch.bmm(flat.square(), inside)[..., 0] / count
    every = views.new_zeros(draws.whole, 2, 3)
    every[draws.rows] = torch.stack([mean, (square - mean**2).clamp_(min=0).sqrt()], dim=1)
    means, deviations = pool(every).unbind(dim=1)
    return means, deviations


def jitter_colours(views: Tensor, settings: AugmentationSettings, draws: Draws) -> Tensor:
    """Return views (N, 3, h, w), in 0 to 1, of other brightness, contrast and colours."""
    matrix, offset = _colour_map(views, settings, draws)
    return torch.baddbmm(offset, matrix, views.flatten(2)).clamp_(0, 1).view(views.shape)


def _colour_map(views: Tensor, settings: AugmentationSettings, draws: Draws) -> tuple[Tensor, Tensor]:
    """Return matrix (N, 3, 3) and offset (N, 3, 1) of the channels' gains, then saturation, contrast, brightness."""
    gains = torch.stack([draws.factor(name, settings.colour) for name in ("red", "green", "blue")], dim=1)
    saturation = draws.factor("saturation", settings.colour)[:, None, None]
    contrast = draws.factor("contrast", settings.contrast)[:, None, None]
    grey = torch.full((3, 3), 1 / 3, device=views.device)
    matrix = contrast * (grey + saturation * (torch.eye(3, device=views.device) - grey)) * gains[:, None, :]
    mean = (views.mean(dim=(2, 3)) * gains).mean(dim=1)[:, None, None]
    offset = (1 - contrast) * mean + draws.either_way("brightness", settings.brightness)[:, None, None]
    return matrix, offset.expand(-1, 3, 1)


def bend_tones(views: Tensor, settings: AugmentationSettings, draws: Draws) -> Tensor:
    """Return views (N, 3, h, w), in 0 to 1, through a smooth rising curve of each channel, from 0 to 0 and 1 to 1.

    A polynomial of degree 4 in Bernstein's form with five rising control values, which rises therefore; the steps
    between them are equal but for factors of 1 / (1 + x) to 1 + x. Farouki 2012, doi:10.1016/j.cagd.2012.03.001.
    """
    steps = torch.stack([draws.factor(f"tone_{number}", settings.tone) for number in range(12)], dim=1).view(-1, 3, 4)
    values = steps.cumsum(dim=2) / steps.sum(dim=2, keepdim=True)
    powers = values @ torch.tensor(_POWERS, device=views.device).T
    first, *others = powers.flip(-1)[..., None, None].unbind(dim=2)
    bent = first
    for power in others:
        bent = torch.addcmul(power, bent, views)
    return (bent * views).clamp_(0, 1)


def merge_channels(views: Tensor, settings: AugmentationSettings, draws: Draws) -> Tensor:
    """Return views (N, 3, h, w), of which some are grey: half of these their green, half a random mean of channels.

    A red-free photograph is close to the green channel; grey cameras and films see a mean.
    """
    chosen = draws.chosen("channels", settings)
    weights = -torch.stack([draws.share(f"channels_{number}") for number in range(3)], dim=1).clamp(min=1e-6).log()
    weights = weights / weights.sum(dim=1, keepdim=True)  # even over all means
    green = torch.tensor([0.0, 1.0, 0.0], device=views.device)
    weights = torch.where((draws.share("channels_green") < 0.5)[:, None], green, weights)[chosen]
    if len(weights):
        views[chosen] = torch.einsum("nc,nchw->nhw", weights, views[chosen])[:, None]
    return views
