"""Predictor and records to scores per image and pooled."""

from __future__ import annotations

from ocuseg.evaluation.scoring import (
    METRIC_RULE,
    THRESHOLDS,
    Evaluation,
    PredictorLike,
    ThresholdChoice,
    choose_threshold,
    evaluate_folds,
    evaluate_records,
    pooled_levels,
)

__all__ = [
    "METRIC_RULE",
    "THRESHOLDS",
    "Evaluation",
    "PredictorLike",
    "ThresholdChoice",
    "choose_threshold",
    "evaluate_folds",
    "evaluate_records",
    "pooled_levels",
]
