"""Random views of a batch: geometry that moves image, mask and field of view together, and changes of colour."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from ocuseg.training.recipe import AugmentationSettings

__all__ = ["Augmentation"]

_ELASTIC_SPACING = 1 / 6  # of the shorter side: six waves, about the size of an optic disc
_BLUR_PX = (0.5, 1.5)


class Augmentation:
    """Random views of batches, as far from the truth as `settings` allow; with everything at 0 the truth itself.

    Every sample draws its own strength. Geometry: `flip_horizontal` and `flip_vertical` are probabilities;
    `rotation_degrees` the largest angle either way; `scale` the smallest and the largest magnification; `shift` the
    largest shift either way as a share of the view's height and width; `elastic` the largest standard deviation of a
    smooth displacement as a share of the view's shorter side.
    Colour, on the scale 0 to 1: `brightness` is the largest sum added or taken; `contrast`, `gamma` and `colour` the
    largest relative change, up (1 + x) or down (1 / (1 + x)), of the spread about the image's mean, of the exponent,
    and of each channel as well as of the spread about grey (saturation); `blur` is the probability of a Gaussian blur
    of 0.5 to 1.5 px; `noise` the largest standard deviation of added normal noise.
    """

    def __init__(self, settings: AugmentationSettings) -> None:
        self.settings = settings

    def __call__(
        self,
        images: Tensor,
        target: Tensor,
        field_of_view: Tensor,
        *,
        out_size: tuple[int, int],
        generator: torch.Generator | int | None = None,
        part: tuple[int, int] = (0, 1),
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return images (N, 3, h, w) float32 in 0 to 1, target uint8 and field of view bool (N, h, w) of the views.

        `images` (N, 3, H, W) uint8, `target` (N, H, W) uint8 ids and `field_of_view` (N, H, W) bool are windows about
        what is wanted; the view is taken at their centre, so that with H, W larger than `out_size` (h, w) a rotation
        need not show a border. What lies outside the window is outside the field of view; there, images repeat the
        window's edge and ids are 0. Images are sampled bilinearly; ids and field of view at their nearest pixel,
        through the same grid. Flips and the centre alone are exact: no pixel is then mixed with another.

        All happens on the device of `images`, and depends on the arguments only: `generator` is a seed, a generator
        of the CPU (advanced by the same amount whatever the settings), or by default torch's global one. With `part`
        (k, n), `images` are the k-th, from 0, of n equal parts of a batch, and look as they do in the whole one.
        """
        if isinstance(generator, int):
            generator = torch.Generator().manual_seed(generator)
        settings, draws = self.settings, _Draws(len(images), part, generator, images.device)
        images = images.to(torch.float32, memory_format=torch.contiguous_format)  # one layout, one sequence of noise
        if settings.rotation_degrees or settings.shift or settings.elastic or settings.scale != (1.0, 1.0):
            grid = _sampling_grid(settings, draws, (images.shape[-2], images.shape[-1]), out_size)
            views, target, field_of_view = _sample(images, target, field_of_view, grid)
        else:
            views, target, field_of_view = _centre(images, target, field_of_view, out_size)
            views, target, field_of_view = _flip(views, target, field_of_view, settings, draws)
        return _recolour(views, settings, draws), target, field_of_view


class _Draws:
    """Random numbers of each sample, by name: turning one change off leaves the others as they were."""

    _NAMES = (
        *("rotation", "scale", "shift_x", "shift_y", "elastic", "flip_horizontal", "flip_vertical"),
        *("brightness", "contrast", "gamma", "red", "green", "blue", "saturation", "blur", "blur_px", "noise"),
    )

    def __init__(
        self, samples: int, part: tuple[int, int], generator: torch.Generator | None, device: torch.device
    ) -> None:
        # For the whole batch, of which these samples are a part: what a sample draws does not depend on the parts.
        self._whole, self._rows = samples * part[1], slice(part[0] * samples, (part[0] + 1) * samples)
        # Drawn on the CPU, so that every device makes the same view but for its noise.
        shares = torch.rand(len(self._NAMES), self._whole, generator=generator)[:, self._rows]
        self._shares: dict[str, Tensor] = dict(zip(self._NAMES, shares.to(device), strict=True))
        self._seeds = torch.randint(1 << 62, (2,), generator=generator).tolist()
        self.device = device

    def share(self, name: str) -> Tensor:
        """Return (N,) numbers, even in 0 to 1."""
        return self._shares[name]

    def flipped(self, name: str, settings: AugmentationSettings) -> Tensor:
        """Return (N,) bool, as often as `settings` say."""
        probability: float = getattr(settings, name)
        return self.share(name) < probability

    def either_way(self, name: str, limit: float) -> Tensor:
        """Return (N,) numbers, even in -limit to limit."""
        return (2 * self.share(name) - 1) * limit

    def factor(self, name: str, change: float) -> Tensor:
        """Return (N,) factors in 1 / (1 + change) to 1 + change, even in their logarithm."""
        return self.either_way(name, math.log1p(change)).exp()

    def nodes(self, *shape: int) -> Tensor:
        """Return (N, *shape) standard normal numbers for the control points of a displacement."""
        generator = torch.Generator().manual_seed(self._seeds[0])
        return torch.randn(self._whole, *shape, generator=generator)[self._rows].to(self.device)

    def noise(self, views: Tensor) -> Tensor:
        """Return standard normal numbers for every pixel, made on the device."""
        generator = torch.Generator(self.device).manual_seed(self._seeds[1])
        return views.new_empty(self._whole, *views.shape[1:]).normal_(generator=generator)[self._rows]


