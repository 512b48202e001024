"""The card of a shipped model: the general one, with its data, what was measured, and where it fails."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ocuseg.card import model_card

__all__ = ["card_of", "rows_of"]

_HEADER = (
    "| images | structure | Dice, pooled | 95 % | Dice per image | clDice | pieces found / true | ECE |",
    "|---|---|---|---|---|---|---|---|",
)


def card_of(info: Mapping[str, Any], description: Mapping[str, Any], rows: Sequence[str]) -> str:
    """Return the README of a shipped bundle: `rows` are those of `rows_of`."""
    trained_on = {
        key: value for key, value in info["trained_on"].items() if key != "data"
    }  # which has a part of its own
    card = model_card({**info, "trained_on": trained_on}).replace("BUNDLE", str(info["name"]))
    card = card.replace(f"`{info['name']}` is this folder.", f"`{info['name']}` ships with ocuseg; it is this folder.")
    table = "\n".join((*_HEADER, *rows)) if rows else "Not measured."
    parts = {
        "## Classes": ("What it is for", description["purpose"]),
        "## Trained on": ("Data and licence", description["data"]),
        "## Scores": ("Measured", f"{description['protocol'].strip()}\n\n{table}"),
        "## Limits": ("Where it fails, and what it is not for", description["limits"]),
    }
    for heading, (title, text) in parts.items():
        card = card.replace(f"\n{heading}\n", f"\n## {title}\n\n{text.strip()}\n\n{heading}\n", 1)
    return card.replace("\n## Trained on\n", "\n## The training\n").replace(
        "\n## Scores\n", "\n## Scores on validation\n"
    )


def rows_of(wanted: Mapping[str, Any], metrics: Mapping[str, Any]) -> list[str]:
    """Return one row of the card's table for each class of scores in the form of `metrics.json`.

    `wanted` says `what` was measured, and under `together` which classes (ids) are also scored as one, by its name.
    """
    rows = [
        f"| {wanted['what']}, {metrics['images']} | {one['name']} | {_number(one['dice']['pooled'])} "
        f"| {_interval(one['dice']['ci95'])} | {_number(one['dice']['per_image'])} "
        f"| {_number(one.get('cldice', {}).get('pooled'))} | {_pieces(one.get('components'))} "
        f"| {_number(metrics['calibration']['ece'], 4)} |"
        for one in metrics["classes"]
    ]
    for name, ids in wanted.get("together", {}).items():
        confusion = np.asarray(metrics["confusion"]["counts"])
        found, true = confusion[:, ids].sum(), confusion[ids].sum()
        dice = 2 * confusion[np.ix_(ids, ids)].sum() / (found + true)
        rows.append(f"| {wanted['what']}, {metrics['images']} | {name} | {_number(dice)} | – | – | – | – | – |")
    return rows


def _number(value: float | None, digits: int = 3) -> str:
    return "–" if value is None else f"{value:.{digits}f}".removeprefix("0")


def _interval(bounds: Sequence[float] | None) -> str:
    return "–" if bounds is None else f"{_number(bounds[0])} to {_number(bounds[1])}"


def _pieces(components: Mapping[str, float] | None) -> str:
    if components is None:
        return "–"
    return f"{components['prediction_per_image']:.1f} / {components['reference_per_image']:.1f}"
