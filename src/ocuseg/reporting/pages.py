"""An evaluation to one self-contained HTML page that opens offline, in light and dark, and prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from ocuseg.classes import Classes
from ocuseg.evaluation import Evaluation
from ocuseg.reporting.diagrams import calibration_diagram, threshold_diagrams, training_diagrams
from ocuseg.reporting.gallery import Eye, View, gallery, gallery_rules
from ocuseg.reporting.layers import DIFFERENCE_COLOURS
from ocuseg.reporting.markup import SortableRow, document, section, sortable_table
from ocuseg.reporting.scoreboard import confusion_table, scoreboard
from ocuseg.reporting.summary import protocol, repetition, summary
from ocuseg.reporting.tables import COMPARED_NAMES, shown

__all__ = ["MOST_ROWS", "class_legend", "contents", "report_page"]

History = Sequence[Mapping[str, Any]]
"""The rows of a `history.csv`."""

MOST_ROWS = 2000
"""More rows than this make a table slow; the others are in the CSV beside the page."""

_ROW_SCORES = ("dice", "iou", "precision", "recall", "auc", "nsd_1px", "hd95_px", "cldice", "second_observer_dice")
_ROW_NAMES = {**COMPARED_NAMES, "second_observer_dice": "2nd observer Dice"}
_VIEWS = {
    "picture": View("picture", ("picture",)),
    "reference": View("reference", ("reference", "picture")),
    "prediction": View("prediction", ("prediction", "picture")),
    "difference": View("agreed, missed, extra", ("difference", "picture")),
}


def report_page(evaluation: Evaluation, eyes: Sequence[Eye], histories: Sequence[History] = ()) -> str:
    """Return the report as one HTML text that loads nothing.

    `eyes` are the images to be shown, worst first, with pictures named `picture`, `reference`, `prediction` and
    `difference`; `histories` are the rows of the `history.csv` of the run, or of each of its folds. Of very many rows
    the worst are listed.
    """
    metrics = evaluation.metrics
    title = f"{metrics['model'] or 'model'} on {metrics['split'] or 'the data set'}"
    trained = _trained(histories, metrics.get("epoch"))
    sections = [
        ("scores", "Scores", scoreboard(metrics)),
        (
            "thresholds",
            "Thresholds" if len(metrics["classes"]) == 1 else "Probabilities",
            threshold_diagrams(evaluation),
        ),
        ("calibration", "Calibration", calibration_diagram(metrics)),
        ("confusion", "Confusion", [confusion_table(metrics)]),
        ("training", "Training", trained),
        ("images", "Scores of each image", _rows(evaluation.image_rows(), [eye.name for eye in eyes])),
        ("pictures", "Pictures, worst first", _pictures(evaluation, eyes)),
        ("protocol", "How these scores were made", [protocol(metrics)]),
        ("again", "To make them again", repetition(metrics)),
    ]
    return document(title, [*summary(metrics), *contents(sections)], rules=gallery_rules(_VIEWS))


def _trained(histories: Sequence[History], epoch: int | None) -> list[str]:
    """The curves of a run, or of each fold of a cross-validation under its number."""
    if len(histories) == 1:
        return training_diagrams(histories[0], epoch) if histories[0] else []
    return [
        part
        for number, history in enumerate(histories, start=1)
        if history
        for part in (f"<h3>Fold {number}</h3>", *training_diagrams(history, None))
    ]


def contents(sections: Sequence[tuple[str, str, Sequence[str]]]) -> list[str]:
    """Return links to the sections that have something in them, and then these, from their ids, titles and parts."""
    filled = [(name, title, parts) for name, title, parts in sections if any(parts)]
    links = "".join(f'<li><a href="#{name}">{escape(title)}</a></li>' for name, title, _ in filled)
    return [f'<nav aria-label="Contents"><ul>{links}</ul></nav>', *(section(*one) for one in filled)]


def class_legend(classes: Classes) -> dict[str, tuple[int, int, int]]:
    """Return the colour (RGB) of each foreground class."""
    colours = [(int(red), int(green), int(blue)) for red, green, blue in classes.colours]
    return dict(list(zip(classes.names, colours, strict=True))[1:])


def _pictures(evaluation: Evaluation, eyes: Sequence[Eye]) -> list[str]:
    if not eyes:
        return []
    several = len(evaluation.classes) > 2
    is_bounded = evaluation.classes.ignore_index is not None or evaluation.metrics["region"] == "field_of_view"
    drawn = {"other class": several, "not scored": is_bounded}
    colours = {name: colour for name, colour in DIFFERENCE_COLOURS.items() if drawn.get(name, True)}
    legends = {"Reference and prediction": class_legend(evaluation.classes), "Compared": colours}
    left_out = len(evaluation.records) - len(eyes)
    note = (
        f"With the {'mean foreground ' if several else ''}Dice of each. Move the line with the mouse or the arrow keys."
    )
    if left_out:
        note += f" The {len(eyes)} worst are shown; all {len(evaluation.records)} are in the folder overlays."
    return [f'<p class="soft wide">{escape(note)}</p>', gallery(eyes, _VIEWS, "picture", "difference", legends)]


def _rows(rows: Sequence[Mapping[str, Any]], shown_images: Sequence[str]) -> list[str]:
    foreground = [row for row in rows if row["class_id"] > 0]
    if not foreground:
        return []
    anchors = {name: f"#image-{number}" for number, name in enumerate(shown_images, start=1)}
    has_groups = any(row["group"] for row in foreground)
    several = len({row["class"] for row in foreground}) > 1
    keys = [key for key in _ROW_SCORES if any(row.get(key) is not None for row in foreground)] or ["dice"]
    foreground.sort(key=lambda row: (row["dice"] is None, row["dice"] or 0.0))
    header = ["image", *(["group"] if has_groups else []), *(["class"] if several else [])]
    body = [
        SortableRow(
            row["image"],
            [*([row["group"]] if has_groups else []), *([row["class"]] if several else [])]
            + [shown(row[key]) for key in keys],
            class_name=row["class"] if several else "",
            link=anchors.get(row["image"], ""),
        )
        for row in foreground[:MOST_ROWS]
    ]
    left_out = len(foreground) - len(body)
    caption = "A click on a heading sorts; the filter holds for the pictures below as well."
    if left_out:
        caption += f" {left_out} better rows are in per_image.csv alone."
    names = [_ROW_NAMES[key] for key in keys]
    listed = sortable_table(
        [*header, *names], body,
        texts=len(header), sorted_by=_ROW_NAMES["dice"], limited=_ROW_NAMES["dice"] if "dice" in keys else names[0],
        caption=caption,
    )  # fmt: skip
    return [listed]
