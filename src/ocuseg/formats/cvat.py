"""CVAT: "CVAT for images 1.1" (XML) and "Segmentation mask 1.1" (docs.cvat.ai/docs/manual/advanced/formats)."""

from __future__ import annotations

import math
from pathlib import Path, PurePosixPath
from xml.etree import ElementTree

from ocuseg.errors import DataError
from ocuseg.formats.finding import Images
from ocuseg.formats.losses import LeftOutError, Losses
from ocuseg.formats.reading import colour_of, is_background, lines_of, split_in, words_of
from ocuseg.formats.regions import pack, rectangle
from ocuseg.formats.runs import pixels_of_runs
from ocuseg.formats.source import Page, Painted, Shape, collect, ellipse, outline
from ocuseg.index.listing import IMAGE_SUFFIXES
from ocuseg.index.splitting import Split

__all__ = ["is_source", "read"]

_OTHERS = ("polyline", "points", "cuboid", "skeleton", "tag")


def is_source(source: Path) -> bool:
    """Whether a file or folder is of either format."""
    if source.is_dir():
        return (source / "labelmap.txt").is_file() or (source / "annotations.xml").is_file()
    if source.suffix.lower() != ".xml":
        return False
    with source.open("rb") as file:
        return b"<annotations" in file.read(4096)


def read(source: Path, images: Images, losses: Losses) -> tuple[list[Page], dict[str, str | None]]:
    """Return the pages, and the labels in CVAT's order with its colours; subsets whose name means a split are one."""
    if source.is_dir() and (source / "labelmap.txt").is_file():
        return _read_masks(source, images, losses)
    path = source / "annotations.xml" if source.is_dir() else source
    root = _parse(path)
    labels: dict[str, str | None] = {}
    for label in root.iterfind("./meta//labels/label"):
        label_name = label.findtext("name", "")
        if label.findtext("parent") is None and label_name.strip():  # a part of a skeleton is no label
            labels[words_of(label_name)] = colour_of(label.findtext("color"))
    pages = []
    for entry in root.iterfind("image"):
        name = entry.get("name", "")
        with losses.leaving_out(name, "an image without a size"):
            size = (int(entry.get("height", "")), int(entry.get("width", "")))
            found = images.find(name, path.parent)
            split = split_in(entry.get("subset", ""))
            pages.append(Page(name, found, size, collect(entry, _shape, name, losses), split=split))
    return pages, labels


class _NoDoctype(ElementTree.TreeBuilder):
    def doctype(self, *_: object) -> None:
        raise ValueError("it declares a document type, which CVAT never does")


def _parse(path: Path) -> ElementTree.Element:
    """Return the root of the XML; entities, and so expansion without end, are refused with the document type."""
    try:
        root = ElementTree.parse(path, ElementTree.XMLParser(target=_NoDoctype())).getroot()
    except (OSError, ValueError, LookupError, ElementTree.ParseError) as error:  # of an encoding that nobody knows
        raise DataError(
            f"{path}: cannot be read as XML ({error}); export it again, or give the format that it has"
        ) from error
    if root is None or root.tag != "annotations" or (root.find("image") is None and root.find("track") is not None):
        raise DataError(f'{path}: holds no images of CVAT; export it as "CVAT for images 1.1"')
    return root


def _shape(item: ElementTree.Element) -> Shape:
    label, z, kind = words_of(item.get("label")), float(item.get("z_order", "0")), item.tag
    degrees = float(item.get("rotation", "0"))

    def number(key: str) -> float:
        return float(item.attrib[key])

    if kind == "polygon":
        points = [pair.split(",") for pair in item.attrib["points"].split(";")]
        return Shape(label, outline(label, [[points]]), z)
    if kind == "box":
        box = rectangle(number("xtl"), number("ytl"), number("xbr"), number("ybr"), degrees)
        return Shape(label, box, z, "box-filled")
    if kind == "ellipse":
        angle = math.radians(degrees)
        return Shape(label, ellipse(label, (number("cx"), number("cy")), (number("rx"), number("ry")), angle), z)
    if kind == "mask":
        counts = [int(count) for count in item.attrib["rle"].split(",")]
        size = int(number("height")), int(number("width"))
        pixels = pixels_of_runs(counts, size, by_columns=False)
        return Shape(label, pack(pixels, int(number("left")), int(number("top"))), z)
    raise LeftOutError("shape-without-area", f"a {kind if kind in _OTHERS else 'shape of another kind'} of {label!r}")


def _read_masks(source: Path, images: Images, losses: Losses) -> tuple[list[Page], dict[str, str | None]]:
    values = _label_map(source / "labelmap.txt")
    folder = source / "SegmentationClass"
    masks = sorted(path for path in folder.rglob("*.png") if not path.name.startswith(".")) if folder.is_dir() else []
    if not masks:
        raise DataError(f'{source}: has no masks in SegmentationClass/; export it as "Segmentation mask 1.1"')
    splits = _subsets(source / "ImageSets" / "Segmentation")
    pages = []
    for mask in masks:
        name = mask.relative_to(folder).with_suffix("").as_posix()
        with losses.leaving_out(name, "a mask that cannot be read"):
            found = _image_of(name, source, images)
            pages.append(Page(name, found, painted=Painted(mask, values, as_colours=True), split=splits.get(name)))
    labels = {label: f"#{value:06x}" for value, label in values.items() if not is_background(label)}
    return pages, {**labels}


def _image_of(name: str, source: Path, images: Images) -> Path:
    # With several subsets CVAT puts a folder for each in front, on both sides.
    for suffix in sorted(IMAGE_SUFFIXES):
        for written in (suffix, suffix.upper()):
            path = source / "JPEGImages" / f"{name}{written}"
            if path.is_file():
                return path
    masks = source / "SegmentationClass", source / "SegmentationObject"
    beside = [path for path in images.all_with_stem(PurePosixPath(name).name) if not path.is_relative_to(masks[0])]
    beside = [path for path in beside if not path.is_relative_to(masks[1])]
    if len(beside) != 1:
        raise LeftOutError("image-missing", f"{len(beside)} images of that name" if beside else "no such file")
    return beside[0]


def _label_map(path: Path) -> dict[int, str]:
    """Return the label of each colour: lines of `label:r,g,b:parts:actions`."""
    labels: dict[int, str] = {}
    try:
        for line in lines_of(path):
            if not line.startswith("#"):
                name, colour = line.rsplit(":", 3)[0], line.rsplit(":", 3)[1]
                red, green, blue = (int(number) for number in colour.split(","))
                labels[red << 16 | green << 8 | blue] = words_of(name)
    except (ValueError, IndexError, LeftOutError) as error:
        raise DataError(f"{path}: is no list of 'label:r,g,b::' lines ({error}); export it again") from error
    return labels


def _subsets(folder: Path) -> dict[str, Split]:
    splits: dict[str, Split] = {}
    for path in sorted(folder.glob("*.txt")) if folder.is_dir() else []:
        split = split_in(path.stem)
        if split is not None:
            splits |= dict.fromkeys(lines_of(path), split)
    return splits
