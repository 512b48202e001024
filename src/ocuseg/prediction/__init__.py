"""The Predictor: image to probabilities to mask, at the image's own size."""

from __future__ import annotations

from ocuseg.prediction.predictor import ImageLike, Predictor, Result, decide, open_predictor

__all__ = ["ImageLike", "Predictor", "Result", "decide", "open_predictor"]
