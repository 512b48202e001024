"""Random views of a batch: geometry that moves image, mask and field of view together, and changes of the image."""

from __future__ import annotations

import torch
from torch import Tensor

from ocuseg.training.augment_camera import add_noise, blur, coarsen, compress
from ocuseg.training.augment_colour import bend_tones, jitter_colours, light, merge_channels, mix_colours
from ocuseg.training.augment_draws import Draws
from ocuseg.training.augment_geometry import move
from ocuseg.training.settings import AugmentationSettings
from ocuseg.training.terms import Pool

__all__ = ["Augmentation"]


class Augmentation:
    """Random views of batches, as far from the truth as `settings` allow; with everything at 0 the truth itself.

    Every sample draws its own strength. Geometry: `flip_horizontal` and `flip_vertical` are probabilities;
    `rotation_degrees` the largest angle either way; `scale` the smallest and the largest magnification; `shift` the
    largest shift either way as a share of the view's height and width; `elastic` the largest standard deviation of a
    smooth displacement as a share of the view's shorter side.
    Colour, on the scale 0 to 1: `brightness` is the largest sum added or taken; `contrast`, `gamma` and `colour` the
    largest relative change, up (1 + x) or down (1 / (1 + x)), of the spread about the image's mean, of the exponent,
    and of each channel as well as of the spread about grey (saturation); `blur` is the probability of a Gaussian blur
    whose standard deviation is in the range `blur_px`; `noise` the largest standard deviation of added normal noise.
    Another camera: `illumination` is the largest relative change, up or down, by an uneven light; `tone` that of the
    steps of a curve for each channel; `mix_colours`, `channels`, `resolution` and `jpeg` are the probabilities of the
    colours of another image, of grey, of a coarser picture and of JPEG.
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
        pool: Pool = lambda sums: sums,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return images (N, 3, h, w) float32 in 0 to 1, target uint8 and field of view bool (N, h, w) of the views.

        `images` (N, 3, H, W) uint8, `target` (N, H, W) uint8 ids and `field_of_view` (N, H, W) bool are windows about
        what is wanted; the view is taken at their centre, so that with H, W larger than `out_size` (h, w) a rotation
        need not show a border. What lies outside the window is outside the field of view; there, images repeat the
        window's edge and ids are 0. Images are sampled bilinearly; ids and field of view at their nearest pixel,
        through the same grid. Flips and the centre alone are exact: no pixel is then mixed with another.

        All happens on the device of `images`, and depends on the arguments only: `generator` is a seed, a generator
        of the CPU (advanced by the same amount whatever the settings), or by default torch's global one. With `part`
        (k, n), `images` are the k-th, from 0, of n equal parts of a batch, and look as they do in the whole one; for
        `mix_colours`, which needs the other parts, `pool` returns the sum of what all parts give it.
        """
        if isinstance(generator, int):
            generator = torch.Generator().manual_seed(generator)
        settings, draws = self.settings, Draws(len(images), part, generator, images.device)
        images = images.to(torch.float32, memory_format=torch.contiguous_format)  # one layout, one sequence of noise
        views, target, field_of_view = move(images, target, field_of_view, out_size, settings, draws)
        # In the order of nature: scene and light, the camera's colours, its optics and sensor, the file.
        if settings.mix_colours:
            views = mix_colours(views, field_of_view, settings, draws, pool)
        if settings.illumination:
            views = light(views, settings, draws)
        if settings.brightness or settings.contrast or settings.colour:
            views = jitter_colours(views, settings, draws)
        if settings.gamma:
            views = views.pow(draws.factor("gamma", settings.gamma)[:, None, None, None])
        if settings.tone:
            views = bend_tones(views, settings, draws)
        if settings.blur:
            views = blur(views, settings, draws)
        if settings.resolution:
            views = coarsen(views, settings, draws)
        if settings.noise:
            views = add_noise(views, settings, draws)
        if settings.channels:
            views = merge_channels(views, settings, draws)
        if settings.jpeg:
            views = compress(views, settings, draws)
        return views, target, field_of_view
