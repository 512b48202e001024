"""The U-Net 256 of image-to-image work: strided convolutions that halve a 256 x 256 image eight times, to 1 x 1."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from ocuseg.networks.blocks import Norm, initialise, make_norm
from ocuseg.networks.network import SegmentationNetwork
from ocuseg.networks.settings import NetworkSettings

__all__ = ["UNet256", "UNet256Settings"]

_SLOPE = 0.2


class UNet256Settings(NetworkSettings):
    """Settings of `unet-256`; the defaults are those of the paper's code.

    `width` is the number of channels after the first halving (`ngf`), doubled three times and then kept. `depth` is
    the number of halvings; images are padded to a multiple of 2^depth. `dropout` acts in the inner blocks on the way
    up, and in training only (the paper keeps it as a source of noise, which a segmentation has no use for).
    """

    width: int = Field(default=64, ge=1)
    depth: int = Field(default=8, ge=2, le=10)
    norm: Norm = "instance"
    dropout: float = Field(default=0.5, ge=0, lt=1)


class UNet256(SegmentationNetwork):
    """U-Net 256: 4 x 4 convolutions of stride 2 down with leaky ReLU 0.2, their transposes up with ReLU.

    The outermost layers and the innermost on the way down have no normalisation: at 1 x 1 an instance would be
    erased by it. Gives logits, without the tanh that an image would need. Initialised for its activations rather
    than by a normal of 0.02, which fits the middle layers at `width` 64 but damps those without normalisation.
    Isola et al. 2017, doi:10.1109/CVPR.2017.632; https://github.com/junyanz/pytorch-CycleGAN-and-pix2pix.
    """

    def __init__(self, settings: UNet256Settings) -> None:
        super().__init__()
        widths = [settings.width * min(1 << level, 8) for level in range(settings.depth)]
        self.in_channels = settings.in_channels
        self.multiple = 1 << settings.depth
        self.encoder = _Encoder(settings, widths)
        self.decoder = _Decoder(settings, widths)
        self.head = nn.Sequential(nn.ReLU(), nn.ConvTranspose2d(2 * widths[0], settings.out_channels, 4, 2, 1))
        self.auxiliary_heads = nn.ModuleList()
        initialise(self.encoder, _SLOPE)
        initialise(self.decoder)
        initialise(self.head)


class _Encoder(nn.Module):
    def __init__(self, settings: UNet256Settings, widths: list[int]) -> None:
        super().__init__()
        inputs = [settings.in_channels, *widths[:-1]]
        last = len(widths) - 1
        self.blocks = nn.ModuleList(
            _down(before, after, None if level in (0, last) else settings.norm)
            for level, (before, after) in enumerate(zip(inputs, widths, strict=True))
        )

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return features (N, width_i, H / 2^i, W / 2^i), i = 1 to depth, not yet activated."""
        features: list[Tensor] = []
        for block in self.blocks:
            finer = functional.leaky_relu(features[-1], _SLOPE) if features else images
            features.append(block(finer))
        return features


class _Decoder(nn.Module):
    def __init__(self, settings: UNet256Settings, widths: list[int]) -> None:
        super().__init__()
        # The blocks that give 8 * width channels drop out, but for the innermost: three of the eight.
        inner = [level for level in range(1, len(widths)) if widths[level] == widths[level - 1]]
        self.blocks = nn.ModuleList(
            _up(
                widths[level] * (1 if level == len(widths) - 1 else 2),
                widths[level - 1],
                settings.norm,
                settings.dropout if level in inner[:-1] else 0.0,
            )
            for level in range(len(widths) - 1, 0, -1)
        )

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        """Return features (N, 2 width_i, H / 2^i, W / 2^i), i = 1 to depth - 1, not yet activated."""
        outputs = [features[-1]]
        for block, skip in zip(self.blocks, features[-2::-1], strict=True):
            outputs.append(torch.cat([skip, block(functional.relu(outputs[-1]))], dim=1))
        return outputs[:0:-1]


def _down(in_channels: int, out_channels: int, norm: Norm | None) -> nn.Module:
    convolution = nn.Conv2d(in_channels, out_channels, 4, 2, 1, bias=norm is None)
    return convolution if norm is None else nn.Sequential(convolution, make_norm(norm, out_channels))


def _up(in_channels: int, out_channels: int, norm: Norm, dropout: float) -> nn.Module:
    convolution = nn.ConvTranspose2d(in_channels, out_channels, 4, 2, 1, bias=False)
    return nn.Sequential(convolution, make_norm(norm, out_channels), nn.Dropout(dropout))
