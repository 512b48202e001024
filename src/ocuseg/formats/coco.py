"""COCO: images, categories and annotations in one JSON file (cocodataset.org/#format-data)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ocuseg.errors import DataError
from ocuseg.formats.finding import Images
from ocuseg.formats.losses import UNREADABLE, LeftOutError, Losses
from ocuseg.formats.reading import colour_of, contents, folder_split, split_in, words_of
from ocuseg.formats.regions import pack
from ocuseg.formats.runs import coco_counts, pixels_of_runs
from ocuseg.formats.source import Page, Shape, collect, outline
from ocuseg.index.splitting import Split

__all__ = ["is_content", "read"]


def is_content(content: Any) -> bool:
    """Whether the content of a JSON file is of this format."""
    return isinstance(content, dict) and all(
        isinstance(content.get(key), list) for key in ("images", "annotations", "categories")
    )


def read(source: Path, images: Images, losses: Losses) -> tuple[list[Page], dict[str, str | None]]:
    """Return the pages of one file, or of all such files of a folder, each a split if its name says so.

    Labels are in the order of the categories' ids.
    """
    labels: dict[str, str | None] = {}
    pages: list[Page] = []
    for path, content in contents(source, is_content, losses):
        split = (split_in(path.stem) or folder_split(source, path)) if source.is_dir() else None
        try:
            _require_distinct_ids(content)
            names = {category["id"]: words_of(category["name"]) for category in content["categories"]}
            ordered = sorted(content["categories"], key=lambda category: category["id"])
            for category in ordered:
                labels.setdefault(names[category["id"]], colour_of(category.get("color")))
            pages += _pages(path, content, names, split, images, losses)
        except (LeftOutError, *UNREADABLE) as error:
            raise DataError(f"{path}: is no sound COCO file ({error!r} in its lists); export it again") from error
    return pages, labels


def _require_distinct_ids(content: dict[str, Any]) -> None:
    """Raise ValueError where two entries have one id, as in files that were put together: shapes could be of either."""
    for key in ("images", "categories"):
        if len({entry["id"] for entry in content[key]}) < len(content[key]):
            raise ValueError(f"two {key} of one id")


def _pages(
    path: Path, content: dict[str, Any], names: dict[Any, str], split: Split | None, images: Images, losses: Losses
) -> list[Page]:
    by_image: dict[Any, list[dict[str, Any]]] = {}
    for annotation in content["annotations"]:
        by_image.setdefault(annotation["image_id"], []).append(annotation)
    pages = []
    for entry in content["images"]:
        items, name = by_image.pop(entry["id"], []), str(entry["file_name"])
        with losses.leaving_out(name, "an image without a size"):
            size = (int(entry["height"]), int(entry["width"]))
            found = images.find(name, path.parent)
            shapes = collect(items, lambda item, size=size: _shape(item, names, size), name, losses)  # type: ignore[misc]
            pages.append(Page(name, found, size, shapes, split=split))
    for left in by_image.values():
        for _ in left:
            losses.say("image-missing", path.name, "shapes of an image that the file does not list")
    return pages


def _shape(item: dict[str, Any], names: dict[Any, str], size: tuple[int, int]) -> Shape:
    label = names.get(item["category_id"])
    if label is None:
        raise LeftOutError("label-missing", f"a shape of the unlisted category {item['category_id']!r}")
    segmentation, remark = item.get("segmentation"), "crowd-filled" if item.get("iscrowd") else None
    if isinstance(segmentation, dict):
        if list(segmentation["size"]) != list(size):
            raise ValueError(f"runs of the size {segmentation['size']}, not that of the image")
        counts = segmentation["counts"]
        runs = coco_counts(counts) if isinstance(counts, str) else counts
        return Shape(label, pack(pixels_of_runs(runs, size, by_columns=True)), remark=remark)
    if not segmentation:
        raise LeftOutError("shape-without-area", f"a box of {label!r} without an outline")
    rings = [list(zip(points[::2], points[1::2], strict=True)) for points in segmentation]
    return Shape(label, outline(label, [[one] for one in rings]), remark=remark)
