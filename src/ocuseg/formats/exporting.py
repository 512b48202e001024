"""Predicted masks as files of annotation tools, to be corrected there and read back by `ocuseg import`.

A piece of a class without holes is a polygon along the edges of its pixels. One with holes is that as well in GeoJSON;
the other tools have no holes in polygons, so there it is a mask.
"""

from __future__ import annotations

import base64
import csv
import io
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from ocuseg.classes import CLASSES_FILE, Classes
from ocuseg.errors import UsageError
from ocuseg.formats.geojson import IMAGES_FILE, images_of
from ocuseg.formats.pieces import Piece, pieces
from ocuseg.formats.putting import Files, Put, to_json
from ocuseg.formats.runs import runs_of_pixels

__all__ = ["coco_file", "cvat_file", "geojson_files", "labelme_files"]

Size = tuple[int, int]


@contextmanager
def labelme_files(out: Path, classes: Classes) -> Iterator[Put]:
    """Yield a function that writes `labelme/NAME.json`, which finds its image by a relative path, and the classes."""
    files = Files(out)
    files.write(f"labelme/{CLASSES_FILE}", classes.to_yaml())

    def put(name: str, image: Path, mask: NDArray[np.uint8]) -> tuple[Path, ...]:
        height, width = mask.shape
        content = {
            "version": "5.5.0",
            "flags": {},
            "shapes": [_labelme_shape(piece, (height, width)) for piece in pieces(mask, classes)],
            "imagePath": files.shown(image, "labelme"),
            "imageData": None,
            "imageHeight": height,
            "imageWidth": width,
        }
        return (files.write(f"labelme/{name}.json", to_json(content)),)

    yield put


@contextmanager
def geojson_files(out: Path, classes: Classes) -> Iterator[Put]:
    """Yield a function that writes `geojson/NAME.geojson`, as QuPath reads it, the classes, and a table of images."""
    files = Files(out)
    files.write(f"geojson/{CLASSES_FILE}", classes.to_yaml())
    shown = images_of(out / "geojson" / IMAGES_FILE)

    def put(name: str, image: Path, mask: NDArray[np.uint8]) -> tuple[Path, ...]:
        shown[f"{name}.geojson"] = files.shown(image, "geojson")
        colours = classes.colours.tolist()
        features = [
            {
                "type": "Feature",
                "geometry": {"type": "Polygon", "coordinates": [_closed(ring.tolist()) for ring in piece.rings]},
                "properties": {
                    "objectType": "annotation",
                    "classification": {"name": piece.class_info.name, "color": colours[piece.class_info.id]},
                },
            }
            for piece in pieces(mask, classes)
        ]
        return (files.write(f"geojson/{name}.geojson", to_json({"type": "FeatureCollection", "features": features})),)

    try:
        yield put
    finally:  # what was written before an interruption is of these images as well
        table = io.StringIO()
        csv.writer(table, lineterminator="\n").writerows([("file", "image"), *shown.items()])
        files.write(f"geojson/{IMAGES_FILE}", table.getvalue())


@contextmanager
def coco_file(out: Path, classes: Classes) -> Iterator[Put]:
    """Yield a function that takes masks for `coco.json`, which is written at the end.

    Raises UsageError where pycocotools is not installed.
    """
    try:
        import pycocotools.mask  # noqa: F401
    except ImportError as error:
        raise UsageError("COCO's runs need pycocotools; install it: pip install 'ocuseg[annotations]'") from error
    files = Files(out)
    path = files.require_ours("coco.json")
    images: list[tuple[Path, Size]] = []
    annotations: list[dict[str, Any]] = []

    def put(name: str, image: Path, mask: NDArray[np.uint8]) -> tuple[Path, ...]:  # noqa: ARG001 - called by its file
        size = (mask.shape[0], mask.shape[1])
        images.append((image, size))
        for piece in pieces(mask, classes):
            numbers = {"id": len(annotations) + 1, "image_id": len(images), "category_id": piece.class_info.id}
            annotations.append(numbers | _coco_shape(piece, size))
        return (path,)

    yield put
    names = _file_names([image for image, _ in images], files)
    categories = [
        {"id": info.id, "name": info.name, "supercategory": info.parent or "", "color": colour}
        for info, colour in zip(classes.items[1:], classes.colours[1:].tolist(), strict=True)
    ]
    entries = [
        {"id": number, "file_name": name, "height": height, "width": width}
        for number, (name, (_, (height, width))) in enumerate(zip(names, images, strict=True), start=1)
    ]
    about = {"info": {"description": "Predicted by ocuseg; research use only"}, "licenses": []}
    content = about | {"images": entries, "categories": categories, "annotations": annotations}
    files.write(path.name, to_json(content))


