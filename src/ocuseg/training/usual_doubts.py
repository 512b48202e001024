"""How much a network doubts images of its own kind at each scale, where that helps to choose one for others."""

from __future__ import annotations

import copy
import logging
from collections.abc import Sequence

import numpy as np

from ocuseg.encoding import MaskEncoding
from ocuseg.evaluation import THRESHOLDS, pooled_levels
from ocuseg.images import read_image
from ocuseg.index import Record
from ocuseg.metrics import best_threshold
from ocuseg.prediction import Predictor
from ocuseg.prediction.adapting import STEPS

__all__ = ["choose_usual_doubts", "combined_doubts", "mean_doubts"]

_log = logging.getLogger("ocuseg")


def choose_usual_doubts(predictor: Predictor, records: Sequence[Record], encoding: MaskEncoding) -> list[float] | None:
    """Return what `Predictor.usual_doubts` should be: the `mean_doubts` of validation images, or None.

    A network that learnt one camera can be surer of its images at half or at twice their scale, and would leave it for
    nothing; with the doubts that are usual it stays. One that learnt two, of which one shows vessels wider, does better
    with the doubt alone. So the `records` are segmented in both ways, without flips, and the higher pooled Dice at
    native size, each at its own best threshold, decides. None where the preprocessing does not find a scale, where the
    usual one is in the least doubt, of more than two classes, and where no image shows the class.
    """
    if not predictor.preprocessing.find_scale or len(predictor.classes) != 2:
        return None
    usual = mean_doubts(predictor, records)
    if usual is None or min(usual) == usual[STEPS // 2]:
        return None
    fairly, alone = copy.copy(predictor), copy.copy(predictor)
    fairly.flips = alone.flips = False
    fairly.usual_doubts, alone.usual_doubts = usual, None
    levels = [pooled_levels(one, records, encoding) for one in (fairly, alone)]
    if not levels[0][1].any():
        return None
    dice, dice_alone = (best_threshold(each, THRESHOLDS)[1] for each in levels)
    _log.info(
        "scales chosen by doubt, raised where it is usually less: Dice %.4f on %d images of val, as it is %.4f",
        dice,
        len(records),
        dice_alone,
    )
    return usual if dice >= dice_alone else None


def mean_doubts(predictor: Predictor, records: Sequence[Record]) -> list[float] | None:
    """Return the mean of `Predictor.doubts` over the images.

    Where too little is found at a scale to have a doubt, the largest of the others stands for it; None where that is
    the usual scale.
    """
    each = np.array([predictor.doubts(read_image(record.image)) for record in records])
    known = np.isfinite(each)
    if not known[:, STEPS // 2].any():
        return None
    sums = np.where(known, each, 0).sum(axis=0)
    mean = np.divide(sums, known.sum(axis=0), out=np.zeros_like(sums), where=known.any(axis=0))
    mean[~known.any(axis=0)] = mean.max()
    return [round(float(value), 9) for value in mean]


def combined_doubts(of_members: Sequence[Sequence[float] | None]) -> list[float] | None:
    """Return the usual doubts of networks that are averaged: the mean of those that have some, if half of them do."""
    known = [each for each in of_members if each is not None]
    if 2 * len(known) < len(of_members):
        return None
    return [round(sum(values) / len(known), 9) for values in zip(*known, strict=True)]
