"""Supervisely: a project of `meta.json` and, in each data set, `img/` and `ann/` (docs.supervisely.com).

Its vertices are whole pixels, and the outline belongs to the shape, as its own tools draw it.
"""

from __future__ import annotations

import base64
import io
import zlib
from pathlib import Path
from typing import Any

from ocuseg.formats.losses import LeftOutError, Losses
from ocuseg.formats.pictures import decode_pixels
from ocuseg.formats.reading import colour_of, read_json, words_of
from ocuseg.formats.regions import pack, ring
from ocuseg.formats.source import Page, Shape, collect, outline
from ocuseg.index.splitting import parse_split

__all__ = ["is_source", "read"]

_MOST_BYTES = 1 << 27


def is_source(source: Path) -> bool:
    """Whether a folder is a project, a data set of one, or holds one."""
    return source.is_dir() and bool(_sets(source))


def read(source: Path, losses: Losses) -> tuple[list[Page], dict[str, str | None]]:
    """Return the pages of all data sets, and the classes of `meta.json` with their colours.

    A data set, or a tag of an image, whose name means a split is that split; the names of several other data sets are
    the groups of their images.
    """
    pages: list[Page] = []
    sets = _sets(source)
    for folder in sets:
        split = parse_split(folder.name)
        group = folder.relative_to(source).as_posix() if len(sets) > 1 and split is None else None
        annotated = set[str]()
        for path in sorted((folder / "ann").glob("*.json")):
            annotated.add(path.stem)
            shown = f"{folder.name}/{path.stem}"
            with losses.leaving_out(shown, "a file that is no annotation"):
                page = _page(shown, folder / "img" / path.stem, read_json(path), losses)
                page.split, page.group = page.split or split, group
                pages.append(page)
        for path in sorted((folder / "img").iterdir()):
            if path.name not in annotated and path.is_file() and not path.name.startswith("."):
                losses.say("image-unannotated", f"{folder.name}/{path.name}", "an image without an annotation file")
    return pages, _classes(source, sets)


def _sets(source: Path) -> list[Path]:
    """Return the folders, at most four levels down, that hold `ann/` and `img/`."""
    folders = [source, *(folder for depth in ("*", "*/*", "*/*/*", "*/*/*/*") for folder in source.glob(depth))]
    return sorted(folder for folder in folders if (folder / "ann").is_dir() and (folder / "img").is_dir())


def _classes(source: Path, sets: list[Path]) -> dict[str, str | None]:
    """Return the classes of all `meta.json` from the source down to the data sets, or right above it."""
    places = [folder for one in sets for folder in (one, *one.parents) if folder.is_relative_to(source)]
    labels: dict[str, str | None] = {}
    for folder in dict.fromkeys([source, *sorted(places), source.parent]):
        path = folder / "meta.json"
        if not path.is_file() or (folder == source.parent and labels):
            continue
        content = read_json(path)
        listed = content.get("classes", []) if isinstance(content, dict) else []
        for row in listed if isinstance(listed, list) else []:
            title = row.get("title") if isinstance(row, dict) else None
            if isinstance(title, str) and title.strip():
                labels.setdefault(words_of(title), colour_of(row.get("color")))
    return labels


def _page(name: str, image: Path, content: dict[str, Any], losses: Losses) -> Page:
    if not image.is_file():
        raise LeftOutError("image-missing", "no such file in img/")
    size = (int(content["size"]["height"]), int(content["size"]["width"]))
    tags = [parse_split(str(tag.get("name", ""))) for tag in content.get("tags") or []]
    split = next((tag for tag in tags if tag is not None), None)
    return Page(name, image, size, collect(content["objects"], _shape, name, losses), split=split)


def _shape(item: dict[str, Any]) -> Shape:
    label, kind = words_of(item["classTitle"]), item.get("geometryType")
    if kind is None:  # files of before 2019 do not say it
        kind = "bitmap" if item.get("bitmap") else "polygon"
    if kind in ("bitmap", "alpha_mask"):
        left, top = (int(number) for number in item["bitmap"]["origin"])
        return Shape(label, pack(_pixels(item["bitmap"]["data"]), left, top))
    if kind == "polygon":
        rings = [item["points"]["exterior"], *(item["points"].get("interior") or [])]
        return Shape(label, outline(label, [rings], through=True))
    if kind == "multipolygon":
        parts = [[part["exterior"], *(part.get("interior") or [])] for part in item["parts"]]
        return Shape(label, outline(label, parts, through=True))
    if kind == "rectangle":
        (left, top), (right, bottom) = ring(item["points"]["exterior"])[:2].tolist()
        corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
        return Shape(label, outline(label, [[corners]], through=True), remark="box-filled")
    raise LeftOutError("shape-without-area", f"a {kind} of {label!r}")


def _pixels(data: str) -> Any:
    """Return the pixels of a bitmap: a PNG, packed by zlib and written in base 64."""
    unpacking = zlib.decompressobj()
    try:
        png = unpacking.decompress(base64.b64decode(data), _MOST_BYTES)
    except zlib.error as error:
        raise ValueError("a bitmap that cannot be unpacked") from error
    if not unpacking.eof:
        raise ValueError("a bitmap that breaks off, or is larger than any image")
    return decode_pixels(io.BytesIO(png))
