"""Two evaluations of the same images to differences, with intervals and corrected tests."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ocuseg.errors import DataError, UsageError
from ocuseg.evaluation.cautions import few_units
from ocuseg.metrics import number
from ocuseg.metrics.intervals import holm, paired_difference

__all__ = ["COMPARED", "ComparedScore", "Comparison", "Evaluated", "compare", "read_evaluation"]

COMPARED = ("dice", "auc", "nsd_1px", "hd95_px", "cldice")
"""The scores that are compared where both evaluations have them; more can be asked for, each costs power."""

_LOWER_IS_BETTER = ("hd95_px",)
_MEAN = "mean"
_TEXT_COLUMNS = ("image", "group", "class")


Rows = dict[tuple[str, str], dict[str, str]]


@dataclass(frozen=True, slots=True, eq=False)
class Evaluated:
    """An evaluation on disk: its folder, `metrics.json`, and the rows of `per_image.csv` by image and class id."""

    folder: Path
    metrics: dict[str, Any]
    rows: Rows


@dataclass(frozen=True, slots=True)
class ComparedScore:
    """One score of one class in two evaluations, paired by image.

    `class_id` is None for the mean over the foreground classes, taken in each image. `mean_a` and `mean_b` are over the
    images where both are defined; `difference` is a - b; `p_holm` is corrected for all rows of the comparison.
    `verdict` is `a is better`, `b is better` or `no difference`.
    """

    class_id: int | None
    class_name: str
    score: str
    mean_a: float | None
    mean_b: float | None
    difference: float | None
    ci95: tuple[float, float] | None
    p_value: float | None
    p_holm: float | None
    images: int
    groups: int
    verdict: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """All compared scores, the names of both sides, and what makes them less than comparable."""

    a: str
    b: str
    images: int
    rows: tuple[ComparedScore, ...]
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain types."""
        content = asdict(self)
        content["rows"] = [
            {**row, "ci95": None if row["ci95"] is None else list(row["ci95"])} for row in content["rows"]
        ]
        content["notes"] = list(self.notes)
        return {"schema": 1, **content}


def compare(a: Path | str, b: Path | str, scores: Sequence[str] | None = None) -> Comparison:
    """Return the differences a - b between two evaluations of the same images.

    Each is a folder with `metrics.json` and `per_image.csv`, that `metrics.json` itself, or a run with one evaluation.
    With several foreground classes their mean Dice is compared too; the background is not. The mean difference over
    images has a 95 % bootstrap interval over persons, eyes or videos, and a Wilcoxon signed-rank test, corrected by
    Holm over all rows. Where the interval holds 0, it is called no difference.

    Raises UsageError for a path or score that is not there; DataError where the images, their reference masks or the
    regions differ, or a file is damaged.
    """
    sides = [read_evaluation(path) for path in (a, b)]
    (metrics_a, rows_a), (metrics_b, rows_b) = ((side.metrics, side.rows) for side in sides)
    _require_same_images(rows_a, rows_b, str(a), str(b))
    first = next(iter(rows_a.values()))
    available = [name for name in first if name in next(iter(rows_b.values())) and name not in _TEXT_COLUMNS]
    wanted = [name for name in COMPARED if name in available] if scores is None else list(scores)
    if unknown := [name for name in wanted if name not in available]:
        raise UsageError(f"the score {unknown[0]!r} is not in both evaluations; give some of {', '.join(available)}")
    _add_means(rows_a)
    _add_means(rows_b)
    classes = {row["class_id"]: row["class"] for row in rows_a.values() if row["class_id"] != "0"}
    compared = [
        _compared(class_id, name, score, rows_a, rows_b)
        for class_id, name in classes.items()
        for score in wanted
        if any(row[score] for (_, other), row in rows_a.items() if other == class_id)
    ]
    corrected = holm([np.nan if row.p_value is None else row.p_value for row in compared])
    rows = tuple(
        ComparedScore(**{**asdict(row), "p_holm": number(p_holm)})
        for row, p_holm in zip(compared, corrected, strict=True)
    )
    names = [str(metrics.get("model") or path) for metrics, path in ((metrics_a, a), (metrics_b, b))]
    if names[0] == names[1]:
        names = [str(a), str(b)]
    notes = _notes(metrics_a, metrics_b) + tuple(few_units(max((row.groups for row in rows), default=0)))
    return Comparison(names[0], names[1], len({key[0] for key in rows_a}), rows, notes)


def _add_means(rows: Rows) -> None:
    """Add to each image of several foreground classes a row with the mean of their defined Dice."""
    by_image: dict[str, list[dict[str, str]]] = {}
    for (image, class_id), row in rows.items():
        if class_id != "0":
            by_image.setdefault(image, []).append(row)
    for image, own in by_image.items():
        if len(own) > 1:
            scores = [float(row["dice"]) for row in own if row.get("dice")]
            mean = str(sum(scores) / len(scores)) if scores else ""
            texts = {"image": image, "group": own[0]["group"], "class_id": _MEAN, "class": "mean, foreground"}
            rows[image, _MEAN] = {**dict.fromkeys(own[0], ""), **texts, "dice": mean}


