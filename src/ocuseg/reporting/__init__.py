"""Scores to tables, curves, overlays, one self-contained page."""

from __future__ import annotations

from ocuseg.reporting.comparing import require_comparison_replaceable, write_comparison
from ocuseg.reporting.writing import comparison_table, draw_curves, require_replaceable, scores_table, write_evaluation

__all__ = [
    "comparison_table",
    "draw_curves",
    "require_comparison_replaceable",
    "require_replaceable",
    "scores_table",
    "write_comparison",
    "write_evaluation",
]
