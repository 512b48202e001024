"""What optics, sensor and file do to random views: blur, another resolution, noise, JPEG."""

from __future__ import annotations

import io
import math

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from ocuseg.training.augment_draws import Draws
from ocuseg.training.settings import AugmentationSettings

__all__ = ["add_noise", "blur", "coarsen", "compress"]

_LARGEST_REDUCTION = 3.0
_JPEG_QUALITY = (30.0, 90.0)


def blur(views: Tensor, settings: AugmentationSettings, draws: Draws) -> Tensor:
    """Return views (N, 3, h, w), of which some are smoothed by a Gaussian."""
    chosen = draws.chosen("blur", settings)
    if chosen.any():
        views[chosen] = _blur(views[chosen], draws.between("blur_px", *settings.blur_px)[chosen], settings.blur_px[1])
    return views


def _blur(views: Tensor, deviation_px: Tensor, largest_px: float) -> Tensor:
    """Return each image smoothed by a Gaussian of its own width, one axis after the other."""
    samples, channels, rows, columns = views.shape
    groups, reach = samples * channels, math.ceil(3 * largest_px)
    distance = torch.arange(-reach, reach + 1, device=views.device)
    kernel = torch.exp(-0.5 * (distance / deviation_px[:, None]) ** 2)
    kernel = (kernel / kernel.sum(dim=1, keepdim=True)).repeat_interleave(channels, dim=0)
    flat = functional.pad(views.reshape(1, groups, rows, columns), (reach,) * 4, mode="replicate")
    flat = functional.conv2d(flat, kernel[:, None, :, None], groups=groups)
    flat = functional.conv2d(flat, kernel[:, None, None, :], groups=groups)
    return flat.reshape(views.shape)


def coarsen(views: Tensor, settings: AugmentationSettings, draws: Draws) -> Tensor:
    """Return views (N, 3, h, w), of which some were reduced by a factor of 1 to 3, antialiased, and enlarged again."""
    rows, columns = views.shape[-2:]
    factors = torch.exp(draws.share("resolution_factor") * math.log(_LARGEST_REDUCTION)).tolist()
    for sample in draws.chosen("resolution", settings).nonzero()[:, 0].tolist():
        size = [max(1, round(length / factors[sample])) for length in (rows, columns)]
        small = functional.interpolate(views[sample : sample + 1], size, mode="bilinear", antialias=True)
        views[sample] = functional.interpolate(small, (rows, columns), mode="bilinear")[0]
    return views


def add_noise(views: Tensor, settings: AugmentationSettings, draws: Draws) -> Tensor:
    """Return views (N, 3, h, w), in 0 to 1, with normal noise."""
    deviation = draws.share("noise") * settings.noise
    return torch.addcmul(views, draws.noise(views), deviation[:, None, None, None]).clamp_(0, 1)


def compress(views: Tensor, settings: AugmentationSettings, draws: Draws) -> Tensor:
    """Return views (N, 3, h, w), in 0 to 1, of which some have been a JPEG file of a quality of 30 to 90.

    The file's blocks begin anywhere, as those of a crop do. It is written and read by Pillow on the CPU, whatever the
    device: three times as fast there as the same steps (ITU-T T.81) in PyTorch.
    """
    low, high = _JPEG_QUALITY
    qualities = draws.between("jpeg_quality", low, high).round().long().tolist()
    starts = zip(*((16 * draws.share(name)).long().tolist() for name in ("jpeg_y", "jpeg_x")), strict=True)
    places = list(starts)
    for sample in draws.chosen("jpeg", settings).nonzero()[:, 0].tolist():
        top, left = places[sample]
        picture = functional.pad(views[sample], (left, 0, top, 0), mode="replicate")
        pixels = picture.mul_(255).round_().byte().movedim(0, -1).cpu().numpy()
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "JPEG", quality=qualities[sample])
        with Image.open(file) as image:
            found = torch.from_numpy(np.array(image)).to(views.device)
        views[sample] = found[top:, left:].movedim(-1, 0) / 255
    return views
