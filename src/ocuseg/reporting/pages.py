"""Scores and pictures to one self-contained HTML page that opens offline, in light and dark, and prints."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from ocuseg.reporting.markup import STYLE, Thumbnail, boxed, gallery, table, tile
from ocuseg.reporting.tables import SCORE_NAMES, runtime_text, shown, shown_interval

__all__ = ["report_page"]

_MOST_ROWS = 200
_OVERVIEW = ("dice", "iou", "precision", "recall", "auc", "nsd", "hd95_px")
_ROW_SCORES = ("dice", "iou", "precision", "recall", "auc", "nsd_1px", "hd95_px", "cldice", "second_observer_dice")
_ROW_NAMES = {**SCORE_NAMES, "nsd_1px": SCORE_NAMES["nsd"], "second_observer_dice": "2nd observer Dice"}


def report_page(
    metrics: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]],
    thumbnails: Sequence[Thumbnail],
    plots: Mapping[str, str],
    legend: Mapping[str, tuple[int, int, int]],
) -> str:
    """Return the report as one HTML text without links to anything that it needs.

    `metrics` is the content of `metrics.json`, `rows` are those of `per_image.csv`, `thumbnails` come best first, and
    `plots` maps `thresholds` and, for many classes, `confusion` to data URIs, and `legend` what an overlay shows to its
    colour. Of many rows the worst are shown.
    """
    title = f"{metrics['model'] or 'model'} on {metrics['split'] or 'the data set'}"
    parts = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="soft">{escape(_subtitle(metrics))}</p>',
        *_boxes(metrics),
        _tiles(metrics),
        "<h2>Scores</h2>",
        *_scores(metrics),
        "<h2>Threshold</h2>" if len(metrics["classes"]) == 1 else "<h2>Probabilities</h2>",
        *_threshold(metrics, plots),
        "<h2>Images</h2>",
        *_images(metrics, thumbnails, legend),
        *_rows(rows),
        "<h2>How these scores were made</h2>",
        _protocol(metrics),
        "<footer>Made by ocuseg. For research; not a medical device.</footer>",
    ]
    head = (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
    )
    return head + "\n".join(part for part in parts if part) + "\n</body>\n</html>\n"


def _subtitle(metrics: Mapping[str, Any]) -> str:
    where = "inside the field of view" if metrics["region"] == "field_of_view" else "over the whole image"
    count = metrics["images"]
    return f"{count} image{'' if count == 1 else 's'}, scored at native size {where}"


def _boxes(metrics: Mapping[str, Any]) -> list[str]:
    for_some = " for some classes" if len(metrics["dead"]) < len(metrics["classes"]) else ""
    kinds = (
        ("dead", f"This network is dead{for_some}: do not use it", metrics["dead"]),
        ("failed", "Not everything could be scored", metrics["failures"]),
        ("warned", "Read the scores with this in mind", metrics["warnings"]),
    )
    return [boxed(kind, heading, lines) for kind, heading, lines in kinds if lines]


def _tiles(metrics: Mapping[str, Any]) -> str:
    first, observer = metrics["classes"][0], metrics["second_observer"]
    if len(metrics["classes"]) > 1:
        tiles = [
            ("mean Dice, foreground", metrics["mean_foreground"]["dice"], "pooled"),
            ("mean IoU, with background", metrics["mean_all"]["iou"], "pooled"),
            ("mean Dice, foreground", metrics["mean_foreground"]["dice"], "per_image"),
            ("pixel accuracy", metrics["pixel_accuracy"], "pooled"),
        ]
    else:
        tiles = [
            ("Dice", first["dice"], "pooled"),
            ("Dice", first["dice"], "per_image"),
            ("AUC", first["auc"], "pooled"),
        ]
        if "cldice" in first:
            tiles.append(("clDice", first["cldice"], "pooled"))
        elif "nsd" in first:
            tiles.append(("NSD, 1 px", first["nsd"], "pooled"))
    if observer is not None:
        name = "second observer, Dice" if len(metrics["classes"]) == 1 else "second observer, mean Dice"
        tiles.append((name, observer["mean_foreground"]["dice"], "pooled"))
    return f'<div class="tiles">{"".join(_tile(*tile) for tile in tiles)}</div>'


def _tile(name: str, score: Mapping[str, Any], reduction: str) -> str:
    if reduction == "pooled":
        note = f"pooled, {shown_interval(score['ci95'])}" if score["ci95"] else "pooled"
    else:
        note = f"mean of {score['images']} images"
    return tile(name, shown(score[reduction]), note)


def _scores(metrics: Mapping[str, Any]) -> list[str]:
    observer = metrics["second_observer"]
    pairs = [
        (row, None if observer is None else observer["classes"][position])
        for position, row in enumerate(metrics["classes"])
    ]
    if len(pairs) == 1:
        return [_class_table(*pairs[0])]
    details = "".join(f"<h3>{escape(row['name'])}</h3>{_class_table(row, second)}" for row, second in pairs)
    return [_overview(metrics), f"<details><summary>All scores of each class</summary>{details}</details>"]


def _class_table(row: Mapping[str, Any], second: Mapping[str, Any] | None) -> str:
    header = [row["name"], "pooled", "95 % interval", "mean over images", "images"]
    header += ["2nd observer, pooled", "2nd observer, mean"] if second is not None else []
    body = []
    for key, name in SCORE_NAMES.items():
        if key in row:
            score = row[key]
            cells = [name, shown(score["pooled"]), shown_interval(score["ci95"]), shown(score["per_image"])]
            cells.append(str(score["images"]))
            if second is not None:
                other = second.get(key, {})
                cells += [shown(other.get("pooled")), shown(other.get("per_image"))]
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
        f"Share of the region: {_percent(area['reference_share'])} in the reference, "
        f"{_percent(area['prediction_share'])} predicted."
    )
    if "parent" in area:
        notes.append(
            f"Share of {area['parent']}: {_percent(area['reference_share_of_parent'])} in the reference, "
            f"{_percent(area['prediction_share_of_parent'])} predicted."
        )
    return table(header, body) + "".join(f'<p class="soft">{escape(note)}</p>' for note in notes)


def _overview(metrics: Mapping[str, Any]) -> str:
    keys = [key for key in _OVERVIEW if any(key in row for row in metrics["classes"])]
    body = [
        [row["name"], *(_stacked(row.get(key)) for key in keys)] for row in (*metrics["classes"], metrics["background"])
    ]
    body += [
        [name, *(_stacked(metrics[mean].get(key)) for key in keys)]
        for name, mean in (("mean, foreground", "mean_foreground"), ("mean, with background", "mean_all"))
    ]
    caption = "Pooled scores with 95 % intervals below; HD95 is the mean over images."
    return table(["class", *(SCORE_NAMES[key] for key in keys)], body, caption=caption, safe=True)


def _stacked(score: Mapping[str, Any] | None) -> str:
    if score is None:
        return ""
    value = score["per_image"] if score["pooled"] is None else score["pooled"]
    return shown(value) + (f"<small>{shown_interval(score['ci95'])}</small>" if score["ci95"] else "")


def _threshold(metrics: Mapping[str, Any], plots: Mapping[str, str]) -> list[str]:
    gap, calibration = metrics["oracle_gap"], metrics["calibration"]
    lines = []
    if gap is not None:
        chosen = metrics["threshold_chosen_on"]
        lines.append(
            f"Used: {metrics['threshold']:.4g}, {f'chosen on {chosen}' if chosen else 'not chosen on validation'}. The "
            f"best threshold on these very images, {gap['threshold']:.2f}, would have added {shown(gap['gap'])} to the "
            f"pooled Dice."
        )
    elif "thresholds" in metrics:
        lines.append(f"Used: the threshold of each fold, {_listed(metrics['thresholds'])}.")
    elif metrics["threshold"] is None:
        lines.append("Each pixel gets its most probable class; the curves show each class against the rest.")
    lines.append(
        f"Calibration: expected error {shown(calibration['ece'])} (15 bins), Brier score {shown(calibration['brier'])}."
    )
    figures = [
        f'<figure class="plot {name}"><img src="{plots[name]}" alt="{alt}"></figure>'
        for name, alt in (("thresholds", "scores by threshold"), ("confusion", "confusion of the classes"))
        if name in plots
    ]
    return [*(f"<p>{escape(line)}</p>" for line in lines), *figures]


def _images(
    metrics: Mapping[str, Any], thumbnails: Sequence[Thumbnail], legend: Mapping[str, tuple[int, int, int]]
) -> list[str]:
    keys = "".join(
        f'<span class="key"><span class="swatch" style="background: rgb{colour}"></span>{escape(name)}</span>'
        for name, colour in legend.items()
    )
    how = "With the Dice of each; prediction against reference: "
    if len(metrics["classes"]) > 1:
        how = "With the mean foreground Dice of each; the prediction, firm where it is wrong, and the reference: "
    note = f'<p class="soft wide">{how}{keys}</p>'
    if len(thumbnails) == metrics["images"]:
        return [note, gallery(thumbnails)]
    half = len(thumbnails) // 2
    best, worst = thumbnails[:half], thumbnails[half:][::-1]
    return [note, "<h3>Worst first</h3>", gallery(worst), "<h3>Best first</h3>", gallery(best)]


def _rows(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    if not rows:
        return []
    has_groups = any(row["group"] for row in rows)
    several = len({row["class"] for row in rows}) > 1
    keys = [key for key in _ROW_SCORES if any(row.get(key) is not None for row in rows)]
    foreground = [row for row in rows if row["class_id"] > 0]
    foreground.sort(key=lambda row: (row["dice"] is None, row["dice"] or 0.0))
    header = ["image", *(["group"] if has_groups else []), *(["class"] if several else [])]
    body = [
        [row["image"], *([row["group"]] if has_groups else []), *([row["class"]] if several else [])]
        + [shown(row[key]) for key in keys]
        for row in foreground[:_MOST_ROWS]
    ]
    left_out = len(foreground) - len(body)
    caption = f"Worst first; {left_out} more rows are in per_image.csv." if left_out else "Worst first."
    listed = table([*header, *(_ROW_NAMES[key] for key in keys)], body, caption=caption)
    return [f"<details><summary>Scores of each image</summary>{listed}</details>"]


def _protocol(metrics: Mapping[str, Any]) -> str:
    counted = metrics["region_images"]
    region = "the field of view" if metrics["region"] == "field_of_view" else "the whole image"
    if counted["field_of_view"] and counted["image"]:
        region += f" of {counted['field_of_view']} images, all of the other {counted['image']}"
    known = {"rule", "model", "model_hash", "data_hash", "split", "runtime", "flips"}
    values = [
        ("metric rule", metrics["rule"]),
        ("model", metrics["model"]),
        ("model hash (SHA-256)", metrics["model_hash"]),
        ("data hash (SHA-256)", metrics["data_hash"]),
        ("split", metrics["split"]),
        ("images", metrics["images"]),
        ("size", "native: probabilities are brought back to the image's own size, then decided"),
        ("pixels that count", f"{region}, less ignored pixels"),
        ("decision", _decision(metrics)),
        ("pooled", "scores of the summed counts of all images"),
        ("mean over images", "of the images where the score is defined; their number is given"),
        ("intervals", _intervals(metrics["intervals"])),
        ("AUC, average precision", "exact on 65,536 levels"),
        ("runtime", runtime_text(metrics)),
    ]
    values += [(key.replace("_", " "), value) for key, value in _further(metrics, known)]
    cells = "".join(
        f'<tr><td>{escape(name)}</td><td class="text">{escape(str(value))}</td></tr>' for name, value in values if value
    )
    return f"<table>{cells}</table>"


def _further(metrics: Mapping[str, Any], known: set[str]) -> Iterable[tuple[str, Any]]:
    """What else was said about the model, before the scores begin."""
    for key, value in metrics.items():
        if key == "images":
            return
        if key not in known and key not in ("schema", "threshold_chosen_on") and isinstance(value, str | int | float):
            yield key, value


def _intervals(settings: Mapping[str, Any]) -> str:
    if settings["units"] < 2:
        return "none, as there is only one image, person, eye or video"
    units = "persons, eyes or videos" if settings["over"] == "groups" else "images"
    return (
        f"95 %, of the pooled score (HD95: of the mean), percentile bootstrap, {settings['resamples']} resamples of "
        f"{settings['units']} {units}, seed {settings['seed']}; for AUC and average precision on "
        f"{settings['ranking_levels']} levels"
    )


def _listed(thresholds: Sequence[float]) -> str:
    return ", ".join(f"{threshold:.2f}" for threshold in thresholds)


def _decision(metrics: Mapping[str, Any]) -> str:
    if "thresholds" in metrics:
        return f"probability at or above the threshold of the image's fold: {_listed(metrics['thresholds'])}"
    if metrics["threshold"] is None:
        return "the most probable class"
    chosen = metrics["threshold_chosen_on"]
    return f"probability at or above {metrics['threshold']:.4g}" + (f", chosen on {chosen}" if chosen else "")


def _percent(share: float | None) -> str:
    return "undefined" if share is None else f"{100 * share:#.3g} %"
