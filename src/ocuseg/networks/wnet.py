"""Two small U-Nets in a row: the second sees the image and what the first has found in it."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from ocuseg.networks.blocks import Activation, Norm, Upsampling
from ocuseg.networks.network import SegmentationNetwork
from ocuseg.networks.settings import NetworkSettings
from ocuseg.networks.unet import UNet, UNetSettings

__all__ = ["WNet", "WNetSettings"]


class WNetSettings(NetworkSettings):
    """Settings of `wnet`, for both U-Nets alike, with the meaning that they have for `unet`."""

    width: int = Field(default=9, ge=1)
    depth: int = Field(default=2, ge=1, le=8)
    norm: Norm = "batch"
    activation: Activation = "relu"
    upsampling: Upsampling = "bilinear"
    dropout: float = Field(default=0.0, ge=0, lt=1)
    attention: Literal["none", "scse", "gate"] = "none"


class WNet(SegmentationNetwork):
    """A cascade: `first` is a U-Net; `encoder`, `decoder` and `head` are another, which sees its probabilities too.

    In training the logits of `first` are the one auxiliary output. The idea is LWNet's, Galdran et al. 2022,
    doi:10.1038/s41598-022-09675-y, whose U-Nets are of another make.
    """

    def __init__(self, settings: WNetSettings) -> None:
        super().__init__()
        alike = settings.model_dump(exclude={"in_channels"})
        second = UNet(UNetSettings(in_channels=settings.in_channels + settings.out_channels, **alike))
        self.in_channels = settings.in_channels
        self.multiple = second.multiple
        self.first = UNet(UNetSettings(in_channels=settings.in_channels, **alike))
        self.encoder, self.decoder, self.head = second.encoder, second.decoder, second.head
        self.auxiliary_heads = second.auxiliary_heads

    def logits(self, images: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Return logits (N, C, H, W); in training mode those of the first U-Net beside them."""
        coarse = self.first.logits(images)
        assert isinstance(coarse, Tensor)  # no deep supervision
        chances = torch.sigmoid(coarse) if coarse.shape[1] == 1 else torch.softmax(coarse, dim=1)
        found = super().logits(torch.cat([images, chances], dim=1))
        assert isinstance(found, Tensor)
        return (found, coarse) if self.training else found
