"""The recipe by which a model goes on learning from a user's own images."""

from __future__ import annotations

import math
from typing import Any

from ocuseg.bundle import Bundle
from ocuseg.errors import RecipeError

__all__ = ["tuning_recipe"]

_EPOCHS_SHARE = 0.2
_LEARNING_RATE_SHARE = 0.25
_LEAST_STEPS = 200
"""Steps that it takes at least, where the recipe counts them: the last stage of a shipped model may be that short."""
# What belonged to the data that the model was made with, not to the model.
_ITS_DATA = (
    "image_pattern", "mask_pattern", "group_pattern", "split_ratios", "split_seed",
    "classes", "mask_values", "mask_threshold", "ignore_index", "start_from", "encoder_weights", "logit_adjustment",
)  # fmt: skip


def tuning_recipe(bundle: Bundle) -> dict[str, Any]:
    """Return the content of a recipe that trains a model further: its own, a fifth as long, at a quarter of the rate.

    It takes 200 steps at least. What its recipe said of its own data is left out, and the images are prepared as the
    model needs them. Raises RecipeError where the bundle does not say by which recipe it was made.
    """
    own = bundle.info.trained_on.get("recipe")
    untold = RecipeError(f"{bundle.folder}: does not say by which recipe to train it further; give --recipe")
    if not isinstance(own, dict) or bundle.info.network.get("name") == "ensemble":
        raise untold
    try:
        steps = own.get("steps_per_epoch")
        changed = {
            "network": bundle.info.network,
            "preprocessing": {
                **own["preprocessing"], "mean": bundle.preprocessing.mean, "std": bundle.preprocessing.std,
            },
            "epochs": max(1, round(own["epochs"] * _EPOCHS_SHARE), math.ceil(_LEAST_STEPS / (steps or _LEAST_STEPS))),
            "learning_rate": own["learning_rate"] * _LEARNING_RATE_SHARE,
        }  # fmt: skip
    except (KeyError, TypeError, ValueError, OverflowError) as error:  # a bundle may come from anywhere
        raise untold from error
    return {key: value for key, value in own.items() if key not in _ITS_DATA} | changed
