"""Label Studio: the JSON export, with brush masks and shapes in percent of the image (labelstud.io/guide/export)."""

from __future__ import annotations

import itertools
import re
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np

from ocuseg.formats.finding import Images
from ocuseg.formats.losses import LeftOutError, Losses
from ocuseg.formats.reading import contents, words_of
from ocuseg.formats.regions import Region, pack, rectangle
from ocuseg.formats.runs import unpack_words
from ocuseg.formats.source import Page, Shape, collect, ellipse, outline
from ocuseg.images import MAX_PIXELS
from ocuseg.index.listing import IMAGE_SUFFIXES

__all__ = ["is_content", "read"]

_OPAQUE = 128


def is_content(content: Any) -> bool:
    """Whether the content of a JSON file is of this format."""
    return (
        isinstance(content, list)
        and bool(content)
        and all(isinstance(task, dict) and "annotations" in task for task in content)
        and all(isinstance(task.get("data"), dict) for task in content)
    )


def read(source: Path, images: Images, losses: Losses) -> tuple[list[Page], dict[str, str | None]]:
    """Return the pages of one file, or of all such files of a folder; the export lists no labels.

    Of several annotations of an image the one marked as ground truth counts, else the first; the rest is counted as
    left out.
    """
    pages = []
    for path, tasks in contents(source, is_content, losses):
        for task in tasks:
            with losses.leaving_out(f"{path.name}, task {task.get('id', '?')}", "a task that is no annotation"):
                name = _image_name(task["data"])
                with losses.leaving_out(name, "a task that is no annotation"):
                    pages.append(_page(name, task, images, path.parent, losses))
    return pages, {}


def _page(name: str, task: dict[str, Any], images: Images, folder: Path, losses: Losses) -> Page:
    finished = [one for one in task["annotations"] if not one.get("was_cancelled")]
    if not finished:
        raise LeftOutError("image-unannotated", "a task that nobody has finished")
    chosen = next((one for one in finished if one.get("ground_truth")), finished[0])
    for _ in finished[1:]:
        losses.say("annotation-second", name, "a further annotation of the same image")
    found = _find(name, images, folder)
    results = [item for item in chosen["result"] if isinstance(item.get("value"), dict)]
    labels: dict[Any, list[str]] = {}
    for item in results:  # with separate <Brush> and <Labels> the label of a shape is a result of its own
        if item.get("id") is not None:
            labels.setdefault(item["id"], []).extend(_labels(item["value"]))
    shown = [item for item in results if set(item["value"]) & {"points", "rle", "x"} and item.get("type") != "labels"]
    sized = next((item for item in shown if "original_width" in item), None)
    size = None if sized is None else (int(sized["original_height"]), int(sized["original_width"]))
    return Page(name, found, size, collect(shown, lambda item: _shape(item, labels), name, losses))


def _image_name(data: dict[str, Any]) -> str:
    """Return the path of an image out of what a task says: an upload, a local file or an address."""
    values = [data.get("image"), *data.values()]
    for value in values:
        if isinstance(value, str):
            parts = urlsplit(value)
            place = parse_qs(parts.query).get("d", [unquote(parts.path)])[0]
            if PurePosixPath(place.replace("\\", "/")).suffix.lower() in IMAGE_SUFFIXES:
                return place.lstrip("/")
    raise LeftOutError("image-missing", "a task that names no image")


def _find(name: str, images: Images, folder: Path) -> Path:
    try:
        return images.find(name, folder)
    except LeftOutError:
        # An upload gets eight digits in front of its name.
        plain = re.sub(r"^[0-9a-f]{8}-", "", PurePosixPath(name).name)
        if plain == PurePosixPath(name).name:
            raise
        return images.find(plain, folder)


def _labels(value: dict[str, Any]) -> list[str]:
    named = (entry for key, entry in value.items() if key.endswith("labels") and isinstance(entry, list))
    return [words_of(one) for one in itertools.chain(*named) if isinstance(one, str) and one.strip()]


def _shape(item: dict[str, Any], labels: dict[Any, list[str]]) -> Shape:
    label, *further = dict.fromkeys([*_labels(item["value"]), *labels.get(item.get("id"), [])]) or [words_of(None)]
    if item.get("image_rotation"):
        raise LeftOutError("shape-turned", f"a shape of {label!r} turned by {item['image_rotation']} degrees")
    region, remark = _region(item, label)
    return Shape(label, region, remark=remark, further=tuple(further))


def _region(item: dict[str, Any], label: str) -> tuple[Region, str | None]:
    value = item["value"]
    height, width = int(item["original_height"]), int(item["original_width"])
    across, down = width / 100, height / 100
    if "rle" in value:
        if not 0 < height * width <= MAX_PIXELS:
            raise ValueError(f"a brush of {height} x {width} pixels")
        words = np.frombuffer(unpack_words(value["rle"], 4 * height * width), np.uint8)
        return pack(words[3::4].reshape(height, width) >= _OPAQUE), None
    if "points" in value:
        return outline(label, [[[(x * across, y * down) for x, y in value["points"]]]]), None
    if "radiusX" in value:
        centre, radii = (value["x"] * across, value["y"] * down), (value["radiusX"] * across, value["radiusY"] * down)
        return ellipse(label, centre, radii, np.radians(value.get("rotation") or 0)), None
    if value.get("width") and value.get("height") and str(item.get("type", "")).startswith("rectangle"):
        left, top = value["x"] * across, value["y"] * down
        right, bottom = left + value["width"] * across, top + value["height"] * down
        box = rectangle(left, top, right, bottom, float(value.get("rotation") or 0), pivot=(left, top))
        return box, "box-filled"
    raise LeftOutError("shape-without-area", f"a {item.get('type')} of {label!r}")
