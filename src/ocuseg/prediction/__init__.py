"""The Predictor: image to probabilities to mask, at the image's own size."""

from __future__ import annotations

from ocuseg.prediction.opening import open_predictor
from ocuseg.prediction.predictor import ImageLike, Predictor
from ocuseg.prediction.single import Result, decide

__all__ = ["ImageLike", "Predictor", "Result", "decide", "open_predictor"]
