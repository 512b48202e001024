"""Scores to tables, curves, overlays, one self-contained page."""

from __future__ import annotations

from ocuseg.reporting.writing import comparison_table, draw_curves, require_replaceable, scores_table, write_evaluation

__all__ = ["comparison_table", "draw_curves", "require_replaceable", "scores_table", "write_evaluation"]
