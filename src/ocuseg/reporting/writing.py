"""An evaluation to files: scores, tables, curves, masks, overlays, one self-contained page."""

from __future__ import annotations

import csv
import io
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from ocuseg import folders
from ocuseg.classes import Classes
from ocuseg.drawing import draw_overlay
from ocuseg.evaluation import THRESHOLDS, Evaluation
from ocuseg.evaluation.cases import Case, read_case
from ocuseg.files import write_json, write_text
from ocuseg.images import write_image, write_mask
from ocuseg.machine import usable_cores
from ocuseg.metrics import dice, iou, mean_foreground, number, precision, recall, specificity
from ocuseg.reporting.diagrams import read_history
from ocuseg.reporting.gallery import Eye
from ocuseg.reporting.layers import (
    MOST_BYTES,
    MOST_SHOWN,
    MOST_WORKERS,
    Painting,
    class_layer,
    difference_layer,
    painted,
)
from ocuseg.reporting.pages import report_page
from ocuseg.reporting.plots import draw_confusion, draw_curves, draw_thresholds
from ocuseg.reporting.tables import comparison_table, csv_text, scores_table, shown

__all__ = ["comparison_table", "draw_curves", "require_replaceable", "scores_table", "write_evaluation"]

_log = logging.getLogger("ocuseg")

_MOST_JPEG_PX = 65_500
"""The longest side that libjpeg writes; an overlay that is longer is drawn smaller."""
_FILES = (
    "metrics.json", "per_image.csv", "thresholds.csv", "thresholds.png", "confusion.csv", "confusion.png",
    "report.html", "masks", "overlays",
)  # fmt: skip


