"""The Predictor over a collection: images from any storage, by many workers, a row for each in Parquet."""

from __future__ import annotations

from ocuseg.scale.predicting import Summary, predict_collection

__all__ = ["Summary", "predict_collection"]
