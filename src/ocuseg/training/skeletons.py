"""Centrelines of classes: soft ones of probabilities, exact ones of masks, and the tubes about these."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["skeletons", "soft_skeletons", "tubes"]

_THINNINGS = 5
"""How often a soft skeleton is thinned: it holds the centreline of what is up to 11 pixels wide."""


def soft_skeletons(chances: Tensor, counted: Tensor, thinnings: int = _THINNINGS) -> Tensor:
    """Return how far each pixel is on the centreline of each class (N, C, H, W), 0 to 1, with a gradient.

    What an opening takes away from `chances` (N, C, H, W), 0 to 1, after each of some erosions, joined. Pixels where
    `counted` (N, 1, H, W) is 0 are as if the image ended there. Shit et al. 2021, doi:10.1109/CVPR46437.2021.01629; as
    MONAI's `soft_skel`, where everything counts.
    """
    outside = _in_channels(counted.expand_as(chances)) == 0
    whole = _in_channels(chances)
    core = _eroded(whole, outside)
    found = functional.relu(whole - _dilated(core, outside))
    for _ in range(thinnings):
        whole, core = core, _eroded(core, outside)
        ridge = functional.relu(whole - _dilated(core, outside))
        found = found + ridge * (1 - found)
    return found.reshape(chances.shape) * counted


def skeletons(truth: Tensor) -> Tensor:
    """Return the centrelines, one pixel wide and connected, of masks (N, C, H, W) of 0 and 1; computed on the CPU.

    By scikit-image: Zhang & Suen 1984, doi:10.1145/357994.358023.
    """
    from skimage.morphology import skeletonize

    masks = (truth > 0).flatten(0, 1).cpu().numpy()
    found = [skeletonize(mask) if mask.any() else mask for mask in masks]
    return torch.from_numpy(np.stack(found)).to(truth).view(truth.shape)


def tubes(truth: Tensor) -> Tensor:
    """Return what lies within two steps, along rows and columns, of the centrelines of masks (N, C, H, W), and in them.

    Kirchhoff et al. 2024, doi:10.1007/978-3-031-72980-5_13.
    """
    found = _in_channels(skeletons(truth))
    for _ in range(2):
        found = _largest_beside(found)
    return found.reshape(truth.shape) * truth


def _in_channels(maps: Tensor) -> Tensor:
    """Return maps (N, C, H, W) as (1, NC, H, W), last in memory: max pooling on a CPU is twice as fast so."""
    return maps.flatten(0, 1)[None].contiguous(memory_format=torch.channels_last)


def _eroded(maps: Tensor, outside: Tensor) -> Tensor:
    return -_largest_beside(-torch.where(outside, 1.0, maps))


def _dilated(maps: Tensor, outside: Tensor) -> Tensor:
    return functional.max_pool2d(torch.where(outside, 0.0, maps), 3, 1, 1)


def _largest_beside(maps: Tensor) -> Tensor:
    """Return the largest of each pixel and its four neighbours."""
    down, across = functional.max_pool2d(maps, (3, 1), 1, (1, 0)), functional.max_pool2d(maps, (1, 3), 1, (0, 1))
    return torch.maximum(down, across)
