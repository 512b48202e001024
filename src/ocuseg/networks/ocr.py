"""Object-contextual representations: every pixel described by the regions of the classes that it resembles."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ocuseg.networks.blocks import BatchNorm

__all__ = ["ObjectContextHead"]


class ObjectContextHead(nn.Module):
    """Features to logits by object-contextual representations (OCR), with the auxiliary logits they rest on.

    Coarse logits (`aux_head`) say softly which pixels belong to each class; the mean features of these regions are
    given back to every pixel by how much it resembles them. With one logit for two classes, the background is the
    second region. Yuan, Chen & Wang 2020, doi:10.1007/978-3-030-58539-6_11; the parts have the names of the authors'
    code, https://github.com/HRNet/HRNet-Semantic-Segmentation, which uses 512 and 256 channels.
    """

    def __init__(self, in_channels: int, out_channels: int, *, mid_channels: int, key_channels: int) -> None:
        super().__init__()
        self.aux_head = nn.Sequential(*_convolved(in_channels, in_channels), nn.Conv2d(in_channels, out_channels, 1))
        self.conv3x3_ocr = nn.Sequential(*_convolved(in_channels, mid_channels, 3))
        self.ocr_gather_head = _Gather()
        self.ocr_distri_head = _Distribute(mid_channels, key_channels)
        self.cls_head = nn.Conv2d(mid_channels, out_channels, 1)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (N, C, H, W) and auxiliary logits of the same shape for features (N, in_channels, H, W)."""
        coarse: Tensor = self.aux_head(features)
        regions = torch.cat([-coarse, coarse], dim=1) if coarse.shape[1] == 1 else coarse
        pixels = self.conv3x3_ocr(features)
        objects = self.ocr_gather_head(pixels, regions)
        return self.cls_head(self.ocr_distri_head(pixels, objects)), coarse


class _Gather(nn.Module):
    def forward(self, pixels: Tensor, regions: Tensor) -> Tensor:
        """Return the mean of `pixels` (N, C, H, W) over each of K soft `regions` (N, K, H, W), as (N, C, K, 1)."""
        shares = regions.flatten(2).softmax(dim=2)  # (N, K, HW)
        means = torch.matmul(shares, pixels.flatten(2).transpose(1, 2))  # (N, K, C)
        return means.transpose(1, 2).unsqueeze(3)


class _Distribute(nn.Module):
    def __init__(self, channels: int, key_channels: int) -> None:
        super().__init__()
        self.object_context_block = _ObjectAttention(channels, key_channels)
        self.conv_bn_dropout = nn.Sequential(*_projected(2 * channels, channels), nn.Dropout2d(0.05))

    def forward(self, pixels: Tensor, objects: Tensor) -> Tensor:
        """Return `pixels` (N, C, H, W) joined with what `objects` (N, C, K, 1) say of them, again with C channels."""
        context = self.object_context_block(pixels, objects)
        joined: Tensor = self.conv_bn_dropout(torch.cat([context, pixels], dim=1))
        return joined


class _ObjectAttention(nn.Module):
    def __init__(self, channels: int, key_channels: int) -> None:
        super().__init__()
        self.key_channels = key_channels
        self.f_pixel = nn.Sequential(*_projected(channels, key_channels), *_projected(key_channels, key_channels))
        self.f_object = nn.Sequential(*_projected(channels, key_channels), *_projected(key_channels, key_channels))
        self.f_down = nn.Sequential(*_projected(channels, key_channels))
        self.f_up = nn.Sequential(*_projected(key_channels, channels))

    def forward(self, pixels: Tensor, objects: Tensor) -> Tensor:
        """Return for each pixel the mix of `objects` (N, C, K, 1) that resemble it, (N, C, H, W)."""
        query = self.f_pixel(pixels).flatten(2).transpose(1, 2)  # (N, HW, key)
        key = self.f_object(objects).flatten(2)  # (N, key, K)
        value = self.f_down(objects).flatten(2).transpose(1, 2)  # (N, K, key)
        alike = (torch.matmul(query, key) / math.sqrt(self.key_channels)).softmax(dim=2)
        context = torch.matmul(alike, value).transpose(1, 2)  # (N, key, HW)
        mixed: Tensor = self.f_up(context.reshape(*context.shape[:2], *pixels.shape[2:]))
        return mixed


def _convolved(in_channels: int, out_channels: int, kernel: int = 1) -> tuple[nn.Module, nn.Module, nn.Module]:
    convolution = nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2)
    return convolution, BatchNorm(out_channels), nn.ReLU(inplace=True)


def _projected(in_channels: int, out_channels: int) -> tuple[nn.Module, nn.Module]:
    """A 1 x 1 convolution without bias, normalised and activated, nested as the authors' code nests it."""
    activated = nn.Sequential(BatchNorm(out_channels), nn.ReLU(inplace=True))
    return nn.Conv2d(in_channels, out_channels, 1, bias=False), activated
