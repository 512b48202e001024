"""A fitted network's probabilities are made true on average, on the validation images, within its own weights."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ocuseg.evaluation import pooled_levels
from ocuseg.index import Record
from ocuseg.metrics import calibration_error, fit_scaling
from ocuseg.prediction import Predictor
from ocuseg.training.fit import Fitted
from ocuseg.training.recipe import Recipe

__all__ = ["calibrate"]

_log = logging.getLogger("ocuseg")


def calibrate(fitted: Fitted, recipe: Recipe, records: Sequence[Record]) -> dict[str, Any]:
    """Scale and shift the logits of a network of two classes, in place, and return what a bundle says of it.

    Both are those that fit the pixels of `records` best, by `ocuseg.metrics.fit_scaling`, at native size and with the
    flips of the recipe. Give validation images: a Dice loss leaves probabilities too sure, and a calibration learnt on
    training images would not see it. Nothing happens where the records do not show both classes.
    """
    network = fitted.network.eval().cpu()
    levels = pooled_levels(_torch_predictor(fitted, recipe), records, fitted.encoding)
    scale, shift = fit_scaling(levels)
    network.scale_logits(scale, shift)
    error = float(calibration_error(levels))
    _log.info("logits scaled by %.3f and shifted by %+.3f; calibration error on val was %.4f", scale, shift, error)
    return {"scale": round(scale, 6), "shift": round(shift, 6), "chosen_on": "val", "error_before": round(error, 6)}


def _torch_predictor(fitted: Fitted, recipe: Recipe) -> Predictor:
    """Return the predictor of a network that is not exported yet, on the CPU, as the recipe has it predict."""
    network = fitted.network.eval().cpu()

    def logits(images: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.inference_mode():
            tensor = torch.from_numpy(images).to(memory_format=torch.channels_last)
            found: NDArray[np.float32] = network(tensor).numpy()
        return found

    settings = recipe.prediction
    return Predictor(
        logits,
        classes=fitted.classes,
        preprocessing=fitted.preprocessing,
        tile_px=settings.tile_px,
        overlap_px=settings.overlap_px,
        flips=settings.flips,
    )
