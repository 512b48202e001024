"""The differences between two evaluations of the same images to one self-contained HTML page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from ocuseg.evaluation.comparison import COMPARED, ComparedScore, Comparison, Evaluated
from ocuseg.reporting.charts import difference_chart
from ocuseg.reporting.gallery import Eye, View, gallery, gallery_rules
from ocuseg.reporting.markup import SortableRow, boxed, document, facts, sortable_table, table, tile
from ocuseg.reporting.pages import MOST_ROWS, contents
from ocuseg.reporting.summary import repetition
from ocuseg.reporting.tables import COMPARED_NAMES, origin_text, shown

__all__ = ["comparison_page", "difference_rows"]

_A_LESS_B = "a\N{NO-BREAK SPACE}\N{MINUS SIGN}\N{NO-BREAK SPACE}b"
_IN_PX = ("hd95_px",)
_SIDES = ("model", "model_hash", "trained_on_data_hash", "epoch", "threshold", "runtime", "flips", "command")
_METHOD = (
    ("difference", "a − b of the score of each image, then the mean over the images where both are defined"),
    ("95 % interval", "percentile bootstrap with a fixed seed, over persons, eyes or videos where they are known"),
    ("p", "Wilcoxon signed-rank test, two-sided, over the mean differences of persons, eyes or videos where known"),
    ("p (Holm)", "corrected for all rows of the table by Holm's step-down rule"),
    ("verdict", "no difference where the interval holds 0"),
)  # fmt: skip


def comparison_page(
    comparison: Comparison,
    a: Evaluated,
    b: Evaluated,
    eyes: Sequence[Eye],
    views: Mapping[str, View],
    legends: Mapping[str, Mapping[str, tuple[int, int, int]]],
    command: str,
) -> str:
    """Return the page of a comparison as one HTML text that loads nothing; `eyes` are the images to be shown."""
    rows = difference_rows(a, b)
    pictures = []
    if eyes:
        note = "With the difference in the mean foreground Dice of each, the largest first."
        if len(eyes) < comparison.images:
            note += f" {len(eyes)} of {comparison.images} images are shown."
        left, right, *_ = views
        pictures = [f'<p class="soft wide">{note}</p>', gallery(eyes, views, left, right, legends)]
    sections = [
        ("scores", "Differences", [_scores(comparison), _intervals(comparison)]),
        ("images", "Differences of each image", [_rows(rows, [eye.name for eye in eyes])]),
        ("pictures", "Pictures, the largest difference first", pictures),
        ("protocol", "How this was made", [facts(_METHOD), _sides(a, b)]),
        ("again", "To make it again", repetition({"command": command, "versions": a.metrics.get("versions")})),
    ]
    count = comparison.images
    head = [
        f'<p class="soft">{count} image{"" if count == 1 else "s"}, paired; differences are a − b</p>',
        f'<p class="wide"><strong>a</strong>: {escape(comparison.a)}<br><strong>b</strong>: {escape(comparison.b)}</p>',
        boxed("warned", "Read the differences with this in mind", comparison.notes) if comparison.notes else "",
        _in_words(comparison),
        *(
            f'<p class="protocol soft"><strong>Protocol of {name}:</strong> {escape(_origin(side.metrics))}</p>'
            for name, side in (("a", a), ("b", b))
        ),
    ]
    return document("Two models compared", [*head, *contents(sections)], rules=gallery_rules(views) if eyes else "")


def difference_rows(a: Evaluated, b: Evaluated) -> list[dict[str, Any]]:
    """Return for each image and foreground class the compared scores of a, of b, and a less b; undefined is None.

    The image where b is ahead most, by Dice, comes first.
    """
    first = next(iter(a.rows.values()))
    scores = [name for name in COMPARED if name in first and name in next(iter(b.rows.values()))]
    rows = []
    for key, row in a.rows.items():
        if key[1] == "0":
            continue
        found: dict[str, Any] = {name: row[name] for name in ("image", "group", "class_id", "class")}
        for score in scores:
            one, other = (float(text) if text else None for text in (row[score], b.rows[key][score]))
            difference = None if one is None or other is None else one - other
            found |= {f"{score}_a": one, f"{score}_b": other, f"{score}_difference": difference}
        rows.append(found)
    return sorted(rows, key=lambda row: (row["dice_difference"] is None, row["dice_difference"] or 0.0))


def _main(comparison: Comparison) -> ComparedScore | None:
    """The Dice of the only class, or its mean over several."""
    rows = [row for row in comparison.rows if row.score == "dice"]
    return next((row for row in rows if row.class_id is None), rows[0] if len(rows) == 1 else None)


def _in_words(comparison: Comparison) -> str:
    row = _main(comparison)
    if row is None or row.difference is None:
        return ""
    interval = f"95 % interval {_signed_interval(row.ci95)}" if row.ci95 else "no interval"
    verdict = {"a is better": "a is better than b", "b is better": "b is better than a"}.get(row.verdict, row.verdict)
    p_value = "" if row.p_holm is None else f"; p = {row.p_holm:.3g} after correction"
    words = (
        f"Over {row.images} images the mean Dice of a is {shown(row.mean_a)} and that of b {shown(row.mean_b)}: a "
        f"difference of {_signed(row.difference)} ({interval}{p_value}). By the interval: {verdict}."
    )
    tiles = [
        tile("Dice of a", shown(row.mean_a), "mean over the images"),
        tile("Dice of b", shown(row.mean_b), "mean over the images"),
        tile("a − b", _signed(row.difference), _signed_interval(row.ci95) if row.ci95 else "no interval"),
    ]
    return f'<p class="lead">{escape(words)}</p><div class="tiles">{"".join(tiles)}</div>'


def _scores(comparison: Comparison) -> str:
    header = ["class", "score", "a", "b", "a − b", "95 % interval", "p", "p (Holm)", "images", "groups", "verdict"]
    body = [
        [
            row.class_name,
            COMPARED_NAMES.get(row.score, row.score),
            shown(row.mean_a),
            shown(row.mean_b),
            _signed(row.difference, row.score),
            _signed_interval(row.ci95, row.score) if row.ci95 else "-",
            *("-" if value is None else f"{value:.3g}" for value in (row.p_value, row.p_holm)),
            row.images,
            row.groups,
            row.verdict,
        ]
        for row in comparison.rows
    ]
    return table(header, body)


def _intervals(comparison: Comparison) -> str:
    several = len({row.class_name for row in comparison.rows}) > 1
    rows = [
        (
            COMPARED_NAMES.get(row.score, row.score) + (f", {row.class_name}" if several else ""),
            row.difference,
            row.ci95,
        )
        for row in comparison.rows
        if row.score not in _IN_PX and row.difference is not None and row.ci95 is not None
    ]
    drawn = [(name, value, interval) for name, value, interval in rows if value is not None and interval is not None]
    if not drawn:
        return ""
    caption = "Points are mean differences, lines their 95 % intervals. Scores in pixels are in the table alone."
    return f'<div class="charts">{difference_chart("Mean differences, a − b", drawn, caption)}</div>'


def _rows(rows: Sequence[Mapping[str, Any]], shown_images: Sequence[str]) -> str:
    anchors = {name: f"#image-{number}" for number, name in enumerate(shown_images, start=1)}
    has_groups = any(row["group"] for row in rows)
    several = len({row["class"] for row in rows}) > 1
    others = [score for score in COMPARED[1:] if any(row.get(f"{score}_difference") is not None for row in rows)]
    header = ["image", *(["group"] if has_groups else []), *(["class"] if several else [])]
    names = [
        "Dice of a",
        "Dice of b",
        f"Dice, {_A_LESS_B}",
        *(f"{COMPARED_NAMES[name]}, {_A_LESS_B}" for name in others),
    ]
    body = [
        SortableRow(
            row["image"],
            [*([row["group"]] if has_groups else []), *([row["class"]] if several else [])]
            + [shown(row["dice_a"]), shown(row["dice_b"]), _signed(row["dice_difference"])]
            + [_signed(row[f"{name}_difference"], name) for name in others],
            class_name=row["class"] if several else "",
            link=anchors.get(row["image"], ""),
        )
        for row in rows[:MOST_ROWS]
    ]
    left_out = len(rows) - len(body)
    caption = "A click on a heading sorts; the filter holds for the pictures below as well."
    if left_out:
        caption += f" {left_out} more rows are in per_image.csv alone."
    return sortable_table(
        [*header, *names], body, texts=len(header), sorted_by=names[2], limited=names[2], caption=caption
    )


def _sides(a: Evaluated, b: Evaluated) -> str:
    """What is known of both models and evaluations, beside each other."""
    body = [
        [key.replace("_", " "), *(_said(side.metrics.get(key)) for side in (a, b))]
        for key in ("rule", "split", "data_hash", "images", *_SIDES)
    ]
    lines = "".join(
        f'<tr><th scope="row">{escape(name)}</th>' + "".join(f'<td class="text">{escape(cell)}</td>' for cell in cells)
        + "</tr>"
        for name, *cells in body
        if any(cells)
    )  # fmt: skip
    head = '<th scope="col">evaluation</th><th scope="col" class="text">a</th><th scope="col" class="text">b</th>'
    return f'<h3>Both evaluations</h3><table class="sides"><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table>'


def _origin(metrics: Mapping[str, Any]) -> str:
    """The protocol line; empty for what another program wrote in our form."""
    needed = ("rule", "images", "region", "split", "model", "model_hash", "data_hash")
    return origin_text(metrics) if all(key in metrics for key in needed) else "not known"


def _said(value: Any) -> str:
    return "" if value is None else ("yes" if value else "no") if isinstance(value, bool) else str(value)


def _signed(value: float | None, score: str = "dice") -> str:
    return "-" if value is None else f"{value:+.2f}" if score in _IN_PX else f"{value:+.4f}"


def _signed_interval(interval: Sequence[float], score: str = "dice") -> str:
    return f"{_signed(interval[0], score)} to {_signed(interval[1], score)}"
