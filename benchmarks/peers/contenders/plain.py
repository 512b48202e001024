"""What the peers' scripts share: the plain U-Net that notebooks copy, and a folder read by Pillow, image by image."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, RandomSampler

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class UNet(nn.Module):
    """The network that a recipe calls `{name: unet, width: width}`, parameter for parameter and in the same order."""

    def __init__(self, width: int = 64, depth: int = 4) -> None:
        super().__init__()
        widths = [width << level for level in range(depth + 1)]
        pairs = list(zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.downs = nn.ModuleList(double_conv(a, b) for a, b in zip([3, *widths[:-1]], widths, strict=True))
        self.ups = nn.ModuleList(nn.ConvTranspose2d(coarse, fine, 2, stride=2) for coarse, fine in pairs)
        self.convs = nn.ModuleList(double_conv(2 * fine, fine) for _, fine in pairs)
        self.pool = nn.MaxPool2d(2)
        self.head = nn.Conv2d(width, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        skips = []
        for down in self.downs[:-1]:
            x = down(x)
            skips.append(x)
            x = self.pool(x)
        x = self.downs[-1](x)
        for up, conv, skip in zip(self.ups, self.convs, reversed(skips), strict=True):
            x = conv(torch.cat([skip, up(x)], dim=1))
        return self.head(x)


def double_conv(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU(inplace=True),
        nn.Conv2d(after, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU(inplace=True),
    )  # fmt: skip


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def pairs(data: str, split: str) -> list[tuple[Path, Path]]:
    """Return the images of a split with their masks."""
    root = Path(data) / split
    return [(image, root / "masks" / f"{image.stem}_mask.png") for image in sorted((root / "images").glob("*.png"))]


class Folder(Dataset):
    """Images and masks, decoded and resized again each time they are asked for."""

    def __init__(self, data: str, split: str, size: int, *, augment: bool, normalise: bool) -> None:
        self.pairs = pairs(data, split)
        self.size = (size, size)
        self.augment, self.normalise = augment, normalise

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        image_path, mask_path = self.pairs[index]
        image = Image.open(image_path).convert("RGB").resize(self.size, Image.Resampling.BILINEAR)
        mask = Image.open(mask_path).resize(self.size, Image.Resampling.NEAREST)
        if self.augment:
            for flip in (Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.FLIP_TOP_BOTTOM):
                if random.random() < 0.5:
                    image, mask = image.transpose(flip), mask.transpose(flip)
        values = np.asarray(image, np.float32) / 255
        if self.normalise:
            values = (values - np.array(MEAN, np.float32)) / np.array(STD, np.float32)
        target = (np.asarray(mask) > 0).astype(np.float32)
        return torch.from_numpy(values.transpose(2, 0, 1).copy()), torch.from_numpy(target)[None]


def batches(dataset: Dataset, batch: int, steps: int, workers: int) -> DataLoader:
    """Return a loader of `steps` shuffled batches: an epoch of that length."""
    sampler = RandomSampler(dataset, num_samples=steps * batch)
    return DataLoader(dataset, batch_size=batch, sampler=sampler, num_workers=workers)
