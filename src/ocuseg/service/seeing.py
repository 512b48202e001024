"""What a model sees in one uploaded image: its mask, by bands of rows, and all that is said of it."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ocuseg.errors import UsageError
from ocuseg.field_of_view import FieldOfView, find_field_of_view
from ocuseg.images import HeldImage, held_content, read_facts, read_image
from ocuseg.metrics import class_areas, quantise, rows_of_areas, threshold_level
from ocuseg.prediction import Predictor, decide
from ocuseg.prediction.banding import probability_bands
from ocuseg.prediction.single import Description, describe
from ocuseg.prediction.writing import with_facts
from ocuseg.service.served import ServedModel
from ocuseg.service.workroom import Check
from ocuseg.suitability import count_foreground

__all__ = ["STEPS", "Seen", "see"]

STEPS = 200
"""The probabilities that a page gets are told apart at each k / 200, the thresholds that its slider has."""


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """An image (H, W, 3) uint8, its mask (H, W) uint8, and what `ocuseg predict` would say of them.

    `areas` are its rows of `areas.csv`, and `notes` say how the picture was taken out of a medical file.
    `steps` (C, H, W) uint8 are the probabilities: k where class 1 is foreground at a threshold of k / 200, and not at
    (k + 1) / 200. None where they were not asked for.
    """

    model: ServedModel
    image: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    threshold: float | None
    areas: tuple[dict[str, Any], ...]
    description: Description | None
    area: FieldOfView
    steps: NDArray[np.uint8] | None
    notes: tuple[str, ...]


def see(
    model: ServedModel,
    content: bytes,
    *,
    max_px: int,
    check: Check,
    threshold: float | None = None,
    with_steps: bool = False,
) -> Seen:
    """Return what `model` sees in an image file that is in memory; the mask is that of `ocuseg predict`.

    `check` is called before each turn of the network. Raises ImageError for a file that is no whole image or has more
    than `max_px` pixels, which is found before they are decoded; UsageError for a threshold that has no meaning.
    """
    predictor = _limited(model.predictor, threshold, check)
    classes = predictor.classes
    upload = held_content("image", content)
    image, facts = read_image(upload, max_pixels=max_px), read_facts(upload)
    size = (image.shape[0], image.shape[1])
    mask = np.empty(size, np.uint8)
    levels = np.zeros(3, np.int64)
    steps = np.empty((classes.out_channels, *size), np.uint8) if with_steps else None
    bands, area = probability_bands(predictor, HeldImage(image))
    for top, band in bands:
        rows = slice(top, top + band.shape[1])
        mask[rows] = decide(band, predictor.threshold)
        levels += count_foreground(band)
        if steps is not None:
            steps[:, rows] = _STEP_OF_LEVEL[quantise(band)]
    check()
    area = area or find_field_of_view(lambda top, bottom: image[top:bottom], size)
    description = describe(
        lambda top, bottom: image[top:bottom], lambda top, bottom: mask[top:bottom], size, levels,
        measured=predictor.measures, made_for=predictor.made_for, area=area,
    )  # fmt: skip
    areas = with_facts(rows_of_areas("", class_areas(mask, len(classes)), mask.size, classes), facts)
    return Seen(model, image, mask, predictor.threshold, areas, description, area, steps, facts.notes)


def _limited(predictor: Predictor, threshold: float | None, check: Check) -> Predictor:
    """The same predictor at another threshold, whose network asks before each turn whether it may go on."""
    if threshold is not None and len(predictor.classes) != 2:
        raise UsageError(f"a threshold has no meaning for {len(predictor.classes)} classes; leave it out")
    limited = copy.copy(predictor)
    limited.threshold = predictor.threshold if threshold is None else threshold

    def network(images: NDArray[np.float32]) -> NDArray[np.float32]:
        check()
        return predictor.network(images)

    limited.network = network
    return limited


_LOWEST_LEVELS = np.array([threshold_level(step / STEPS) for step in range(STEPS + 1)])
_STEP_OF_LEVEL = (np.searchsorted(_LOWEST_LEVELS, np.arange(1 << 16), side="right") - 1).astype(np.uint8)
