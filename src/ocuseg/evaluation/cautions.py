"""What a reader must know before the scores: where they come from, and why they may say less than they seem to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ocuseg.evaluation.judgement import guess_dice

__all__ = ["cautions_about_classes", "cautions_about_images", "cautions_about_origin", "few_units"]

# How far from a blind guess to a perfect Dice a class must come: by brightness alone an untrained network gets some
# way, and on few images further than `judge_dead` allows for.
_HARDLY_LEARNT = 0.15
# With fewer independent units a percentile interval covers clearly less than it says.
_FEW_UNITS = 10


def cautions_about_images(images: int, bounded: int, *, is_whole_image_asked: bool) -> list[str]:
    """Return what is to be said of the region: `bounded` of the `images` count inside their field of view alone."""
    if 0 < bounded < images:
        return [f"{images - bounded} of {images} images have no field of view: there every pixel counts"]
    if is_whole_image_asked:
        return [
            "every pixel counts, also outside the field of view: that raises accuracy, specificity and AUC, and the "
            "scores compare with no others"
        ]
    return []


def cautions_about_classes(
    confusion: NDArray[np.int64], rows: Sequence[Mapping[str, Any]], dead: Sequence[str]
) -> list[str]:
    """Return what is to be said of the foreground classes, whose scores are `rows` and those not learnt `dead`.

    `confusion` (C, C) is that of all images.
    """
    lines, total = [], max(1, int(confusion.sum()))
    for row in rows:
        name, score, pixels = row["name"], row["dice"]["pooled"], int(confusion[row["id"]].sum())
        guess = guess_dice(pixels / total)
        if pixels == 0:
            lines.append(f"{name} is in no reference mask: most of its scores are undefined")
        elif guess < score < guess + _HARDLY_LEARNT * (1 - guess) and not any(
            line.startswith((f"{name} is ", f"{name} has ")) for line in dead
        ):
            lines.append(
                f"{name} is hardly learnt: its pooled Dice is {score:.3f}, and marking every pixel gives {guess:.3f}"
            )
    return lines


def cautions_about_origin(provenance: Mapping[str, Any]) -> list[str]:
    """Return what is to be said of images that took part in making the model."""
    split, chosen_on = provenance.get("split"), provenance.get("threshold_chosen_on")
    if split == "val":
        chosen = "its best epoch and its threshold" if chosen_on == split else "its best epoch"
        return [
            f"the images are those of val, and this is not a test: a model trained on these data has had {chosen} "
            "chosen on them, which makes the scores too good"
        ]
    lines = []
    if seen := provenance.get("seen_in_training"):
        lines.append(f"{seen} of these images took part in making the model: for them this is no test")
    if chosen_on == split is not None:
        lines.append(f"the threshold was chosen on these very images ({split}): scores are too good")
    return lines


def few_units(units: int) -> list[str]:
    """Return what is to be said of intervals over so few independent images, persons, eyes or videos."""
    if units == 1:
        return ["all scores come from a single image, person, eye or video: there are no intervals"]
    if units < _FEW_UNITS:
        return [f"the intervals rest on only {units} independent images, persons, eyes or videos: they are rough"]
    return []
