"""Geometry of random views: image, mask and field of view are moved together, through one grid."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from ocuseg.training.augment_draws import Draws
from ocuseg.training.settings import AugmentationSettings

__all__ = ["move"]

_ELASTIC_SPACING = 1 / 6  # of the shorter side: six waves, about the size of an optic disc


def move(
    images: Tensor,
    target: Tensor,
    field_of_view: Tensor,
    out_size: tuple[int, int],
    settings: AugmentationSettings,
    draws: Draws,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the views of windows: images (N, 3, h, w) float32 in 0 to 1, target and field of view (N, h, w).

    `images` (N, 3, H, W) float32 in 0 to 255, `target` (N, H, W) uint8 and `field_of_view` (N, H, W) bool stay as they
    are; `out_size` is (h, w). The views are tensors of their own, which may be changed in place.
    """
    if settings.rotation_degrees or settings.shift or settings.elastic or settings.scale != (1.0, 1.0):
        grid = _sampling_grid(settings, draws, (images.shape[-2], images.shape[-1]), out_size)
        return _sample(images, target, field_of_view, grid)
    views, target, field_of_view = _centre(images, target, field_of_view, out_size)
    return _flip(views, target, field_of_view, settings, draws)


def _sampling_grid(
    settings: AugmentationSettings, draws: Draws, size: tuple[int, int], out_size: tuple[int, int]
) -> Tensor:
    """Return, for each pixel of the view, where it lies in the window: (N, h, w, 2) x and y in -1 to 1."""
    (height, width), (rows, columns) = size, out_size
    angle = draws.either_way("rotation", math.radians(settings.rotation_degrees))
    low, high = (math.log(each) for each in settings.scale)
    magnification = (low + (high - low) * draws.share("scale")).exp()
    cosine = (angle.cos() / magnification)[:, None, None]
    sine = (angle.sin() / magnification)[:, None, None]
    y = torch.arange(rows, device=draws.device)[:, None] - (rows - 1) / 2
    x = torch.arange(columns, device=draws.device)[None, :] - (columns - 1) / 2
    # A view is flipped by where its pixels are looked up: exact, and cheaper than to flip the pixels.
    y = torch.where(draws.chosen("flip_vertical", settings)[:, None, None], -y, y)
    x = torch.where(draws.chosen("flip_horizontal", settings)[:, None, None], -x, x)
    y = y - draws.either_way("shift_y", settings.shift * rows)[:, None, None]
    x = x - draws.either_way("shift_x", settings.shift * columns)[:, None, None]
    # The centre is that of the exact centre crop, half a pixel off where the sizes differ by an odd number.
    source_x = cosine * x - sine * y + ((width - columns) // 2 + columns / 2)
    source_y = sine * x + cosine * y + ((height - rows) // 2 + rows / 2)
    if settings.elastic:
        displacement = _displacement(settings, draws, out_size)
        source_x, source_y = source_x + displacement[:, 0], source_y + displacement[:, 1]
    return torch.stack([source_x * (2 / width) - 1, source_y * (2 / height) - 1], dim=-1)


def _displacement(settings: AugmentationSettings, draws: Draws, out_size: tuple[int, int]) -> Tensor:
    """Return a smooth random field (N, 2, h, w) in pixels: normal numbers at control points, bicubic between them.

    Control points are no closer than five standard deviations, so that a fold is rare.
    """
    spacing = max(_ELASTIC_SPACING, 5 * settings.elastic)
    deviation_px = draws.share("elastic") * settings.elastic * min(out_size)
    nodes = [math.ceil(length / (spacing * min(out_size))) + 1 for length in out_size]
    # Between the control points bicubic interpolation keeps 0.86 of their standard deviation, on average.
    coarse = draws.nodes(2, *nodes) * (deviation_px / 0.86)[:, None, None, None]
    down = _bicubic_weights(nodes[0], out_size[0], draws.chosen("flip_vertical", settings))
    across = _bicubic_weights(nodes[1], out_size[1], draws.chosen("flip_horizontal", settings))
    return down @ coarse @ across.mT


def _bicubic_weights(nodes: int, length: int, flipped: Tensor) -> Tensor:
    """Return (N, 1, length, nodes): the weight of each control point in each pixel along one side of each view."""
    points = torch.eye(nodes, device=flipped.device)[None, None]
    weights = functional.interpolate(points, size=(length, nodes), mode="bicubic")
    return torch.where(flipped[:, None, None, None], weights.flip(-2), weights)


def _sample(images: Tensor, target: Tensor, field_of_view: Tensor, grid: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    views = functional.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)
    both = target.float().add_(field_of_view, alpha=256)[:, None]  # ids end at 255: one picture to sample, not two
    both = functional.grid_sample(both, grid, mode="nearest", padding_mode="zeros", align_corners=False)[:, 0]
    return views.div_(255), both.short().bitwise_and_(255).to(target.dtype), both >= 256


def _centre(
    images: Tensor, target: Tensor, field_of_view: Tensor, out_size: tuple[int, int]
) -> tuple[Tensor, Tensor, Tensor]:
    (rows, columns), (height, width) = out_size, images.shape[-2:]
    top, left = (height - rows) // 2, (width - columns) // 2
    margins = (-left, columns - width + left, -top, rows - height + top)  # negative ones crop
    views = functional.pad(images, margins, mode="replicate") / 255
    return views, functional.pad(target, margins), functional.pad(field_of_view, margins)


def _flip(
    views: Tensor, target: Tensor, field_of_view: Tensor, settings: AugmentationSettings, draws: Draws
) -> tuple[Tensor, Tensor, Tensor]:
    for name, axis in (("flip_horizontal", -1), ("flip_vertical", -2)):
        if getattr(settings, name):
            turned = draws.chosen(name, settings)[:, None, None]
            views = torch.where(turned[..., None], views.flip(axis), views)
            target = torch.where(turned, target.flip(axis), target)
            field_of_view = torch.where(turned, field_of_view.flip(axis), field_of_view)
    return views, target, field_of_view
