"""An evaluation to files: scores, tables, curves, masks, overlays, one self-contained page."""

from __future__ import annotations

import base64
import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ocuseg import folders
from ocuseg.drawing import comparison_legend, draw_overlay
from ocuseg.evaluation import THRESHOLDS, Evaluation
from ocuseg.evaluation.cases import read_case
from ocuseg.files import write_json, write_text
from ocuseg.images import write_image, write_mask
from ocuseg.machine import usable_cores
from ocuseg.metrics import dice, iou, number, precision, recall, specificity
from ocuseg.reporting.markup import Thumbnail
from ocuseg.reporting.pages import report_page
from ocuseg.reporting.plots import draw_confusion, draw_curves, draw_thresholds
from ocuseg.reporting.tables import comparison_table, scores_table

__all__ = ["comparison_table", "draw_curves", "require_replaceable", "scores_table", "write_evaluation"]

_FILES = (
    "metrics.json", "per_image.csv", "thresholds.csv", "thresholds.png", "confusion.csv", "confusion.png",
    "report.html", "masks", "overlays",
)  # fmt: skip
_SHOWN_AT_EACH_END = 6
_THUMBNAIL_PX = 640
_MOST_WORKERS = 4


def write_evaluation(
    evaluation: Evaluation, folder: Path | str, *, progress: Callable[[int, int], None] | None = None
) -> Path:
    """Write an evaluation to `folder`, all of it or nothing, and return the folder.

    It gets `metrics.json`, `per_image.csv`, `thresholds.csv`, `thresholds.png`, `confusion.csv`, `masks/NAME.png`,
    `overlays/NAME.jpg`, `report.html`, and `confusion.png` for more than two classes. An earlier evaluation there is
    replaced. `progress(done, total)` counts images. Raises OutputError where the folder cannot be written or holds
    anything else, and DataError where an image can no longer be read.
    """
    target = Path(folder)
    require_replaceable(target)
    with folders.folder_written_whole(target) as staging:
        write_json(staging / "metrics.json", evaluation.to_json())
        write_text(staging / "per_image.csv", _csv_text(evaluation.image_rows()))
        write_text(staging / "thresholds.csv", _csv_text(_threshold_rows(evaluation)))
        write_text(staging / "confusion.csv", _confusion_text(evaluation.to_json()["confusion"]))
        plots = {"thresholds": _draw_thresholds(evaluation, staging / "thresholds.png")}
        if len(evaluation.classes) > 2:
            names = evaluation.classes.names
            plots["confusion"] = draw_confusion(evaluation.confusion, names, staging / "confusion.png")
        thumbnails = _write_pictures(evaluation, staging, progress)
        page = report_page(
            evaluation.to_json(),
            evaluation.image_rows(),
            thumbnails,
            {name: _data_uri(path.read_bytes(), "image/png") for name, path in plots.items()},
            comparison_legend(evaluation.classes),
        )
        write_text(staging / "report.html", page)
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


def _write_pictures(
    evaluation: Evaluation, folder: Path, progress: Callable[[int, int], None] | None
) -> list[Thumbnail]:
    """Write all masks and overlays; return the thumbnails of the best and the worst images, best first."""
    (folder / "masks").mkdir()
    (folder / "overlays").mkdir()
    ranking = evaluation.best_first()
    ends = [*ranking[:_SHOWN_AT_EACH_END], *ranking[-_SHOWN_AT_EACH_END:]]
    shown = ranking if len(ranking) <= 2 * _SHOWN_AT_EACH_END else ends
    thumbnails: dict[int, Thumbnail] = {}
    pool = ThreadPoolExecutor(min(usable_cores(), _MOST_WORKERS), thread_name_prefix="ocuseg-drawing")
    try:
        written = pool.map(lambda index: _write_picture(evaluation, index, folder, index in shown), ranking)
        for done, (index, thumbnail) in enumerate(zip(ranking, written, strict=True), start=1):
            if thumbnail is not None:
                thumbnails[index] = thumbnail
            if progress is not None:
                progress(done, len(ranking))
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    return [thumbnails[index] for index in shown]


def _write_picture(evaluation: Evaluation, index: int, folder: Path, is_shown: bool) -> Thumbnail | None:
    record, classes = evaluation.records[index], evaluation.classes
    case = read_case(record, evaluation.encoding, classes, region=evaluation.region)
    mask = evaluation.mask(index)

    def overlay(*, legend: bool) -> NDArray[np.uint8]:
        return draw_overlay(case.image, mask, classes, reference=case.reference, region=case.region, legend=legend)

    write_mask(folder / "masks" / f"{record.name}.png", mask, classes)
    write_image(folder / "overlays" / f"{record.name}.jpg", overlay(legend=True))
    if not is_shown:
        return None
    score = number(evaluation.image_dice()[index])
    return Thumbnail(record.name, score, _thumbnail(overlay(legend=False)))


def _thumbnail(image: NDArray[np.uint8]) -> str:
    """Return a reduced JPEG of an image (H, W, 3) as a data URI."""
    from PIL import Image

    picture = Image.fromarray(image)
    picture.thumbnail((_THUMBNAIL_PX, _THUMBNAIL_PX), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=82, subsampling=0, optimize=True)
    return _data_uri(buffer.getvalue(), "image/jpeg")


def _data_uri(data: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"


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


def _draw_thresholds(evaluation: Evaluation, path: Path) -> Path:
    metrics, counts = evaluation.to_json(), evaluation.sweep
    if len(evaluation.classes) > 2:
        curves = dict(zip(evaluation.classes.names[1:], dice(counts), strict=True))
        return draw_thresholds(THRESHOLDS, curves, path, title="pooled Dice, each class against the rest")
    curves = {"Dice": dice(counts)[0], "IoU": iou(counts)[0]}
    curves |= {"precision": precision(counts)[0], "recall": recall(counts)[0]}
    best = metrics["oracle_gap"] and metrics["oracle_gap"]["threshold"]
    title = f"{evaluation.classes.names[1]}: pooled scores by threshold"
    return draw_thresholds(THRESHOLDS, curves, path, title=title, chosen=metrics["threshold"], best=best)


def _confusion_text(confusion: Mapping[str, Any]) -> str:
    """Pixels of each reference class (row) by what they were predicted as (column)."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["reference", *confusion["classes"]])
    writer.writerows([name, *counts] for name, counts in zip(confusion["classes"], confusion["counts"], strict=True))
    return text.getvalue()


def _csv_text(rows: Sequence[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
