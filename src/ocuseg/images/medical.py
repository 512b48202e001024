"""A picture out of a medical file: what its header says of it, and how its pixels are had; nothing of a person."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ocuseg.errors import ImageError

__all__ = ["Facts", "Medical", "by_limits", "missing_package", "spacing_of"]


@dataclass(frozen=True, slots=True)
class Facts:
    """What a medical file says of its picture beside the pixels.

    `spacing_mm` is the distance of rows and of columns (row, column) in millimetres, None where the file has none;
    `laterality` is `R`, `L` or `B` (both), or None; `notes` say how the picture was taken out of the file.
    """

    spacing_mm: tuple[float, float] | None = None
    laterality: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def pixel_mm2(self) -> float | None:
        """The area of a pixel in square millimetres, None where it is not known."""
        return None if self.spacing_mm is None else self.spacing_mm[0] * self.spacing_mm[1]


@dataclass(frozen=True, slots=True)
class Medical:
    """An opened medical file; `size` is (height, width), `bits` are those of a channel as stored.

    `image` gives (H, W) or (H, W, 3), unsigned of 8 or 16 bits, `labels` the values as stored, for masks. Both raise
    ImageError where the pixels cannot be decoded.
    """

    format: str
    mode: str
    bits: int
    size: tuple[int, int]
    frames: int
    facts: Facts
    image: Callable[[], NDArray[Any]]
    labels: Callable[[], NDArray[Any]]


def spacing_of(values: Iterable[float] | None) -> tuple[float, float] | None:
    """Return the first two of `values` as (row, column) spacing; None unless both are numbers above 0."""
    found = [float(value) for value in values or ()][:2]
    if len(found) == 2 and all(math.isfinite(value) and value > 0 for value in found):
        return found[0], found[1]
    return None


def by_limits(values: NDArray[Any], low: float, high: float) -> NDArray[np.uint8]:
    """Return values as uint8, `low` and what is below as 0, `high` and what is above as 255."""
    scaled = (values.astype(np.float64) - low) * 255 / max(high - low, np.finfo(np.float64).tiny)
    return np.floor(np.clip(scaled, 0, 255) + 0.5).astype(np.uint8)


def missing_package(path: Path, family: str) -> ImageError:
    """Return the error for a medical file that no installed package can read."""
    return ImageError(f"{path}: is a {family} file; to read it, install the extra: pip install 'ocuseg[medical]'")
