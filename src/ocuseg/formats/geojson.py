"""GeoJSON as QuPath writes it: a file for each image, with its name, and polygons in pixels (qupath.readthedocs.io)."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ocuseg.formats.finding import Images
from ocuseg.formats.losses import LeftOutError, Losses
from ocuseg.formats.reading import colour_of, contents, folder_split, words_of
from ocuseg.formats.source import Page, Shape, collect, outline
from ocuseg.index.listing import IMAGE_SUFFIXES

__all__ = ["IMAGES_FILE", "images_of", "is_content", "read"]

IMAGES_FILE = "images.csv"
"""Which image each file is of, by its path from their folder: QuPath keeps no such thing in the files themselves."""


def is_content(content: Any) -> bool:
    """Whether the content of a JSON file is of this format."""
    if isinstance(content, list):
        return bool(content) and all(isinstance(one, dict) and one.get("type") == "Feature" for one in content)
    return isinstance(content, dict) and content.get("type") in ("FeatureCollection", "Feature")


def read(source: Path, images: Images, losses: Losses) -> tuple[list[Page], dict[str, str | None]]:
    """Return the pages of a folder, or of one file, and the labels in the alphabet with the colours of QuPath."""
    pages: list[Page] = []
    colours: dict[str, str | None] = {}
    for path, content in contents(source, is_content, losses, ".geojson", ".json"):
        with losses.leaving_out(path.name, "a file that is no annotation"):
            named = images_of(path.parent / IMAGES_FILE).get(path.name)
            found = images.with_stem(_image_stem(path)) if named is None else images.find(named, path.parent)
            features = list(_features(content))
            shapes = collect(features, _shape, path.name, losses)
            pages.append(Page(path.name, found, None, shapes, split=folder_split(source, path)))
            for label, colour in map(_class_of, features):
                colours[label] = colours.get(label) or colour
    colours.pop("", None)
    return pages, {label: colours[label] for label in sorted(colours)}


def images_of(path: Path) -> dict[str, str]:
    """Return the image of each file by a table of `file,image`; nothing where there is none that can be read."""
    try:
        with path.open(newline="", encoding="utf-8") as table:
            return {row["file"]: row["image"] for row in csv.DictReader(table) if row.get("file") and row.get("image")}
    except (OSError, ValueError, csv.Error):
        return {}


def _image_stem(path: Path) -> str:
    """Return the name of the image of a file: `eye.tif.geojson` and `eye.geojson` are both of `eye.tif`."""
    inner = Path(path.stem)
    return inner.name if inner.suffix.lower() in IMAGE_SUFFIXES else path.stem


def _features(content: Any) -> Iterator[Any]:
    features = content if isinstance(content, list) else content.get("features", [content])
    yield from features if isinstance(features, list) else []


def _class_of(feature: Any) -> tuple[str, str | None]:
    """Return the name and colour of a feature's class, the name empty where there is none."""
    properties = feature.get("properties") if isinstance(feature, dict) else None
    found = properties.get("classification") if isinstance(properties, dict) else None
    if isinstance(found, str):
        return _joined(found), None
    if not isinstance(found, dict):
        return "", None
    names = found.get("names")
    name = found.get("name") or (": ".join(map(str, names)) if isinstance(names, list) else "")
    packed = found.get("colorRGB")  # up to QuPath 0.3: a signed whole number, alpha in its high byte
    colour = f"#{packed & 0xFFFFFF:06x}" if isinstance(packed, int) else colour_of(found.get("color"))
    return _joined(str(name)), colour


def _joined(name: str) -> str:
    return words_of(name) if name.strip() else ""


def _shape(feature: dict[str, Any]) -> Shape:
    label = words_of(_class_of(feature)[0])
    parts = list(_polygons(feature["geometry"], label))
    return Shape(label, outline(label, parts))


def _polygons(geometry: dict[str, Any], label: str) -> Iterator[list[Any]]:
    kind = geometry["type"]
    if kind == "Polygon":
        yield geometry["coordinates"]
    elif kind == "MultiPolygon":
        yield from geometry["coordinates"]
    elif kind == "GeometryCollection":
        for one in geometry["geometries"]:
            yield from _polygons(one, label)
    else:
        raise LeftOutError("shape-without-area", f"a {kind} of {label!r}")