def _sampling_grid(
    settings: AugmentationSettings, draws: _Draws, size: tuple[int, int], out_size: tuple[int, int]
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
    y = torch.where(draws.flipped("flip_vertical", settings)[:, None, None], -y, y)
    x = torch.where(draws.flipped("flip_horizontal", settings)[:, None, None], -x, x)
    y = y - draws.either_way("shift_y", settings.shift * rows)[:, None, None]
    x = x - draws.either_way("shift_x", settings.shift * columns)[:, None, None]
    # The centre is that of the exact centre crop, half a pixel off where the sizes differ by an odd number.
    source_x = cosine * x - sine * y + ((width - columns) // 2 + columns / 2)
    source_y = sine * x + cosine * y + ((height - rows) // 2 + rows / 2)
    if settings.elastic:
        displacement = _displacement(settings, draws, out_size)
        source_x, source_y = source_x + displacement[:, 0], source_y + displacement[:, 1]
    return torch.stack([source_x * (2 / width) - 1, source_y * (2 / height) - 1], dim=-1)


def _displacement(settings: AugmentationSettings, draws: _Draws, out_size: tuple[int, int]) -> Tensor:
    """Return a smooth random field (N, 2, h, w) in pixels: normal numbers at control points, bicubic between them.

    Control points are no closer than five standard deviations, so that a fold is rare.
    """
    spacing = max(_ELASTIC_SPACING, 5 * settings.elastic)
    deviation_px = draws.share("elastic") * settings.elastic * min(out_size)
    nodes = [math.ceil(length / (spacing * min(out_size))) + 1 for length in out_size]
    # Between the control points bicubic interpolation keeps 0.86 of their standard deviation, on average.
    coarse = draws.nodes(2, *nodes) * (deviation_px / 0.86)[:, None, None, None]
    down = _bicubic_weights(nodes[0], out_size[0], draws.flipped("flip_vertical", settings))
    across = _bicubic_weights(nodes[1], out_size[1], draws.flipped("flip_horizontal", settings))
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
    views: Tensor, target: Tensor, field_of_view: Tensor, settings: AugmentationSettings, draws: _Draws
) -> tuple[Tensor, Tensor, Tensor]:
    for name, axis in (("flip_horizontal", -1), ("flip_vertical", -2)):
        if getattr(settings, name):
            turned = draws.flipped(name, settings)[:, None, None]
            views = torch.where(turned[..., None], views.flip(axis), views)
            target = torch.where(turned, target.flip(axis), target)
            field_of_view = torch.where(turned, field_of_view.flip(axis), field_of_view)
    return views, target, field_of_view


def _recolour(views: Tensor, settings: AugmentationSettings, draws: _Draws) -> Tensor:
    if settings.brightness or settings.contrast or settings.colour:
        matrix, offset = _colour_map(views, settings, draws)
        views = torch.baddbmm(offset, matrix, views.flatten(2)).clamp_(0, 1).view(views.shape)
    if settings.gamma:
        views = views.pow(draws.factor("gamma", settings.gamma)[:, None, None, None])
    if settings.blur:
        low, high = _BLUR_PX
        chosen = draws.share("blur") < settings.blur
        if chosen.any():
            views = views.clone()
            views[chosen] = _blur(views[chosen], (low + (high - low) * draws.share("blur_px"))[chosen])
    if settings.noise:
        deviation = draws.share("noise") * settings.noise
        views = torch.addcmul(views, draws.noise(views), deviation[:, None, None, None]).clamp_(0, 1)
    return views


def _colour_map(views: Tensor, settings: AugmentationSettings, draws: _Draws) -> tuple[Tensor, Tensor]:
    """Return matrix (N, 3, 3) and offset (N, 3, 1) of the channels' gains, then saturation, contrast, brightness."""
    gains = torch.stack([draws.factor(name, settings.colour) for name in ("red", "green", "blue")], dim=1)
    saturation = draws.factor("saturation", settings.colour)[:, None, None]
    contrast = draws.factor("contrast", settings.contrast)[:, None, None]
    grey = torch.full((3, 3), 1 / 3, device=views.device)
    matrix = contrast * (grey + saturation * (torch.eye(3, device=views.device) - grey)) * gains[:, None, :]
    mean = (views.mean(dim=(2, 3)) * gains).mean(dim=1)[:, None, None]
    offset = (1 - contrast) * mean + draws.either_way("brightness", settings.brightness)[:, None, None]
    return matrix, offset.expand(-1, 3, 1)


def _blur(views: Tensor, deviation_px: Tensor) -> Tensor:
    """Return each image smoothed by a Gaussian of its own width, one axis after the other."""
    samples, channels, rows, columns = views.shape
    groups, reach = samples * channels, math.ceil(3 * _BLUR_PX[1])
    distance = torch.arange(-reach, reach + 1, device=views.device)
    kernel = torch.exp(-0.5 * (distance / deviation_px[:, None]) ** 2)
    kernel = (kernel / kernel.sum(dim=1, keepdim=True)).repeat_interleave(channels, dim=0)
    flat = functional.pad(views.reshape(1, groups, rows, columns), (reach,) * 4, mode="replicate")
    flat = functional.conv2d(flat, kernel[:, None, :, None], groups=groups)
    flat = functional.conv2d(flat, kernel[:, None, None, :], groups=groups)
    return flat.reshape(views.shape)
