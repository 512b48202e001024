"""What rare classes are given: weights in the loss, and more visits of the images that hold them."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ocuseg.errors import UsageError
from ocuseg.networks.settings import unknown

__all__ = ["class_weights", "repeat_factors"]


def class_weights(
    class_pixels: ArrayLike, kind: Literal["inverse", "median_frequency", "none"] = "inverse"
) -> tuple[float, ...] | None:
    """Return one weight per class from counted pixels, or None for `none`; a class without pixels has weight 1.

    `class_pixels` is (C,), or (images, C). `inverse`: total / (C' n_c) over the C' classes that occur, so that every
    class has the same part in the loss. `median_frequency`: the median of the frequencies over the frequency, which
    is a class's share of the images that it occurs in (Eigen & Fergus 2015, doi:10.1109/ICCV.2015.304); with (C,) of
    the whole. Raises UsageError on another `kind`.
    """
    if kind == "none":
        return None
    if kind not in ("inverse", "median_frequency"):
        raise UsageError(f"class_weights: {unknown('kind', kind, ('inverse', 'median_frequency', 'none'))}")
    pixels = np.atleast_2d(np.asarray(class_pixels, dtype=np.float64))  # (images, C)
    per_class = pixels.sum(axis=0)
    present = per_class > 0
    weights = np.ones(len(per_class))
    if not present.any():
        return tuple(weights.tolist())
    if kind == "inverse":
        weights[present] = per_class.sum() / (present.sum() * per_class[present])
    else:
        seen = ((pixels > 0) * pixels.sum(axis=1, keepdims=True)).sum(axis=0)
        frequency = per_class[present] / seen[present]
        weights[present] = np.median(frequency) / frequency
    return tuple(weights.tolist())


def repeat_factors(holds: ArrayLike, threshold: float) -> NDArray[np.float64]:
    """Return (images,) how often each image comes in a turn through all, on average; 1 or more.

    `holds` (images, C) is True where an image holds a class. r(c) = max(1, sqrt(threshold / f(c))) with f(c) the share
    of the images that hold class c; an image takes the largest r of its classes, or 1 where it has none.
    Gupta, Dollár & Girshick 2019, doi:10.1109/CVPR.2019.00550.
    """
    held = np.asarray(holds, dtype=bool)
    shares = np.maximum(held.mean(axis=0), 1 / max(1, len(held)))  # no image asks for a class that none holds
    factors = np.maximum(1.0, np.sqrt(threshold / shares))
    largest: NDArray[np.float64] = np.where(held, factors, 1.0).max(axis=1, initial=1.0)
    return largest
