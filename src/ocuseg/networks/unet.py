"""The U-Net of double convolutions, from 0.5 million to the original's 31 million parameters."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from ocuseg.networks.attention import AttentionGate, SpatialChannelExcitation
from ocuseg.networks.blocks import (
    Activation,
    DoubleConvolution,
    Norm,
    Upsampling,
    initialise,
    make_upsampling,
    slope_of,
)
from ocuseg.networks.network import SegmentationNetwork
from ocuseg.networks.settings import NetworkSettings

__all__ = ["SmallUNetSettings", "UNet", "UNetSettings"]


class UNetSettings(NetworkSettings):
    """Settings of `unet`; the defaults are the original's four halvings, 64 to 1024 channels.

    `width` is the number of channels at full size, doubled by each of `depth` halvings. `dropout` is the share of
    channels that are set to zero at the two coarsest levels. `deep_supervision` adds logits at every coarser level
    of the decoder while training. `attention` is `scse` after every block of the decoder, or `gate`: additive
    attention gates in the skip connections.
    """

    width: int = Field(default=64, ge=1)
    depth: int = Field(default=4, ge=1, le=8)
    norm: Norm = "batch"
    activation: Activation = "relu"
    upsampling: Upsampling = "transposed"
    dropout: float = Field(default=0.0, ge=0, lt=1)
    deep_supervision: bool = False
    attention: Literal["none", "scse", "gate"] = "none"


class SmallUNetSettings(UNetSettings):
    """Settings of `unet-small`: the same network, three halvings, 16 to 128 channels."""

    width: int = Field(default=16, ge=1)
    depth: int = Field(default=3, ge=1, le=8)


class UNet(SegmentationNetwork):
    """U-Net: double convolutions, halved by max pooling on the way down, joined to their equals on the way up.

    Unlike the original its convolutions are padded, so that the logits are as large as the image, and normalised.
    Ronneberger, Fischer & Brox 2015, doi:10.1007/978-3-319-24574-4_28; deep supervision: Lee et al. 2015,
    http://proceedings.mlr.press/v38/lee15a.html; dropout of whole channels: Tompson et al. 2015,
    doi:10.1109/CVPR.2015.7298664; attention: see `ocuseg.networks.attention`.
    """

    def __init__(self, settings: UNetSettings) -> None:
        super().__init__()
        widths = [settings.width << level for level in range(settings.depth + 1)]
        self.in_channels = settings.in_channels
        self.multiple = 1 << settings.depth
        self.encoder = _Encoder(settings, widths)
        self.decoder = _Decoder(settings, widths)
        self.head = nn.Conv2d(widths[0], settings.out_channels, 1)
        coarser = widths[1:-1] if settings.deep_supervision else []
        self.auxiliary_heads = nn.ModuleList(nn.Conv2d(width, settings.out_channels, 1) for width in coarser)
        initialise(self, slope_of(settings.activation))


class _Encoder(nn.Module):
    def __init__(self, settings: UNetSettings, widths: list[int]) -> None:
        super().__init__()
        inputs = [settings.in_channels, *widths[:-1]]
        self.blocks = nn.ModuleList(
            DoubleConvolution(before, after, settings.norm, settings.activation)
            for before, after in zip(inputs, widths, strict=True)
        )
        self.dropout = nn.Dropout2d(settings.dropout)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return features (N, width * 2^i, H / 2^i, W / 2^i), i = 0 to depth."""
        features: list[Tensor] = []
        for level, block in enumerate(self.blocks):
            finer = functional.max_pool2d(features[-1], 2) if features else images
            feature = block(finer)
            features.append(self.dropout(feature) if level >= len(self.blocks) - 2 else feature)
        return features


class _Decoder(nn.Module):
    def __init__(self, settings: UNetSettings, widths: list[int]) -> None:
        super().__init__()
        pairs = [(coarse, fine) for fine, coarse in pairwise(widths)][::-1]
        self.upsamplings = nn.ModuleList(make_upsampling(settings.upsampling, coarse, fine) for coarse, fine in pairs)
        self.blocks = nn.ModuleList(
            DoubleConvolution(2 * fine, fine, settings.norm, settings.activation) for _, fine in pairs
        )
        # One for each level, or none at all: networks without attention have the state that they always had.
        gated, excited = settings.attention == "gate", settings.attention == "scse"
        self.gates = nn.ModuleList(AttentionGate(fine, coarse, settings.norm) for coarse, fine in pairs if gated)
        self.excitations = nn.ModuleList(SpatialChannelExcitation(fine) for _, fine in pairs if excited)

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        """Return features (N, width * 2^i, H / 2^i, W / 2^i), i = 0 to depth - 1."""
        outputs = [features[-1]]
        for level, (upsampling, block) in enumerate(zip(self.upsamplings, self.blocks, strict=True)):
            coarse, skip = outputs[-1], features[-2 - level]
            if self.gates:
                skip = self.gates[level](skip, coarse)
            output = block(torch.cat([skip, upsampling(coarse)], dim=1))
            outputs.append(self.excitations[level](output) if self.excitations else output)
        return outputs[:0:-1]
