"""The logits of a fitted network, shifted by class within its own weights, as a recipe says."""

from __future__ import annotations

import logging

from ocuseg.classes import Classes
from ocuseg.errors import UsageError
from ocuseg.networks import SegmentationNetwork
from ocuseg.training.recipe import Recipe
from ocuseg.wording import meant

__all__ = ["adjust_logits", "adjustment_of"]

_log = logging.getLogger("ocuseg")


def adjust_logits(network: SegmentationNetwork, recipe: Recipe, classes: Classes) -> dict[str, float]:
    """Add the recipe's `logit_adjustment` to the logits of its classes, in place, and return it by name.

    That is the post-hoc logit adjustment of Menon et al. 2021, arXiv:2007.07314: a rare class is seldom the most
    probable one, and with a shift of its logit it is so more often. Raises UsageError as `adjustment_of`.
    """
    adjustment = adjustment_of(recipe, classes)
    network.scale_logits(1.0, [adjustment.get(name, 0.0) for name in classes.names])
    said = ", ".join(f"{name} {shift:+g}" for name, shift in adjustment.items())
    _log.info("logits adjusted as the recipe says: %s", said)
    return adjustment


def adjustment_of(recipe: Recipe, classes: Classes) -> dict[str, float]:
    """Return the recipe's `logit_adjustment` by class name. Raises UsageError where it cannot be of these classes."""
    if recipe.logit_adjustment and len(classes) == 2:
        raise UsageError("'logit_adjustment' is for more than two classes; of two, give another threshold")
    adjustment: dict[str, float] = {}
    by_id = {str(item.id): item.name for item in classes.items}
    for key, shift in recipe.logit_adjustment.items():
        word = str(key)
        name = word if word in classes.names else by_id.get(word, word)
        if name not in classes.names:
            near = meant(name, classes.names)
            raise UsageError(f"logit_adjustment: {name!r} is no class; {near}give some of {', '.join(classes.names)}")
        if name in adjustment:
            raise UsageError(f"logit_adjustment: {name} is given twice, by name and by id; keep one of them")
        adjustment[name] = shift
    return adjustment