def _compared(class_id: str, name: str, score: str, rows_a: Rows, rows_b: Rows) -> ComparedScore:
    keys = [key for key in rows_a if key[1] == class_id]
    values = [np.array([_float(rows[key][score]) for key in keys]) for rows in (rows_a, rows_b)]
    # A group is drawn as a whole; an image without one stands for itself.
    groups = [f"group {rows_a[key]['group']}" if rows_a[key]["group"] else f"image {key[0]}" for key in keys]
    found = paired_difference(values[0], values[1], groups)
    both = ~np.isnan(values[0] - values[1])
    verdict = "no difference"
    if found.differs:
        verdict = "a is better" if (found.mean > 0) != (score in _LOWER_IS_BETTER) else "b is better"
    return ComparedScore(
        class_id=None if class_id == _MEAN else int(class_id),
        class_name=name,
        score=score,
        mean_a=number(values[0][both].mean()) if both.any() else None,
        mean_b=number(values[1][both].mean()) if both.any() else None,
        difference=number(found.mean),
        ci95=None if found.ci95 is None else (round(found.ci95[0], 6), round(found.ci95[1], 6)),
        p_value=number(found.p_value),
        p_holm=None,
        images=found.images,
        groups=found.groups,
        verdict=verdict if found.ci95 is not None else "unknown (fewer than two groups)",
    )


def read_evaluation(path: Path | str) -> Evaluated:
    """Return what `evaluate` wrote to a folder, named by it, by its `metrics.json`, or by a run with one evaluation.

    Raises UsageError where there is none, and DataError where it is damaged.
    """
    path = Path(path)
    if not path.exists():
        raise UsageError(f"{path}: does not exist; give a folder that ocuseg evaluate wrote")
    folder = path.parent if path.is_file() else path
    if not (folder / "metrics.json").is_file():
        inside = sorted(found.parent for found in folder.glob("evaluation/*/metrics.json"))
        if len(inside) != 1:
            several = f"; name one of {', '.join(map(str, inside))}" if inside else ""
            raise UsageError(f"{path}: holds no metrics.json{several or '; give a folder that ocuseg evaluate wrote'}")
        folder = inside[0]
    try:
        metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
        with (folder / "per_image.csv").open(newline="", encoding="utf-8") as file:
            rows = {(row["image"], row["class_id"]): row for row in csv.DictReader(file)}
        if not isinstance(metrics, dict) or not rows or any(None in row.values() for row in rows.values()):
            raise ValueError("rows are missing")
        for row in rows.values():
            _require_numbers(row)
    except (OSError, ValueError, KeyError, csv.Error) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{folder}: cannot be read as an evaluation ({reason}); run 'ocuseg evaluate' again") from error
    return Evaluated(folder, metrics, rows)


def _require_numbers(row: dict[str, str]) -> None:
    """Raise ValueError, with image and column, on a cell that should hold a number; an empty score is undefined."""
    for column, cell in row.items():
        if column in _TEXT_COLUMNS or not (cell or column == "class_id"):
            continue
        try:
            is_sound = np.isfinite(int(cell) if column == "class_id" else float(cell))
        except ValueError:
            is_sound = False
        if not is_sound:
            raise ValueError(f"per_image.csv: {row['image']}: {column} is {cell!r}, no number")


def _require_same_images(rows_a: Rows, rows_b: Rows, a: str, b: str) -> None:
    images_a, images_b = ({key[0] for key in rows} for rows in (rows_a, rows_b))
    if images_a != images_b:
        only = sorted(images_a ^ images_b)
        where = a if only[0] in images_a else b
        raise DataError(
            f"{a} and {b} are of different images: {len(only)} are in one only, such as {only[0]} in {where}; "
            f"evaluate both models on the same split"
        )
    if set(rows_a) != set(rows_b):
        raise DataError(f"{a} and {b} have different classes; only models of the same classes can be compared")
    for key, row in rows_a.items():
        for column, what in (("pixels", "region (or size)"), ("reference_px", "reference mask")):
            if row.get(column) != rows_b[key].get(column):
                raise DataError(
                    f"{a} and {b} differ in the {what} of {key[0]} ({row.get(column)} and {rows_b[key].get(column)} "
                    f"pixels); evaluate both models on the same data with the same region"
                )


def _notes(metrics_a: dict[str, Any], metrics_b: dict[str, Any]) -> tuple[str, ...]:
    notes = []
    for key, what in (("rule", "metric rule"), ("data_hash", "data hash"), ("split", "split")):
        if metrics_a.get(key) != metrics_b.get(key):
            notes.append(f"the {what} differs: {metrics_a.get(key)} and {metrics_b.get(key)}")
    for key, what in (("runtime", "runtime"), ("flips", "averaging over flips")):
        values = [metrics.get(key) for metrics in (metrics_a, metrics_b)]
        # Evaluations of earlier versions do not say it.
        if None not in values and values[0] != values[1]:
            notes.append(f"the {what} differs: {_said(values[0])} and {_said(values[1])}")
    for side, metrics in (("a", metrics_a), ("b", metrics_b)):
        notes += [f"{side} is dead: {sentence}" for sentence in metrics.get("dead") or ()]
    return tuple(notes)


def _said(value: Any) -> str:
    return str(value) if not isinstance(value, bool) else "yes" if value else "no"


def _float(text: str) -> float:
    return float(text) if text else float("nan")
