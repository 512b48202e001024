"""What was predicted for one image: its mask, and what can be said of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ocuseg.classes import Classes
from ocuseg.drawing import draw_overlay
from ocuseg.field_of_view import FieldOfView, find_field_of_view
from ocuseg.metrics import area_rows, quantise, threshold_level, vessel_measures
from ocuseg.resampling import ReadRows
from ocuseg.suitability import MadeFor, count_foreground, differences, features

__all__ = ["Description", "Result", "decide", "describe"]

_BLOCK_PX = 1 << 20


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """What was predicted for one image, at its own size.

    `mask` (H, W) uint8 holds class ids; `probabilities` (1, H, W) float32 are those of class 1 for two classes, else
    (C, H, W), one per class; `threshold` is None where the most probable class was taken. `measured` names what
    `measures` gives, `made_for` are the features that `flags` compares with, and `area` is the field of view, if known.
    """

    mask: NDArray[np.uint8]
    probabilities: NDArray[np.float32]
    image: NDArray[np.uint8]
    classes: Classes
    threshold: float | None
    name: str
    measured: tuple[str, ...] = ()
    made_for: MadeFor | None = None
    area: FieldOfView | None = None

    @property
    def flags(self) -> tuple[str, ...]:
        """How the image differs, in words, from those that the model was made for, the farthest off first.

        Nothing for an image like them, and where the model has no rule. It is computed at each call.
        """
        return () if self.made_for is None else differences(self.features(), self.made_for)

    def measures(self) -> dict[str, Any]:
        """Return what is measured of the mask, a row of `measures.csv`: see `ocuseg.metrics.vessel_measures`.

        The field of view is estimated from the image. Nothing where the model has no measures.
        """
        return vessel_measures(self.mask_rows, self._field_of_view()) if "vessels" in self.measured else {}

    def features(self) -> dict[str, float]:
        """Return the features of image and prediction by which `flags` compares: see `ocuseg.suitability.features`."""
        return features(self.image_rows, self._field_of_view(), count_foreground(self.probabilities))

    def image_rows(self, top: int, bottom: int) -> NDArray[np.uint8]:
        """Return rows `top` to `bottom` of the image."""
        return self.image[top:bottom]

    def mask_rows(self, top: int, bottom: int) -> NDArray[np.uint8]:
        """Return rows `top` to `bottom` of the mask."""
        return self.mask[top:bottom]

    def _field_of_view(self) -> FieldOfView:
        return find_field_of_view(self.image_rows, self.mask.shape) if self.area is None else self.area

    def overlay(
        self, reference: NDArray[np.uint8] | None = None, region: NDArray[np.bool_] | None = None
    ) -> NDArray[np.uint8]:
        """Return the image (H', W, 3) with the mask drawn on it, or with how it compares with a reference."""
        return draw_overlay(self.image, self.mask, self.classes, reference=reference, region=region)

    def areas(self, image: str | None = None) -> list[dict[str, Any]]:
        """Return a row for each class, as `areas.csv` has them: pixels, share of the image, share of the parent class.

        Two classes have one row, that of class 1; of more the background has one too. Shares are from 0 to 1, of all
        pixels of the image; a share of the parent that is undefined is None. `image` is the name in the rows, by
        default that of the result.
        """
        return area_rows(self.name if image is None else image, self.mask, self.classes)


def decide(probabilities: NDArray[np.float32], threshold: float | None) -> NDArray[np.uint8]:
    """Return the mask (H, W) of class ids from probabilities (C, H, W).

    One channel: class 1 where the level of the probability, on 65,536, is at least that of `threshold` (0.5 if
    None). More: the most probable class, the lowest id of equals.
    """
    channels, height, width = probabilities.shape
    mask = np.empty((height, width), np.uint8)
    level = threshold_level(0.5 if threshold is None else threshold)
    # By blocks of rows: levels and indices of a large image would take as much memory again.
    step = max(1, _BLOCK_PX // max(1, width))
    for top in range(0, height, step):
        block = probabilities[:, top : top + step]
        mask[top : top + step] = quantise(block[0]) >= level if channels == 1 else block.argmax(axis=0)
    return mask


class Description(NamedTuple):
    """What is said of an image beside its areas: `Result.measures` and `Result.flags`."""

    measures: dict[str, Any]
    flags: tuple[str, ...]


def describe(
    read_image: ReadRows,
    read_mask: ReadRows,
    size: tuple[int, int],
    levels: NDArray[np.int64],
    *,
    measured: tuple[str, ...],
    made_for: MadeFor | None,
    area: FieldOfView | None = None,
) -> Description | None:
    """Return the measures and flags of an image of `size`, by its rows and those of its mask; None without any asked.

    `levels` are those of `count_foreground`, and `area` is the field of view, which else is found. They are what a
    `Result` gives of the whole image, in bounded memory.
    """
    if not measured and made_for is None:
        return None
    area = area or find_field_of_view(read_image, size)
    measures = vessel_measures(read_mask, area) if "vessels" in measured else {}
    flags = () if made_for is None else differences(features(read_image, area, levels), made_for)
    return Description(measures, flags)
