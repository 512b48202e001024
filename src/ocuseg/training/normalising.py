"""The mean and the standard deviation of the colours that a network is trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ocuseg.geometry import Preprocessing
from ocuseg.training.samples import Sample
from ocuseg.training.settings import PreprocessingSettings

__all__ = ["normalised"]


def normalised(preprocessing: Preprocessing, wanted: PreprocessingSettings, train: Sequence[Sample]) -> Preprocessing:
    """Return the preprocessing with the mean and deviation that are wanted, or those of the counted training pixels."""
    if not isinstance(wanted.mean, str) and not isinstance(wanted.std, str):
        return replace(preprocessing, mean=wanted.mean, std=wanted.std)
    total, squares, count = np.zeros(3), np.zeros(3), 0
    for sample in train:
        pixels = sample.image[sample.counted].astype(np.float64) / 255
        total += pixels.sum(0)
        squares += (pixels**2).sum(0)
        count += len(pixels)
    mean = total / max(1, count)
    std = np.sqrt(np.maximum(squares / max(1, count) - mean**2, 1e-4))
    (red, green, blue), spread = mean.round(4).tolist(), std.round(4).tolist()
    return replace(preprocessing, mean=(red, green, blue), std=(spread[0], spread[1], spread[2]))
