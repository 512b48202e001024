"""What HRNet is made of: residual blocks, branches of several resolutions, and their exchange."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional

from ocuseg.networks.blocks import BatchNorm

__all__ = ["BasicBlock", "Bottleneck", "Stage", "Transition", "make_layer"]


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions around which the input is carried.

    He et al. 2016, doi:10.1109/CVPR.2016.90, as is the bottleneck.
    """

    expansion = 1

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, padding=1, bias=False)
        self.bn1 = BatchNorm(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = BatchNorm(channels)
        self.downsample = _shortcut(in_channels, channels)

    def forward(self, features: Tensor) -> Tensor:
        """Return features (N, channels, H, W)."""
        found = functional.relu(self.bn1(self.conv1(features)))
        found = self.bn2(self.conv2(found))
        return functional.relu(found + _carried(self.downsample, features))


class Bottleneck(nn.Module):
    """A 3 x 3 convolution between two of 1 x 1, around which the input is carried; four times the channels come out."""

    expansion = 4

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        out_channels = channels * self.expansion
        self.conv1 = nn.Conv2d(in_channels, channels, 1, bias=False)
        self.bn1 = BatchNorm(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = BatchNorm(channels)
        self.conv3 = nn.Conv2d(channels, out_channels, 1, bias=False)
        self.bn3 = BatchNorm(out_channels)
        self.downsample = _shortcut(in_channels, out_channels)

    def forward(self, features: Tensor) -> Tensor:
        """Return features (N, 4 channels, H, W)."""
        found = functional.relu(self.bn1(self.conv1(features)))
        found = functional.relu(self.bn2(self.conv2(found)))
        found = self.bn3(self.conv3(found))
        return functional.relu(found + _carried(self.downsample, features))


def make_layer(block: type[BasicBlock | Bottleneck], in_channels: int, channels: int, blocks: int) -> nn.Sequential:
    """Return `blocks` residual blocks, one after another."""
    inputs = [in_channels, *[channels * block.expansion] * (blocks - 1)]
    return nn.Sequential(*(block(before, channels) for before in inputs))


class Transition(nn.ModuleList):
    """Features of some branches to those of as many or more: each new branch halves the coarsest one before it."""

    def __init__(self, before: Sequence[int], after: Sequence[int]) -> None:
        parts: list[nn.Module] = [
            nn.Identity() if old == new else nn.Sequential(*_convolved(old, new), nn.ReLU(inplace=True))
            for old, new in zip(before, after, strict=False)
        ]
        for branch in range(len(before), len(after)):
            # As many halvings as the branch lies below the coarsest: one, in every published network.
            inputs = [before[-1]] * (branch - len(before) + 1)
            outputs = [*inputs[1:], after[branch]]
            halvings = (
                nn.Sequential(*_convolved(old, new, stride=2), nn.ReLU(inplace=True))
                for old, new in zip(inputs, outputs, strict=True)
            )
            parts.append(nn.Sequential(*halvings))
        super().__init__(parts)

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        """Return one feature for each branch after; the new ones are half as large as the coarsest."""
        return [part(features[min(branch, len(features) - 1)]) for branch, part in enumerate(self)]


class Stage(nn.Sequential):
    """Modules of as many branches as `widths`, which exchange what they found after each module."""

    def __init__(
        self, block: type[BasicBlock], widths: Sequence[int], modules: int, blocks: int, fuse_upsampling: str
    ) -> None:
        super().__init__(*(_Module(block, widths, blocks, fuse_upsampling) for _ in range(modules)))


class _Module(nn.Module):
    def __init__(self, block: type[BasicBlock], widths: Sequence[int], blocks: int, fuse_upsampling: str) -> None:
        super().__init__()
        self.branches = nn.ModuleList(make_layer(block, width, width, blocks) for width in widths)
        self.fuse_layers = nn.ModuleList(
            nn.ModuleList(_exchange(widths, source, target, fuse_upsampling) for source in range(len(widths)))
            for target in range(len(widths))
        )

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        """Return the features of the branches, each with those of all others brought to its size and added."""
        found = [branch(feature) for branch, feature in zip(self.branches, features, strict=True)]
        fused = []
        for layers in self.fuse_layers:
            assert isinstance(layers, nn.ModuleList)
            parts = [layer(feature) for layer, feature in zip(layers, found, strict=True)]
            fused.append(functional.relu(sum(parts[1:], parts[0])))
        return fused


def _exchange(widths: Sequence[int], source: int, target: int, fuse_upsampling: str) -> nn.Module:
    """Return what brings the features of one branch to the channels and the size of another."""
    if source == target:
        return nn.Identity()
    if source > target:
        enlarging = nn.Upsample(scale_factor=1 << (source - target), mode=fuse_upsampling)
        return nn.Sequential(*_convolved(widths[source], widths[target], kernel=1), enlarging)
    halvings: list[nn.Module] = []
    for step in range(source, target):
        last = step == target - 1
        out_channels = widths[target] if last else widths[source]
        parts = _convolved(widths[source], out_channels, stride=2)
        halvings.append(nn.Sequential(*parts) if last else nn.Sequential(*parts, nn.ReLU(inplace=True)))
    return nn.Sequential(*halvings)


def _convolved(in_channels: int, out_channels: int, *, kernel: int = 3, stride: int = 1) -> tuple[nn.Module, nn.Module]:
    convolution = nn.Conv2d(in_channels, out_channels, kernel, stride=stride, padding=kernel // 2, bias=False)
    return convolution, BatchNorm(out_channels)


def _shortcut(in_channels: int, out_channels: int) -> nn.Sequential | None:
    return None if in_channels == out_channels else nn.Sequential(*_convolved(in_channels, out_channels, kernel=1))


def _carried(downsample: nn.Module | None, features: Tensor) -> Tensor:
    carried: Tensor = features if downsample is None else downsample(features)
    return carried
