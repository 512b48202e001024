"""The parts that networks are made of: normalisation, activation, upsampling, double convolutions, initial weights."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = [
    "Activation",
    "DoubleConvolution",
    "Norm",
    "Upsampling",
    "initialise",
    "make_activation",
    "make_norm",
    "make_upsampling",
    "slope_of",
]

Norm = Literal["batch", "instance", "group"]
Activation = Literal["relu", "leaky_relu"]
Upsampling = Literal["transposed", "bilinear"]

_LEAKY_SLOPE = 0.01
_GROUPS = 8


class BatchNorm(nn.BatchNorm2d):
    """Batch normalisation that takes its running statistics where a batch holds one value per channel.

    One value has no spread; PyTorch raises an error there, which one small image at the bottom of a network meets.
    Ioffe & Szegedy 2015, http://proceedings.mlr.press/v37/ioffe15.html.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Return `input` (N, C, H, W) normalised per channel."""
        if self.training and input.numel() == input.shape[1]:
            return functional.batch_norm(
                input, self.running_mean, self.running_var, self.weight, self.bias, training=False, eps=self.eps
            )
        return super().forward(input)


class GroupNorm(nn.GroupNorm):
    """Group normalisation that is defined for one value as well, where it gives its bias.

    With as many groups as channels it is instance normalisation, and keeps channels-last memory, which
    `nn.InstanceNorm2d` gives up. Wu & He 2018, doi:10.1007/978-3-030-01261-8_1; Ulyanov et al. 2016, arXiv:1607.08022.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Return `input` (N, C, H, W) normalised per image and group of channels."""
        return torch.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)


class DoubleConvolution(nn.Sequential):
    """Two 3 x 3 convolutions that keep the size, each normalised and activated."""

    def __init__(self, in_channels: int, out_channels: int, norm: Norm, activation: Activation) -> None:
        super().__init__(
            nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False),
            make_norm(norm, out_channels),
            make_activation(activation),
            nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
            make_norm(norm, out_channels),
            make_activation(activation),
        )


def make_norm(norm: Norm, channels: int) -> nn.Module:
    """Return a normalisation with a learnt scale and bias; groups are 8 where 8 divides the channels, else fewer."""
    if norm == "batch":
        return BatchNorm(channels)
    return GroupNorm(channels if norm == "instance" else math.gcd(channels, _GROUPS), channels)


def make_activation(activation: Activation) -> nn.Module:
    """Return a ReLU, or a leaky ReLU of slope 0.01."""
    return nn.ReLU(inplace=True) if activation == "relu" else nn.LeakyReLU(_LEAKY_SLOPE, inplace=True)


def make_upsampling(upsampling: Upsampling, in_channels: int, out_channels: int) -> nn.Module:
    """Return a module that doubles height and width: a 2 x 2 transposed convolution, or bilinear interpolation.

    The 1 x 1 convolution of the bilinear kind comes first: the two commute, and it then sees a quarter of the pixels.
    """
    if upsampling == "transposed":
        return nn.ConvTranspose2d(in_channels, out_channels, 2, stride=2)
    return nn.Sequential(nn.Conv2d(in_channels, out_channels, 1), nn.Upsample(scale_factor=2, mode="bilinear"))


def slope_of(activation: Activation) -> float:
    """Return the slope of an activation below zero."""
    return 0.0 if activation == "relu" else _LEAKY_SLOPE


def initialise(module: nn.Module, negative_slope: float = 0.0) -> None:
    """Give every convolution in `module` weights that keep the variance of activated features, and zero biases.

    Normal weights of variance 2 / ((1 + slope^2) fan_in), He et al. 2015, doi:10.1109/ICCV.2015.123, for inputs that
    passed a (leaky) ReLU of `negative_slope`. The fan-in of a transposed convolution is the number of inputs that
    meet in one output, in_channels * (kernel / stride)^2, for which PyTorch's own initialiser counts the outputs.
    """
    for part in module.modules():
        if not isinstance(part, (nn.Conv2d, nn.ConvTranspose2d)):
            continue
        taps: float = math.prod(part.kernel_size)
        if isinstance(part, nn.ConvTranspose2d):
            taps /= math.prod(part.stride)
        fan_in = part.in_channels / part.groups * taps
        nn.init.normal_(part.weight, std=math.sqrt(2 / (1 + negative_slope**2) / fan_in))
        if part.bias is not None:
            nn.init.zeros_(part.bias)
