"""The curves of an evaluation: scores by threshold, precision by recall, calibration, training."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from ocuseg.evaluation import THRESHOLDS, Evaluation
from ocuseg.metrics import dice, iou, precision, recall
from ocuseg.reporting.charts import Line, Mark, Point, chart
from ocuseg.reporting.summary import thresholds_listed
from ocuseg.reporting.tables import shown

__all__ = ["calibration_diagram", "read_history", "threshold_diagrams", "training_diagrams"]

_WHOLE = (0.0, 1.0)
_MOST_DOTTED = 40
_NOT_DRAWN = ("epoch", "step", "time_s", "learning_rate")


def threshold_diagrams(evaluation: Evaluation) -> list[str]:
    """Return the scores at each threshold, and the precision at each recall, with a sentence on what was used."""
    metrics, counts, names = evaluation.metrics, evaluation.sweep, evaluation.classes.names[1:]
    gap, observer = metrics["oracle_gap"], metrics["second_observer"]
    marks, points = [], []
    if len(names) == 1:
        scores = {"Dice": dice(counts), "IoU": iou(counts), "precision": precision(counts), "recall": recall(counts)}
        lines = [Line(name, THRESHOLDS, values[0]) for name, values in scores.items()]
        if metrics["threshold"] is not None:
            marks.append(Mark(f"used: {metrics['threshold']:.3g}", metrics["threshold"]))
        if gap is not None:
            marks.append(Mark(f"best here: {gap['threshold']:.2f}", gap["threshold"], other=True))
        sides = [("this model", metrics, False), *([("second observer", observer, True)] if observer else [])]
        for name, side, is_other in sides:
            row = side["classes"][0]
            found, right = row["recall"]["pooled"], row["precision"]["pooled"]
            if found is not None and right is not None:
                points.append(Point(name, found, right, is_other))
    else:
        lines = [Line(name, THRESHOLDS, values) for name, values in zip(names, dice(counts), strict=True)]
    ranked = [
        Line(
            f"{name} (average precision {shown(row['average_precision']['pooled'])})",
            curve.recall.tolist(),
            curve.precision.tolist(),
        )
        for name, row, curve in zip(names, metrics["classes"], evaluation.curves, strict=True)
    ]
    title = "Pooled scores by threshold" if len(names) == 1 else "Pooled Dice by threshold, each class against the rest"
    swept = chart(
        title, lines, x="threshold on the probability", y="score", x_range=_WHOLE, y_range=_WHOLE, marks=marks
    )
    ranking = chart(
        "Precision and recall over all thresholds", ranked,
        x="recall", y="precision", x_range=_WHOLE, y_range=_WHOLE, points=points,
    )  # fmt: skip
    return [f"<p>{escape(_used(metrics))}</p>", f'<div class="charts">{swept}{ranking}</div>']


def calibration_diagram(metrics: Mapping[str, Any]) -> list[str]:
    """Return how often the model was right at each probability that it gave."""
    calibration, several = metrics["calibration"], len(metrics["classes"]) > 1
    bins = calibration["bins"]
    kept = [row for row in bins if row["pixels"]]
    pixels = sum(row["pixels"] for row in bins)
    words = (
        f"Expected calibration error {shown(calibration['ece'])} (15 bins), Brier score {shown(calibration['brier'])}. "
        "On the diagonal, a probability of 0.8 is right in 80 % of the pixels; below it the model is too sure."
    )
    line = Line("this model", [row["probability"] for row in kept], [row["share"] for row in kept], dotted=True)
    caption = ""
    if pixels:
        most = max(row["pixels"] for row in bins) / pixels
        caption = f"Grey bars: share of the pixels in each bin; the tallest holds {100 * most:.3g} %."
    drawn = chart(
        "Reliability of the highest probability" if several else "Reliability of the probability",
        [line],
        x="mean probability in the bin",
        y="share of right pixels" if several else f"share of {metrics['classes'][0]['name']} pixels",
        x_range=_WHOLE, y_range=_WHOLE, diagonal=True, caption=caption,
        bars=[row["pixels"] / pixels for row in bins] if pixels else (),
    )  # fmt: skip
    return [f"<p>{escape(words)}</p>", f'<div class="charts">{drawn}</div>']


def training_diagrams(history: Sequence[Mapping[str, Any]], epoch: int | None) -> list[str]:
    """Return losses and scores by epoch, from the rows of a `history.csv`; `epoch` is that of the weights, if known."""
    epochs = [_float(row.get("epoch")) for row in history]
    columns = {
        name: [_float(row.get(name)) for row in history] for name in history[0] if name and name not in _NOT_DRAWN
    }
    columns = {name: values for name, values in columns.items() if np.isfinite(values).any()}
    marks = [] if epoch is None else [Mark(f"these weights: epoch {epoch}", epoch, other=True)]
    charts = []
    for title, y, y_range, chosen in (
        ("Loss by epoch", "loss", None, [name for name in columns if name.endswith("loss")]),
        ("Scores by epoch", "score", _WHOLE, [name for name in columns if not name.endswith("loss")]),
    ):
        dotted = len(epochs) <= _MOST_DOTTED
        lines = [Line(name.replace("_", " "), epochs, columns[name], dotted) for name in chosen]
        if lines:
            charts.append(chart(title, lines, x="epoch", y=y, y_range=y_range, marks=marks))
    return [f'<div class="charts">{"".join(charts)}</div>'] if charts else []


def read_history(path: Path) -> list[dict[str, str]]:
    """Return the rows of a run's `history.csv`; none where it is missing or cannot be read, as it is an extra."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return [row for row in csv.DictReader(file) if np.isfinite(_float(row.get("epoch")))]
    except (OSError, UnicodeDecodeError, csv.Error):
        return []


def _used(metrics: Mapping[str, Any]) -> str:
    gap = metrics["oracle_gap"]
    if gap is not None:
        chosen = metrics["threshold_chosen_on"]
        return (
            f"Used: {metrics['threshold']:.4g}, {f'chosen on {chosen}' if chosen else 'not chosen on validation'}. The "
            f"best threshold on these very images, {gap['threshold']:.2f}, would have added {shown(gap['gap'])} to the "
            f"pooled Dice."
        )
    if "thresholds" in metrics:
        return f"Used: the threshold of each fold, {thresholds_listed(metrics['thresholds'])}."
    if metrics["threshold"] is None:
        return "Each pixel gets its most probable class; the curves show each class against the rest."
    return f"Used: {metrics['threshold']:.4g}."


def _float(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return float("nan")
