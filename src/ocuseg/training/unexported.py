"""The Predictor of a network that is not exported yet."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from ocuseg.prediction import Predictor
from ocuseg.training.fit import Fitted
from ocuseg.training.recipe import Recipe

__all__ = ["fitted_predictor"]


def fitted_predictor(fitted: Fitted, recipe: Recipe) -> Predictor:
    """Return the predictor of a fitted network, on the CPU, which predicts as the recipe says.

    It has no threshold and leaves no small pieces out. What is changed in the network later changes what it predicts.
    """
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
