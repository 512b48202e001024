"""HRNet: four resolutions side by side from the first stage to the last, by the names of its published weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from ocuseg.networks.attention import ConvolutionalBlockAttention, SpatialChannelExcitation, SqueezeExcitation
from ocuseg.networks.blocks import BatchNorm, initialise
from ocuseg.networks.network import SegmentationNetwork
from ocuseg.networks.ocr import ObjectContextHead
from ocuseg.networks.resolutions import BasicBlock, Bottleneck, Stage, Transition, make_layer
from ocuseg.networks.settings import NetworkSettings

__all__ = ["HRNet", "HRNetEncoder", "HRNetSettings"]

Variant = Literal["small-v1", "small-v2", "w18", "w32", "w48"]
Attention = Literal["none", "se", "cbam", "scse", "ocr"]
_Channels = Annotated[int, Field(ge=1, strict=True)]


@dataclass(frozen=True, slots=True)
class _Shape:
    """`stem` is (bottlenecks, channels inside each); `modules` are those of stages 2, 3, 4 with `blocks` a branch."""

    width: int
    stem: tuple[int, int]
    modules: tuple[int, int, int]
    blocks: int


_SHAPES: dict[Variant, _Shape] = {
    "small-v1": _Shape(16, (1, 32), (1, 1, 1), 2),
    "small-v2": _Shape(18, (2, 64), (1, 3, 2), 2),
    "w18": _Shape(18, (4, 64), (1, 4, 3), 4),
    "w32": _Shape(32, (4, 64), (1, 4, 3), 4),
    "w48": _Shape(48, (4, 64), (1, 4, 3), 4),
}


class HRNetSettings(NetworkSettings):
    """Settings of `hrnet`: the variant, and the attention over its fused features.

    `fuse_upsampling` is how a coarser branch is enlarged before it is added to a finer one: `bilinear` as the
    segmentation networks do, `nearest` as timm's classifiers. `ocr_channels` are the channels of the pixels and of the
    keys in object-contextual representations; `attention: ocr` uses them, nothing else does.
    """

    variant: Variant = "small-v2"
    attention: Attention = "none"
    fuse_upsampling: Literal["bilinear", "nearest"] = "bilinear"
    ocr_channels: tuple[_Channels, _Channels] = Field(default=(512, 256), strict=False)


class HRNet(SegmentationNetwork):
    """HRNet V2 for segmentation: the four branches are concatenated at a quarter of the size, then turned into logits.

    The logits are enlarged bilinearly (pixel centres aligned, not corners). `se`, `cbam` and `scse` act between the
    two convolutions of the head; `ocr` takes the head's place, and in training gives auxiliary logits as well.
    Wang et al. 2021, doi:10.1109/TPAMI.2020.2983686; https://github.com/HRNet/HRNet-Semantic-Segmentation.
    """

    def __init__(self, settings: HRNetSettings) -> None:
        super().__init__()
        self.in_channels = settings.in_channels
        self.multiple = 32
        self.encoder = HRNetEncoder(settings.variant, settings.in_channels, settings.fuse_upsampling)
        self.decoder = _Concatenation()
        channels = sum(self.encoder.widths)
        self.head: nn.Module
        if settings.attention == "ocr":
            mid, key = settings.ocr_channels
            self.head = ObjectContextHead(channels, settings.out_channels, mid_channels=mid, key_channels=key)
        else:
            self.head = nn.Sequential(
                nn.Conv2d(channels, channels, 1),
                BatchNorm(channels),
                nn.ReLU(inplace=True),
                _attention(settings.attention, channels),
                nn.Conv2d(channels, settings.out_channels, 1),
            )
        self.auxiliary_heads = nn.ModuleList()
        initialise(self)

    def logits(self, images: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Return logits (N, C, H, W); with `ocr` in training mode the auxiliary ones beside them."""
        features = self.decoder(self.encoder(images))
        found: Tensor | tuple[Tensor, ...] = self.head(features[0])
        if isinstance(found, Tensor):
            return _enlarge(found, 4)
        return tuple(_enlarge(each, 4) for each in found) if self.training else _enlarge(found[0], 4)


class HRNetEncoder(nn.Module):
    """Images to features at 1/4, 1/8, 1/16 and 1/32 of their size; its state has the names of the official weights."""

    def __init__(self, variant: Variant, in_channels: int, fuse_upsampling: str) -> None:
        super().__init__()
        shape = _SHAPES[variant]
        self.widths = [shape.width << branch for branch in range(4)]
        bottlenecks, inner = shape.stem
        self.conv1 = nn.Conv2d(in_channels, 64, 3, stride=2, padding=1, bias=False)
        self.bn1 = BatchNorm(64)
        self.conv2 = nn.Conv2d(64, 64, 3, stride=2, padding=1, bias=False)
        self.bn2 = BatchNorm(64)
        self.layer1 = make_layer(Bottleneck, 64, inner, bottlenecks)
        before = [inner * Bottleneck.expansion]
        for number, modules in enumerate(shape.modules, start=2):
            widths = self.widths[:number]
            self.add_module(f"transition{number - 1}", Transition(before, widths))
            self.add_module(f"stage{number}", Stage(BasicBlock, widths, modules, shape.blocks, fuse_upsampling))
            before = widths

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return features (N, width * 2^i, H / 2^(i + 2), W / 2^(i + 2)), i = 0 to 3."""
        feature = functional.relu(self.bn1(self.conv1(images)))
        feature = functional.relu(self.bn2(self.conv2(feature)))
        features: list[Tensor] = [self.layer1(feature)]
        for number in (2, 3, 4):
            features = self.get_submodule(f"transition{number - 1}")(features)
            features = self.get_submodule(f"stage{number}")(features)
        return features


class _Concatenation(nn.Module):
    def forward(self, features: list[Tensor]) -> list[Tensor]:
        """Return the four features as one, all at the size of the finest."""
        enlarged = [_enlarge(each, 1 << branch) for branch, each in enumerate(features)]
        return [torch.cat(enlarged, dim=1)]


def _attention(name: Attention, channels: int) -> nn.Module:
    if name == "se":
        return SqueezeExcitation(channels)
    if name == "cbam":
        return ConvolutionalBlockAttention(channels)
    return SpatialChannelExcitation(channels) if name == "scse" else nn.Identity()


def _enlarge(features: Tensor, factor: int) -> Tensor:
    return features if factor == 1 else functional.interpolate(features, scale_factor=factor, mode="bilinear")
