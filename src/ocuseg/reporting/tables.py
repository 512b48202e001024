"""Scores and comparisons to plain text: tables for a terminal, rows for a file."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from ocuseg.evaluation.comparison import Comparison

__all__ = [
    "COMPARED_NAMES",
    "SCORE_NAMES",
    "comparison_table",
    "csv_text",
    "origin_text",
    "runtime_text",
    "scores_table",
    "shown",
    "shown_interval",
]

SCORE_NAMES = {
    "dice": "Dice",
    "iou": "IoU",
    "precision": "precision",
    "recall": "recall",
    "specificity": "specificity",
    "auc": "AUC",
    "average_precision": "average precision",
    "nsd": "NSD, 1 px",
    "nsd_2px": "NSD, 2 px",
    "hd95_px": "HD95, px",
    "cldice": "clDice",
}
"""The keys of one class in `metrics.json`, as a reader knows them, in the order of the tables."""

COMPARED_NAMES = {**SCORE_NAMES, "nsd_1px": SCORE_NAMES["nsd"]}
"""The columns of `per_image.csv`, as a reader knows them."""

_HASH_DIGITS = 12


def scores_table(metrics: Mapping[str, Any], *, with_faults: bool = True) -> str:
    """Return the content of `metrics.json` as text: sentences to be read first, then a table.

    It has all scores of one foreground class, or the main ones of several, a line each, and their means.
    `with_faults` puts dead classes and failures first; without, they are said elsewhere. The last line says what made
    the scores: rule, split, images, region, model, data, runtime.
    """
    lines = [f"DEAD: {sentence}" for sentence in metrics["dead"]] if with_faults else []
    lines += [f"FAILED: {line}" for line in metrics["failures"]] if with_faults else []
    lines += [f"warning: {line}" for line in metrics["warnings"]]
    observer = metrics["second_observer"]
    if len(metrics["classes"]) > 1:
        lines += ["", *_overview(metrics), "", *_means_table(metrics)]
    else:
        second = None if observer is None else observer["classes"][0]
        lines += ["", *_class_table(metrics["classes"][0], second)]
    calibration, gap = metrics["calibration"], metrics["oracle_gap"]
    lines += ["", f"calibration error {shown(calibration['ece'])}, Brier score {shown(calibration['brier'])}"]
    if "thresholds" in metrics:
        listed = ", ".join(f"{threshold:.2f}" for threshold in metrics["thresholds"])
        lines.append(f"threshold of each fold, chosen on {metrics['threshold_chosen_on']}: {listed}")
    if gap is not None:
        chosen = metrics["threshold_chosen_on"]
        source = f", chosen on {chosen}" if chosen else ""
        lines.append(
            f"threshold {metrics['threshold']:.4g}{source}; the best one on these images, {gap['threshold']:.2f}, "
            f"would add {shown(gap['gap'])} to the pooled Dice"
        )
    return "\n".join([*lines, origin_text(metrics)]).strip("\n")


def comparison_table(comparison: Comparison) -> str:
    """Return a comparison as text: one line per class and score, then the notes."""
    header = ["class", "score", "a", "b", "a - b", "95 %", "p (Holm)", "images", ""]
    rows = [
        [
            row.class_name,
            COMPARED_NAMES.get(row.score, row.score),
            shown(row.mean_a),
            shown(row.mean_b),
            "-" if row.difference is None else f"{row.difference:+.4f}",
            shown_interval(row.ci95),
            "-" if row.p_holm is None else f"{row.p_holm:.3g}",
            str(row.images),
            row.verdict,
        ]
        for row in comparison.rows
    ]
    lines = [f"a: {comparison.a}", f"b: {comparison.b}", "", *_aligned([header, *rows], left={0, 1, 8})]
    return "\n".join([*lines, *(f"note: {note}" for note in comparison.notes)])


def csv_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows with the same keys as the text of a CSV file, with a header."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def shown(value: float | None) -> str:
    """Return a score as text: four decimals, two from 10 on, a dash where it is undefined."""
    if value is None:
        return "-"
    return f"{value:.4f}" if abs(value) < 10 else f"{value:.2f}"


def shown_interval(interval: Sequence[float] | None) -> str:
    """Return an interval as text, a dash where there is none."""
    return "-" if interval is None else f"{shown(interval[0])} to {shown(interval[1])}"


def runtime_text(metrics: Mapping[str, Any]) -> str | None:
    """Return what computed the network, and how often for each image; None where it is not known."""
    flips = metrics.get("flips")
    said = None if flips is None else "average of four flips" if flips else "without flips"
    return ", ".join(filter(None, [metrics.get("runtime"), said])) or None


def origin_text(metrics: Mapping[str, Any]) -> str:
    """Return what made the scores, in a line: a score without it compares with no other."""
    count = metrics["images"]
    region = "field of view" if metrics["region"] == "field_of_view" else "whole image"
    parts = [
        str(metrics["rule"]),
        f"{metrics['split'] or 'no split'}, {count} image{'' if count == 1 else 's'}, {region}",
        f"model {metrics['model']} {(metrics['model_hash'] or '')[:_HASH_DIGITS]}".rstrip(),
        *([f"data {metrics['data_hash'][:_HASH_DIGITS]}"] if metrics["data_hash"] else []),
    ]
    return "; ".join([*parts, *filter(None, [runtime_text(metrics)])])


def _overview(metrics: Mapping[str, Any]) -> list[str]:
    observer = metrics["second_observer"]
    header = ["class", "Dice", "95 %", "per image", "IoU", "95 %", "precision", "recall", "HD95, px", "images"]
    rows = [header + (["2nd observer, Dice"] if observer is not None else [])]
    for position, row in enumerate([*metrics["classes"], metrics["background"]]):
        cells = [str(row["name"]), *_cells(row["dice"]), *_cells(row["iou"])[:2]]
        cells += [shown(row[key]["pooled"]) for key in ("precision", "recall")]
        cells += [shown(row["hd95_px"]["per_image"]) if "hd95_px" in row else "", str(row["dice"]["images"])]
        if observer is not None:
            others = [*observer["classes"], observer["background"]]
            cells.append(shown(others[position]["dice"]["pooled"]))
        rows.append(cells)
    return [*_aligned(rows, left={0}), "pooled, unless it says per image; HD95 is the mean over images"]


def _means_table(metrics: Mapping[str, Any]) -> list[str]:
    rows = [["mean over classes", "pooled", "95 %", "per image", "images"]]
    named = [
        ("Dice, foreground", metrics["mean_foreground"]["dice"]),
        ("Dice, with background", metrics["mean_all"]["dice"]),
        ("IoU, foreground", metrics["mean_foreground"]["iou"]),
        ("IoU, with background (mIoU)", metrics["mean_all"]["iou"]),
        ("pixel accuracy", metrics["pixel_accuracy"]),
    ]
    rows += [[name, *_cells(score), str(score["images"])] for name, score in named]
    return _aligned(rows, left={0})


def _class_table(row: Mapping[str, Any], second: Mapping[str, Any] | None) -> list[str]:
    header = [str(row["name"]), "pooled", "95 %", "per image", "images"]
    rows = [header + (["2nd observer", "per image"] if second is not None else [])]
    for key, name in SCORE_NAMES.items():
        if key not in row:
            continue
        cells = [name, *_cells(row[key]), str(row[key]["images"])]
        if second is not None:
            other = second.get(key, {})
            cells += [shown(other.get("pooled")), shown(other.get("per_image"))]
        rows.append(cells)
    lines = _aligned(rows, left={0})
    if "components" in row:
        parts = row["components"]
        lines.append(
            f"{parts['prediction_per_image']:.2f} connected components per image, "
            f"{parts['reference_per_image']:.2f} in the reference"
        )
    return lines


def _cells(score: Mapping[str, Any]) -> list[str]:
    return [shown(score["pooled"]), shown_interval(score["ci95"]), shown(score["per_image"])]


def _aligned(rows: Sequence[Sequence[str]], left: set[int]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(
            cell.ljust(width) if column in left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
