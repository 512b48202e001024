"""Attention that keeps the shape of its features: over channels, over places, over both, and over skip connections."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from ocuseg.networks.blocks import Norm, make_norm

__all__ = ["AttentionGate", "ConvolutionalBlockAttention", "SpatialChannelExcitation", "SqueezeExcitation"]


class SqueezeExcitation(nn.Module):
    """Squeeze and excitation (`se`): each channel is weighed by what all channels hold on average.

    Hu, Shen & Sun 2018, doi:10.1109/CVPR.2018.00745; the bottleneck has a 16th of the channels.
    """

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        self.bottleneck = _Bottleneck(channels, reduction)

    def forward(self, features: Tensor) -> Tensor:
        """Return `features` (N, C, H, W), each channel multiplied by a weight from 0 to 1."""
        weights: Tensor = self.bottleneck(features.mean((2, 3), keepdim=True)).sigmoid()
        return features * weights


class ConvolutionalBlockAttention(nn.Module):
    """Convolutional block attention (`cbam`): channels first, then places, each from averages and maxima.

    Woo et al. 2018, doi:10.1007/978-3-030-01234-2_1; a 16th of the channels in the bottleneck, a 7 x 7 convolution
    over places.
    """

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        self.bottleneck = _Bottleneck(channels, reduction)
        self.places = nn.Conv2d(2, 1, 7, padding=3, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """Return `features` (N, C, H, W) weighed by channel, then by place, with weights from 0 to 1."""
        mean = self.bottleneck(features.mean((2, 3), keepdim=True))
        highest = self.bottleneck(features.amax((2, 3), keepdim=True))
        features = features * (mean + highest).sigmoid()
        seen = torch.cat([features.mean(1, keepdim=True), features.amax(1, keepdim=True)], dim=1)  # (N, 2, H, W)
        return features * cast(Tensor, self.places(seen)).sigmoid()


class SpatialChannelExcitation(nn.Module):
    """Concurrent spatial and channel squeeze and excitation (`scse`): the sum of both weighings.

    Roy, Navab & Wachinger 2018, doi:10.1007/978-3-030-00928-1_48; half of the channels in the bottleneck.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = SqueezeExcitation(channels, reduction=2)
        self.places = nn.Conv2d(channels, 1, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Return `features` (N, C, H, W) weighed by channel plus the same weighed by place."""
        weighed: Tensor = self.channels(features)
        return weighed + features * cast(Tensor, self.places(features)).sigmoid()


class AttentionGate(nn.Module):
    """Additive attention gate (`gate`): what a skip connection may pass, decided with the coarser level.

    Oktay et al. 2018, arXiv:1804.03999: the skip is brought to the coarser grid, and the weights back to its own.
    """

    def __init__(self, skip_channels: int, coarse_channels: int, norm: Norm) -> None:
        super().__init__()
        inner = max(1, skip_channels // 2)
        self.skip = nn.Conv2d(skip_channels, inner, 2, stride=2, bias=False)
        self.coarse = nn.Conv2d(coarse_channels, inner, 1)
        self.weights = nn.Conv2d(inner, 1, 1)
        self.out = nn.Sequential(nn.Conv2d(skip_channels, skip_channels, 1, bias=False), make_norm(norm, skip_channels))

    def forward(self, skip: Tensor, coarse: Tensor) -> Tensor:
        """Return `skip` (N, C, H, W) weighed by place, seen together with `coarse` (N, C', H / 2, W / 2)."""
        joined = functional.relu(self.skip(skip) + self.coarse(coarse))
        weights = functional.interpolate(cast(Tensor, self.weights(joined)).sigmoid(), scale_factor=2, mode="bilinear")
        gated: Tensor = self.out(skip * weights)
        return gated


class _Bottleneck(nn.Sequential):
    """Two 1 x 1 convolutions through fewer channels, but at least eight where there are as many.

    Averages of activated features are not negative, so that about half of the inner channels start, and stay, at 0.
    """

    def __init__(self, channels: int, reduction: int) -> None:
        inner = max(min(8, channels), channels // reduction)
        super().__init__(nn.Conv2d(channels, inner, 1), nn.ReLU(inplace=True), nn.Conv2d(inner, channels, 1))
