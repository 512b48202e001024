"""The random numbers of a batch of views, by name."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ocuseg.training.settings import AugmentationSettings

__all__ = ["Draws"]


class Draws:
    """Random numbers of each sample, by name: turning one change off leaves the others as they were.

    `samples` are the `part` (k, n), the k-th, from 0, of n equal parts of a batch: what a sample draws does not depend
    on the parts. All but the noise is drawn on the CPU, so that every `device` makes the same view but for its noise.
    """

    _NAMES = (
        *("rotation", "scale", "shift_x", "shift_y", "elastic", "flip_horizontal", "flip_vertical"),
        *("brightness", "contrast", "gamma", "red", "green", "blue", "saturation", "blur", "blur_px", "noise"),
    )
    # Of a generator of their own, so that with a seed those above stay what they were before there were these; so do
    # all where a name is added at the end.
    _LATER_NAMES = (
        *("illumination", "tilt_x", "tilt_y", "bow_x", "bow_y", "spot", "spot_x", "spot_y", "spot_size"),
        *(f"tone_{number}" for number in range(12)),
        *("mix_colours", "mix_share", "mix_partner"),
        *("channels", "channels_green", "channels_0", "channels_1", "channels_2"),
        *("resolution", "resolution_factor", "jpeg", "jpeg_quality", "jpeg_x", "jpeg_y"),
    )

    def __init__(
        self, samples: int, part: tuple[int, int], generator: torch.Generator | None, device: torch.device
    ) -> None:
        self.whole, self.rows = samples * part[1], slice(part[0] * samples, (part[0] + 1) * samples)
        shares = torch.rand(len(self._NAMES), self.whole, generator=generator)
        self._seeds = torch.randint(1 << 62, (2,), generator=generator).tolist()
        own = torch.Generator().manual_seed(self._seeds[0] ^ self._seeds[1])
        shares = torch.cat([shares, torch.rand(len(self._LATER_NAMES), self.whole, generator=own)])[:, self.rows]
        names = (*self._NAMES, *self._LATER_NAMES)
        self._shares: dict[str, Tensor] = dict(zip(names, shares.to(device), strict=True))
        self.device = device

    def share(self, name: str) -> Tensor:
        """Return (N,) numbers, even in 0 to 1."""
        return self._shares[name]

    def between(self, name: str, low: float, high: float) -> Tensor:
        """Return (N,) numbers, even in low to high."""
        return low + (high - low) * self.share(name)

    def chosen(self, name: str, settings: AugmentationSettings) -> Tensor:
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
        return torch.randn(self.whole, *shape, generator=generator)[self.rows].to(self.device)

    def noise(self, views: Tensor) -> Tensor:
        """Return standard normal numbers for every pixel, made on the device."""
        generator = torch.Generator(self.device).manual_seed(self._seeds[1])
        return views.new_empty(self.whole, *views.shape[1:]).normal_(generator=generator)[self.rows]
