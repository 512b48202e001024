"""VGG Image Annotator 1 and 2: its JSON (annotations or project) and CSV (www.robots.ox.ac.uk/~vgg/software/via)."""

from __future__ import annotations

import contextlib
import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ocuseg.errors import DataError, UsageError
from ocuseg.formats.finding import Images
from ocuseg.formats.losses import LeftOutError, Losses, shown
from ocuseg.formats.reading import files_in, read_json, words_of
from ocuseg.formats.regions import Region, rectangle
from ocuseg.formats.source import Page, Shape, collect, ellipse, outline

__all__ = ["is_content", "is_table", "read"]

_LIKELY = ("label", "class", "name", "category", "type")
_COLUMNS = {"region_shape_attributes", "region_attributes"}


def is_content(content: Any) -> bool:
    """Whether the content of a JSON file is of this format."""
    if not isinstance(content, dict):
        return False
    entries = content.get("_via_img_metadata", content)
    return isinstance(entries, dict) and (
        "_via_img_metadata" in content
        or (bool(entries) and all(isinstance(e, dict) and "filename" in e and "regions" in e for e in entries.values()))
    )


def is_table(path: Path) -> bool:
    """Whether a CSV file is of this format."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return set(next(csv.reader(file), [])) >= _COLUMNS
    except (OSError, UnicodeDecodeError, csv.Error):
        return False


def read(
    source: Path, images: Images, losses: Losses, attribute: str | None = None
) -> tuple[list[Page], dict[str, str | None]]:
    """Return the pages of one file, or of all such files of a folder, and the options of the label's attribute.

    `attribute` is the region attribute that names the class; without it, the only one, or `label`, `class`, `name`,
    `category` or `type`. Raises UsageError where it cannot be told.
    """
    entries: list[tuple[str, list[dict[str, Any]], Path]] = []
    options: dict[str, Any] = {}
    for path in files_in(source, ".json", ".csv"):
        with losses.leaving_out(path.name, "a file that is no annotation"):
            if path.suffix.lower() == ".csv":
                entries += _table_entries(path) if is_table(path) else []
            elif is_content(content := read_json(path)):
                entries += _entries(path, content)
                declared = content.get("_via_attributes")
                region = declared.get("region") if isinstance(declared, dict) else None
                options |= region if isinstance(region, dict) else {}
    chosen = _attribute(entries, attribute)
    pages = []
    for name, regions, path in entries:
        with losses.leaving_out(name, "an entry that is no annotation"):
            found = images.find(name, path.parent)
            pages.append(Page(name, found, None, collect(regions, lambda item: _shape(item, chosen), name, losses)))
    attributes = options.get(chosen)
    listed = attributes.get("options") if isinstance(attributes, dict) else None
    return pages, {words_of(label): None for label in listed if label.strip()} if isinstance(listed, dict) else {}


def _entries(path: Path, content: dict[str, Any]) -> list[tuple[str, list[dict[str, Any]], Path]]:
    found = []
    for entry in content.get("_via_img_metadata", content).values():
        try:
            held = entry["regions"]
            regions = list(held.values() if isinstance(held, dict) else held)
            found.append((str(entry["filename"]), regions, path))
        except (KeyError, TypeError) as error:
            raise DataError(f"{path}: is no sound file of VIA ({error!r}); export it again") from error
    return found


def _table_entries(path: Path) -> list[tuple[str, list[dict[str, Any]], Path]]:
    by_name: dict[str, list[dict[str, Any]]] = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file, _fields_of_any_length(path):
            for row in csv.DictReader(file):
                regions = by_name.setdefault(row.get("#filename") or row["filename"], [])
                shape = json.loads(row["region_shape_attributes"] or "{}")
                if shape:
                    attributes = json.loads(row["region_attributes"] or "{}")
                    regions.append({"shape_attributes": shape, "region_attributes": attributes})
    except (OSError, ValueError, KeyError, TypeError, csv.Error, RecursionError) as error:
        raise DataError(f"{path}: is no sound table of VIA ({error!r}); export it again") from error
    return [(name, regions, path) for name, regions in by_name.items()]


@contextlib.contextmanager
def _fields_of_any_length(path: Path) -> Iterator[None]:
    """Lift the limit of 131,072 characters, which an outline of some 13,000 points passes; it is the process's own."""
    before = csv.field_size_limit()
    csv.field_size_limit(max(before, path.stat().st_size))
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _attribute(entries: list[tuple[str, list[dict[str, Any]], Path]], asked: str | None) -> str:
    held = dict.fromkeys(
        key
        for _, regions, _ in entries
        for region in regions
        if isinstance(region, dict) and isinstance(region.get("region_attributes"), dict)
        for key in region["region_attributes"]
    )
    if asked is not None:
        if held and asked not in held:
            raise UsageError(f"--attribute {asked}: no region has it; there are {shown(', '.join(held))}")
        return asked
    likely = [key for key in _LIKELY if key in held]
    if len(held) > 1 and not likely:
        names = shown(", ".join(held))
        raise UsageError(f"regions have the attributes {names}; say with --attribute which names the class")
    return likely[0] if likely else next(iter(held), "label")


def _shape(item: dict[str, Any], attribute: str) -> Shape:
    shape, value = item["shape_attributes"], item.get("region_attributes", {}).get(attribute)
    # A checkbox can hold several labels.
    label, *further = _labels(value) if isinstance(value, dict) else [words_of(value)]
    region, remark = _region(shape, label)
    return Shape(label, region, remark=remark, further=tuple(further))


def _labels(ticked: dict[str, Any]) -> list[str]:
    return [words_of(key) for key, on in ticked.items() if on] or [words_of(None)]


def _region(shape: dict[str, Any], label: str) -> tuple[Region, str | None]:
    kind = shape["name"]
    if kind == "polygon":
        points = zip(shape["all_points_x"], shape["all_points_y"], strict=True)
        return outline(label, [[points]]), None
    if kind == "rect":
        left, top, width, height = (float(shape[key]) for key in ("x", "y", "width", "height"))
        if width <= 0 or height <= 0:
            raise LeftOutError("shape-degenerate", f"a rect of {label!r} with no area")
        return rectangle(left, top, left + width, top + height), "box-filled"
    if kind == "circle":
        return ellipse(label, (shape["cx"], shape["cy"]), (shape["r"], shape["r"])), None
    if kind == "ellipse":
        radii = shape["rx"], shape["ry"]
        return ellipse(label, (shape["cx"], shape["cy"]), radii, shape.get("theta", 0.0)), None
    raise LeftOutError("shape-without-area", f"a {kind} of {label!r}")
