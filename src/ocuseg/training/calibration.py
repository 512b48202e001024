"""A fitted network's probabilities are made true on average, on the validation images, within its own weights."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from ocuseg.encoding import MaskEncoding
from ocuseg.evaluation import pooled_levels
from ocuseg.index import Record
from ocuseg.metrics import calibration_error, fit_scaling
from ocuseg.networks import SegmentationNetwork
from ocuseg.prediction import Predictor

__all__ = ["calibrate"]

_log = logging.getLogger("ocuseg")


def calibrate(
    network: SegmentationNetwork, predictor: Predictor, records: Sequence[Record], encoding: MaskEncoding
) -> dict[str, Any]:
    """Scale and shift the logits of a network of two classes, in place, and return what a bundle says of it.

    Both are those that fit the pixels of `records` best, by `ocuseg.metrics.fit_scaling`, at native size and with the
    flips of `predictor`, which is that of the network. Give validation images: a Dice loss leaves probabilities too
    sure, and a calibration learnt on training images would not see it. Nothing happens where the records do not show
    both classes.
    """
    levels = pooled_levels(predictor, records, encoding)
    scale, shift = fit_scaling(levels)
    network.scale_logits(scale, shift)
    error = float(calibration_error(levels))
    _log.info("logits scaled by %.3f and shifted by %+.3f; calibration error on val was %.4f", scale, shift, error)
    return {"scale": round(scale, 6), "shift": round(shift, 6), "chosen_on": "val", "error_before": round(error, 6)}
