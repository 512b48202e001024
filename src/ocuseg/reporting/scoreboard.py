"""The scores of all images together: a table for each class, an overview of several, the confusion between them."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from ocuseg.reporting.markup import table
from ocuseg.reporting.summary import percent
from ocuseg.reporting.tables import SCORE_NAMES, shown, shown_interval

__all__ = ["confusion_table", "scoreboard"]

_OVERVIEW = ("dice", "iou", "precision", "recall", "auc", "nsd", "hd95_px")


def scoreboard(metrics: Mapping[str, Any]) -> list[str]:
    """Return all scores with their intervals, and those of the second observer beside them."""
    observer = metrics["second_observer"]
    pairs = [
        (row, None if observer is None else observer["classes"][position])
        for position, row in enumerate(metrics["classes"])
    ]
    if len(pairs) == 1:
        return [_class_table(*pairs[0])]
    details = "".join(f"<h3>{escape(row['name'])}</h3>{_class_table(row, second)}" for row, second in pairs)
    return [_overview(metrics), f"<details><summary>All scores of each class</summary>{details}</details>"]


def confusion_table(metrics: Mapping[str, Any]) -> str:
    """Return the share of each reference class (row) that was predicted as each class (column), and its pixels."""
    names, counts = metrics["confusion"]["classes"], metrics["confusion"]["counts"]
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in names)
    lines = []
    for name, row in zip(names, counts, strict=True):
        total = sum(row)
        cells = "".join(
            f'<td style="--share:{100 * pixels / total if total else 0:.1f}%">'
            f"{f'{100 * pixels / total:.1f} %' if total else '–'}<small>{pixels:,}</small></td>"
            for pixels in row
        )
        lines.append(f'<tr><th scope="row">{escape(name)}</th>{cells}</tr>')
    caption = "In percent of each reference class (row), by what it was predicted as (column), and in pixels below."
    return (
        f"<p>{caption}</p>"
        '<div class="scroll" tabindex="0" role="group" aria-label="confusion of the classes"><table class="confusion">'
        f'<thead><tr><th scope="col">reference</th>{head}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


def _class_table(row: Mapping[str, Any], second: Mapping[str, Any] | None) -> str:
    header = [row["name"], "pooled", "95 % interval", "mean over images", "images"]
    header += ["2nd observer, pooled", "95 % interval", "2nd observer, mean"] if second is not None else []
    body = []
    for key, name in SCORE_NAMES.items():
        if key in row:
            score = row[key]
            cells = [name, shown(score["pooled"]), shown_interval(score["ci95"]), shown(score["per_image"])]
            cells.append(str(score["images"]))
            if second is not None:
                other = second.get(key, {})
                cells += [shown(other.get("pooled")), shown_interval(other.get("ci95")), shown(other.get("per_image"))]
            body.append(cells)
    notes = []
    if "components" in row:
        parts = row["components"]
        notes.append(
            f"{parts['prediction_per_image']:.2f} connected components per image; the reference has "
            f"{parts['reference_per_image']:.2f}"
            + ("." if second is None else f", the second observer {second['components']['prediction_per_image']:.2f}.")
        )
    area = row["area"]
    notes.append(
        f"Share of the region: {percent(area['reference_share'])} in the reference, "
        f"{percent(area['prediction_share'])} predicted."
    )
    if "parent" in area:
        notes.append(
            f"Share of {area['parent']}: {percent(area['reference_share_of_parent'])} in the reference, "
            f"{percent(area['prediction_share_of_parent'])} predicted."
        )
    return table(header, body) + "".join(f'<p class="soft">{escape(note)}</p>' for note in notes)


def _overview(metrics: Mapping[str, Any]) -> str:
    keys = [key for key in _OVERVIEW if any(key in row for row in metrics["classes"])]
    rows = [(row["name"], row) for row in (*metrics["classes"], metrics["background"])]
    rows += [("mean, foreground", metrics["mean_foreground"]), ("mean, with background", metrics["mean_all"])]
    body = [[name, *(_stacked(row.get(key)) for key in keys)] for name, row in rows]
    header = ["class", *(SCORE_NAMES[key] for key in keys)]
    observer = metrics["second_observer"]
    if observer is not None:
        header.append("2nd observer, Dice")
        others = [*observer["classes"], *(observer[key] for key in ("background", "mean_foreground", "mean_all"))]
        for cells, other in zip(body, others, strict=True):
            cells.append(_stacked(other.get("dice")))
    caption = "Pooled scores with 95 % intervals below; HD95 is the mean over images."
    return table(header, body, caption=caption, safe=True)


def _stacked(score: Mapping[str, Any] | None) -> str:
    if score is None:
        return ""
    value = score["per_image"] if score["pooled"] is None else score["pooled"]
    return shown(value) + (f"<small>{shown_interval(score['ci95'])}</small>" if score["ci95"] else "")