def write_evaluation(
    evaluation: Evaluation,
    folder: Path | str,
    *,
    histories: Sequence[Path | str] = (),
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write an evaluation to `folder`, all of it or nothing, and return the folder.

    It gets `metrics.json`, `per_image.csv`, `thresholds.csv`, `thresholds.png`, `confusion.csv`, `masks/NAME.png`,
    `overlays/NAME.jpg`, `report.html`, and `confusion.png` for more than two classes. An earlier evaluation there is
    replaced. The report shows the curves of the `histories`, the `history.csv` of the run or of each of its folds,
    where they are there. `progress(done, total)` counts images. Raises OutputError where the folder cannot be written
    or holds anything else, and DataError where an image can no longer be read.
    """
    target = Path(folder)
    require_replaceable(target)
    with folders.folder_written_whole(target) as staging:
        write_json(staging / "metrics.json", evaluation.to_json())
        write_text(staging / "per_image.csv", csv_text(evaluation.image_rows()))
        write_text(staging / "thresholds.csv", csv_text(_threshold_rows(evaluation)))
        write_text(staging / "confusion.csv", _confusion_text(evaluation.to_json()["confusion"]))
        _draw_thresholds(evaluation, staging / "thresholds.png")
        if len(evaluation.classes) > 2:
            draw_confusion(evaluation.confusion, evaluation.classes.names, staging / "confusion.png")
        eyes = _write_pictures(evaluation, staging, progress)
        trained = [read_history(Path(history)) for history in histories]
        write_text(staging / "report.html", report_page(evaluation, eyes, trained))
    return target


def require_replaceable(folder: Path | str) -> None:
    """Raise OutputError unless an evaluation can be written to `folder`; to be asked before hours of work.

    It can where nothing is yet, where the folder is empty, and where it holds nothing but an earlier evaluation.
    """
    folders.require_replaceable(
        folder, _FILES, _is_evaluation, result="the evaluation", foreign="which no evaluation wrote"
    )


def _is_evaluation(folder: Path) -> bool:
    try:
        content = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and "rule" in content


def _write_pictures(evaluation: Evaluation, folder: Path, progress: Callable[[int, int], None] | None) -> list[Eye]:
    """Write all masks and overlays; return what the page shows of the worst images, worst first.

    Each image is read again for it. At most one for each worker is in memory.
    """
    (folder / "masks").mkdir()
    (folder / "overlays").mkdir()
    ranking = evaluation.worst_first()
    eyes: list[Eye] = []
    pool = ThreadPoolExecutor(min(usable_cores(), MOST_WORKERS), thread_name_prefix="ocuseg-drawing")
    try:
        written = pool.map(
            lambda place: _write_picture(evaluation, ranking[place], folder, place < MOST_SHOWN), range(len(ranking))
        )
        for done, eye in enumerate(written, start=1):
            if eye is not None:
                eyes.append(eye)
            if progress is not None:
                progress(done, len(ranking))
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    return eyes


def _write_picture(evaluation: Evaluation, index: int, folder: Path, is_shown: bool) -> Eye | None:
    record = evaluation.records[index]
    try:
        return _drawn(evaluation, index, folder, is_shown)
    except MemoryError:
        _log.warning("%s: needs more memory to be drawn than there is; its scores are whole", record.image)
        return None


def _drawn(evaluation: Evaluation, index: int, folder: Path, is_shown: bool) -> Eye | None:
    record, classes = evaluation.records[index], evaluation.classes
    case = read_case(record, evaluation.encoding, classes, region=evaluation.region)
    mask = evaluation.mask(index)
    write_mask(folder / "masks" / f"{record.name}.png", mask, classes)
    overlay = draw_overlay(case.image, mask, classes, reference=case.reference, region=case.region)
    step = -(-max(overlay.shape) // _MOST_JPEG_PX)
    overlay = np.ascontiguousarray(overlay[::step, ::step])
    write_image(folder / "overlays" / f"{record.name}.jpg", overlay)
    if not is_shown:
        return None
    score = shown(number(evaluation.image_dice()[index]))
    link = f'<a class="screen" href="overlays/{quote(record.name)}.jpg">overlay at full size</a>'
    return Eye(record.name, f"Dice {score}", _note(evaluation, index) + link, _painting(case, mask, classes))


def _note(evaluation: Evaluation, index: int) -> str:
    """The second observer's Dice of an image, as the start of a line; nothing without one."""
    if evaluation.second_dice is None:
        return ""
    score = number(mean_foreground(evaluation.second_dice[index]))
    return "" if score is None else f"second observer {shown(score)} · "


def _painting(case: Case, mask: NDArray[np.uint8], classes: Classes) -> Painting:
    layers = {
        "reference": class_layer(case.reference, classes, case.region),
        "prediction": class_layer(mask, classes, case.region),
        "difference": difference_layer(case.reference, mask, case.region),
    }
    return painted({"picture": case.image}, layers, MOST_BYTES)


def _threshold_rows(evaluation: Evaluation) -> list[dict[str, Any]]:
    """A row for each foreground class and threshold, each class against the rest."""
    counts = evaluation.sweep
    scores = {function.__name__: function(counts) for function in (dice, iou, precision, recall, specificity)}
    raw = {"tp": counts.tp, "fp": counts.fp, "fn": counts.fn, "tn": counts.tn}
    return [
        {
            "class_id": item.id,
            "class": item.name,
            "threshold": threshold,
            **{name: number(values[row, column]) for name, values in scores.items()},
            **{name: int(values[row, column]) for name, values in raw.items()},
        }
        for row, item in enumerate(evaluation.classes.items[1:])
        for column, threshold in enumerate(THRESHOLDS)
    ]


def _draw_thresholds(evaluation: Evaluation, path: Path) -> None:
    metrics, counts = evaluation.to_json(), evaluation.sweep
    if len(evaluation.classes) > 2:
        curves = dict(zip(evaluation.classes.names[1:], dice(counts), strict=True))
        draw_thresholds(THRESHOLDS, curves, path, title="pooled Dice, each class against the rest")
        return
    curves = {"Dice": dice(counts)[0], "IoU": iou(counts)[0]}
    curves |= {"precision": precision(counts)[0], "recall": recall(counts)[0]}
    best = metrics["oracle_gap"] and metrics["oracle_gap"]["threshold"]
    title = f"{evaluation.classes.names[1]}: pooled scores by threshold"
    draw_thresholds(THRESHOLDS, curves, path, title=title, chosen=metrics["threshold"], best=best)


def _confusion_text(confusion: Mapping[str, Any]) -> str:
    """Pixels of each reference class (row) by what they were predicted as (column)."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["reference", *confusion["classes"]])
    writer.writerows([name, *counts] for name, counts in zip(confusion["classes"], confusion["counts"], strict=True))
    return text.getvalue()