@contextmanager
def cvat_file(out: Path, classes: Classes) -> Iterator[Put]:
    """Yield a function that takes masks for `annotations.xml` ("CVAT for images 1.1"), which is written at the end."""
    files = Files(out)
    path = files.require_ours("annotations.xml")
    root = ElementTree.Element("annotations")
    ElementTree.SubElement(root, "version").text = "1.1"
    labels = ElementTree.SubElement(ElementTree.SubElement(ElementTree.SubElement(root, "meta"), "task"), "labels")
    for info in classes.items[1:]:
        label = ElementTree.SubElement(labels, "label")
        for key, value in (("name", info.name), ("color", info.colour), ("type", "any")):
            ElementTree.SubElement(label, key).text = value
    images: list[Path] = []
    entries: list[ElementTree.Element] = []

    def put(name: str, image: Path, mask: NDArray[np.uint8]) -> tuple[Path, ...]:  # noqa: ARG001 - called by its file
        height, width = mask.shape
        place = {"id": str(len(images)), "name": "", "width": str(width), "height": str(height)}
        entry = ElementTree.SubElement(root, "image", place)
        images.append(image)
        entries.append(entry)
        for piece in pieces(mask, classes):
            _cvat_shape(entry, piece, (height, width))
        return (path,)

    yield put
    for entry, name in zip(entries, _file_names(images, files), strict=True):
        entry.set("name", name)
    ElementTree.indent(root)
    files.write(path.name, ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n")


def _labelme_shape(piece: Piece, size: Size) -> dict[str, Any]:
    shape: dict[str, Any] = {
        "label": piece.class_info.name,
        "points": piece.outer,
        "group_id": None,
        "description": "",
        "shape_type": "polygon",
        "flags": {},
        "mask": None,
    }
    if len(piece.rings) > 1:
        left, top, pixels = piece.pixels(size)
        height, width = pixels.shape
        corners = [[left, top], [left + width - 1, top + height - 1]]  # the last pixel, not the edge behind it
        shape |= {"shape_type": "mask", "points": corners, "mask": _png(pixels)}
    return shape


def _coco_shape(piece: Piece, size: Size) -> dict[str, Any]:
    left, top, pixels = piece.pixels(size)
    height, width = pixels.shape
    segmentation: Any = [[number for corner in piece.outer for number in corner]]
    if len(piece.rings) > 1:
        from pycocotools import mask as runs

        whole = np.zeros(size, np.uint8, order="F")
        whole[top : top + height, left : left + width] = pixels
        encoded = runs.encode(whole)
        segmentation = {"size": list(size), "counts": encoded["counts"].decode("ascii")}
    area = int(np.count_nonzero(pixels))
    return {"segmentation": segmentation, "area": area, "bbox": [left, top, width, height], "iscrowd": 0}


def _cvat_shape(entry: ElementTree.Element, piece: Piece, size: Size) -> None:
    common = {"label": piece.class_info.name, "source": "auto", "occluded": "0"}
    if len(piece.rings) == 1:
        points = ";".join(f"{x:.2f},{y:.2f}" for x, y in piece.outer)
        ElementTree.SubElement(entry, "polygon", common | {"points": points, "z_order": "0"})
        return
    left, top, pixels = piece.pixels(size)
    height, width = pixels.shape
    place = {"left": str(left), "top": str(top), "width": str(width), "height": str(height), "z_order": "0"}
    runs = ", ".join(map(str, runs_of_pixels(pixels)))
    ElementTree.SubElement(entry, "mask", common | {"rle": runs} | place)


def _png(pixels: NDArray[np.bool_]) -> str:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(file, format="PNG")
    return base64.b64encode(file.getvalue()).decode("ascii")


def _closed(corners: list[list[int]]) -> list[list[int]]:
    return [*corners, corners[0]]


def _file_names(images: list[Path], files: Files) -> list[str]:
    """Return the name of each image as tools know it: that of its file, or its path where two have the same name."""
    alike = Counter(image.name for image in images)
    return [image.name if alike[image.name] == 1 else files.shown(image) for image in images]
