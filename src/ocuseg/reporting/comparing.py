"""A comparison of two evaluations to files: numbers, a table of differences, one self-contained page."""

from __future__ import annotations

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ocuseg import folders
from ocuseg.drawing import COMPARISON_COLOURS
from ocuseg.errors import DataError
from ocuseg.evaluation.comparison import Comparison, Evaluated, read_evaluation
from ocuseg.files import write_json, write_text
from ocuseg.images import read_image, read_mask
from ocuseg.machine import usable_cores
from ocuseg.reporting.differences import comparison_page, difference_rows
from ocuseg.reporting.gallery import Eye, View
from ocuseg.reporting.layers import (
    DIFFERENCE_COLOURS,
    MOST_BYTES,
    MOST_SHOWN,
    MOST_WORKERS,
    Layer,
    difference_layer,
    painted,
)
from ocuseg.reporting.tables import csv_text

__all__ = ["require_comparison_replaceable", "write_comparison"]

_FILES = ("comparison.json", "per_image.csv", "report.html")
_CHANGES = {"both": (255, 255, 255), "only a": COMPARISON_COLOURS["missed"], "only b": COMPARISON_COLOURS["extra"]}
_OTHER_CLASS = DIFFERENCE_COLOURS["other class"]
_OVERLAYS = {
    "overlay_a": View("a, against the reference", ("overlay_a",)),
    "overlay_b": View("b, against the reference", ("overlay_b",)),
}
_MASKS = {
    "mask_a": View("mask of a", ("mask_a",)),
    "mask_b": View("mask of b", ("mask_b",)),
    "change": View("a against b", ("change",)),
}


def write_comparison(
    comparison: Comparison, first: Path | str, second: Path | str, folder: Path | str, *, command: str = ""
) -> Path:
    """Write a comparison of the evaluations `first` and `second` to `folder`, all of it or nothing; return the folder.

    It gets `comparison.json`, `per_image.csv` with the differences, and `report.html`, which shows both predictions of
    each image where the folders `masks` and `overlays` of both evaluations have them; of more than 100 images, those
    that differ most. `command` is what makes it again. An earlier comparison there is replaced.

    Raises OutputError where the folder cannot be written or holds anything else, DataError for a damaged picture.
    """
    require_comparison_replaceable(folder)
    a, b = read_evaluation(first), read_evaluation(second)
    rows = difference_rows(a, b)
    names = {row["class_id"]: row["class"] for row in rows}
    views = {
        **(_OVERLAYS if _have("overlays", ".jpg", a, b) else {}),
        **(_MASKS if _have("masks", ".png", a, b) else {}),
    }
    legends: dict[str, Mapping[str, tuple[int, int, int]]] = {}
    eyes = _eyes(a, b, views) if views else []
    if "change" in views:
        colours = _class_colours(a, names)
        legends = {
            "Masks": colours,
            "a against b": _CHANGES | ({"other class": _OTHER_CLASS} if len(names) > 1 else {}),
        }
    with folders.folder_written_whole(folder) as staging:
        write_json(staging / "comparison.json", comparison.to_json())
        write_text(staging / "per_image.csv", csv_text(rows))
        write_text(staging / "report.html", comparison_page(comparison, a, b, eyes, views, legends, command))
    return Path(folder)


def require_comparison_replaceable(folder: Path | str) -> None:
    """Raise OutputError unless a comparison can be written to `folder`."""
    folders.require_replaceable(
        folder, _FILES, _is_comparison, result="the comparison", foreign="which no comparison wrote"
    )


def _is_comparison(folder: Path) -> bool:
    try:
        content = json.loads((folder / "comparison.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and "rows" in content


def _images(side: Evaluated) -> list[str]:
    return list(dict.fromkeys(image for image, _ in side.rows))


def _have(folder: str, suffix: str, a: Evaluated, b: Evaluated) -> bool:
    """Whether both evaluations hold a picture of each image; a name that leads elsewhere is none."""
    return all(
        Path(image).name == image and (side.folder / folder / f"{image}{suffix}").is_file()
        for side in (a, b)
        for image in _images(side)
    )


def _eyes(a: Evaluated, b: Evaluated, views: Mapping[str, View]) -> list[Eye]:
    """The images whose mean foreground Dice differs most, that one first."""
    means = [_mean_dice(side) for side in (a, b)]
    differences = {image: means[0][image] - means[1][image] for image in _images(a)}
    largest_first = sorted(differences, key=lambda image: -np.nan_to_num(abs(differences[image]), nan=-1.0))
    with ThreadPoolExecutor(min(usable_cores(), MOST_WORKERS), thread_name_prefix="ocuseg-drawing") as pool:
        return list(pool.map(partial(_eye, a, b, views, differences), largest_first[:MOST_SHOWN]))


def _eye(a: Evaluated, b: Evaluated, views: Mapping[str, View], differences: Mapping[str, float], image: str) -> Eye:
    base: dict[str, NDArray[np.uint8]] = {}
    layers: dict[str, Layer] = {}
    for name, side in (("a", a), ("b", b)):
        if f"overlay_{name}" in views:
            base[f"overlay_{name}"] = read_image(side.folder / "overlays" / f"{image}.jpg")
        if f"mask_{name}" in views:
            layers[f"mask_{name}"] = _mask_layer(side.folder / "masks" / f"{image}.png")
    sizes = {array.shape[:2] for array in (*base.values(), *(layer.labels for layer in layers.values()))}
    if len(sizes) > 1:
        raise DataError(
            f"{a.folder} and {b.folder}: the pictures of {image} differ in size; run 'ocuseg evaluate' again for both"
        )
    if "change" in views:
        layers["change"] = _change_layer(layers["mask_a"].labels, layers["mask_b"].labels)
    difference = differences[image]
    score = "undefined" if np.isnan(difference) else f"{difference:+.4f}"
    return Eye(image, f"a − b {score}", "", painted(base, layers, MOST_BYTES))


def _mask_layer(path: Path) -> Layer:
    """A mask in the colours of its own palette, on black."""
    raw = read_mask(path)
    if raw.palette is None or raw.values.ndim != 2:
        raise DataError(f"{path}: is no mask with a palette; run 'ocuseg evaluate' again")
    labels = raw.values.astype(np.uint8)
    colours = [(int(red), int(green), int(blue)) for red, green, blue in raw.palette[1:]]
    return Layer(labels, tuple(colours), (1.0,) * len(colours))


def _change_layer(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> Layer:
    colours = {**_CHANGES, "other class": _OTHER_CLASS, "not scored": (0, 0, 0)}
    return replace(difference_layer(first, second, colours=colours), fills=(0.6, 1.0, 1.0, 1.0, 0.0))


def _mean_dice(side: Evaluated) -> dict[str, float]:
    """The mean of the defined Dice of the foreground classes of each image; NaN where there is none."""
    scores: dict[str, list[float]] = {image: [] for image in _images(side)}
    for (image, class_id), row in side.rows.items():
        if class_id != "0" and row.get("dice"):
            scores[image].append(float(row["dice"]))
    return {image: float(np.mean(values)) if values else float("nan") for image, values in scores.items()}


def _class_colours(side: Evaluated, names: Mapping[str, str]) -> dict[str, tuple[int, int, int]]:
    """The colour of each class in the palette of a mask."""
    image = _images(side)[0]
    colours = _mask_layer(side.folder / "masks" / f"{image}.png").colours
    return {name: colours[int(class_id) - 1] for class_id, name in names.items() if int(class_id) <= len(colours)}
