"""Exports of annotation tools, written to their specifications from images and masks: what the tests read back."""

from __future__ import annotations

import base64
import csv
import io
import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from PIL import Image

NAMES = ("iris", "pupil", "instrument")
VIA_COLUMNS = ("filename", "file_size", "file_attributes", "region_count", "region_id")
COLOURS = ("#ff8000", "#0040c0", "#20e020")
MASKS = Mapping[str, np.ndarray]
Box = tuple[int, int, int, int]


def save_images(folder: Path, masks: MASKS) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, (name, mask) in enumerate(masks.items()):
        shade = np.full((*mask.shape, 3), 40 + number, np.uint8) + 50 * (mask[..., None] % 4)
        Image.fromarray(shade.astype(np.uint8)).save(folder / name)


def write_supervisely(folder: Path, masks: MASKS) -> Path:
    """A project with a data set `ds1`, bitmaps as the tool writes them: a palette PNG with transparency, packed."""
    rows = [{"title": name, "shape": "any", "color": colour} for name, colour in zip(NAMES, COLOURS, strict=True)]
    _json(folder / "meta.json", {"classes": rows, "tags": [], "projectType": "images"})
    save_images(folder / "ds1" / "img", masks)
    for name, mask in masks.items():
        objects = []
        for label, (left, top, right, bottom), piece in _labelled(mask):
            picture = Image.fromarray(piece[top:bottom, left:right].astype(np.uint8)).convert("P")
            picture.putpalette([0, 0, 0, 255, 255, 255])
            file = io.BytesIO()
            picture.save(file, format="PNG", transparency=0)
            data = base64.b64encode(zlib.compress(file.getvalue())).decode()
            bitmap = {"data": data, "origin": [left, top]}
            objects.append({"classTitle": label, "geometryType": "bitmap", "bitmap": bitmap, "tags": []})
        height, width = mask.shape
        content = {"description": "", "tags": [], "size": {"height": height, "width": width}, "objects": objects}
        _json(folder / "ds1" / "ann" / f"{name}.json", content)
    return folder


def write_label_studio(folder: Path, masks: MASKS) -> Path:
    """A JSON export with one brush for each label; the images were uploaded, which puts digits before their names."""
    save_images(folder, {f"0123abcd-{name}": mask for name, mask in masks.items()})
    tasks = []
    for number, (name, mask) in enumerate(masks.items(), start=1):
        height, width = mask.shape
        results = [
            {
                "id": f"r{k}", "type": "brushlabels", "from_name": "tag", "to_name": "image", "image_rotation": 0,
                "original_width": width, "original_height": height,
                "value": {"format": "rle", "rle": pack_brush(piece), "brushlabels": [label]},
            }
            for k, (label, _, piece) in enumerate(_labelled(mask))
        ]  # fmt: skip
        annotations = [{"id": number, "was_cancelled": False, "ground_truth": False, "result": results}]
        tasks.append({"id": number, "data": {"image": f"/data/upload/1/0123abcd-{name}"}, "annotations": annotations})
    _json(folder / "project-1.json", tasks)
    return folder


def pack_brush(pixels: np.ndarray) -> list[int]:
    """Return the alpha of (H, W) pixels as thi.ng/rle-pack packs RGBA: runs, and single words as they are."""
    words = np.repeat(np.where(pixels, 255, 0).astype(np.uint8).ravel(), 4).tolist()
    widths = (3, 4, 8, 16)
    bits = f"{len(words):032b}{7:05b}" + "".join(f"{width - 1:04b}" for width in widths)
    at = 0
    while at < len(words):
        end = at
        while end < len(words) and words[end] == words[at] and end - at < 1 << 16:
            end += 1
        length = end - at
        choice = next(k for k, width in enumerate(widths) if length - 1 < 1 << width)
        is_run = length != 4  # a run of four is written word by word, so that both ways are read
        bits += f"{int(is_run)}{choice:02b}{length - 1:0{widths[choice]}b}" + f"{words[at]:08b}" * (
            1 if is_run else length
        )
        at = end
    bits += "0" * (-len(bits) % 8)
    return list(int(bits, 2).to_bytes(len(bits) // 8, "big"))


def write_via_json(folder: Path, masks: MASKS) -> Path:
    """A project of version 2; as it has no masks, each run of pixels is a polygon."""
    save_images(folder, masks)
    entries = {}
    for name, mask in masks.items():
        size = (folder / name).stat().st_size
        regions = [
            {
                "shape_attributes": {"name": "polygon", "all_points_x": xs, "all_points_y": ys},
                "region_attributes": {"label": label},
            }
            for label, xs, ys in _runs(mask)
        ]
        entries[f"{name}{size}"] = {"filename": name, "size": size, "regions": regions, "file_attributes": {}}
    options = {"type": "radio", "options": dict.fromkeys(NAMES, "")}
    _json(folder / "via.json", {"_via_attributes": {"region": {"label": options}}, "_via_img_metadata": entries})
    return folder


def write_via_csv(folder: Path, masks: MASKS) -> Path:
    save_images(folder, masks)
    with (folder / "via.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow([*VIA_COLUMNS, "region_shape_attributes", "region_attributes"])
        for name, mask in masks.items():
            rows = list(_runs(mask))
            for number, (label, xs, ys) in enumerate(rows):
                shape = {"name": "polygon", "all_points_x": xs, "all_points_y": ys}
                table.writerow([name, 1, "{}", len(rows), number, json.dumps(shape), json.dumps({"label": label})])
            if not rows:
                table.writerow([name, 1, "{}", 0, 0, "{}", "{}"])
    return folder


def write_nnunet(folder: Path, masks: MASKS) -> Path:
    save_images(folder / "imagesTr", {f"{Path(name).stem}_0000.png": mask for name, mask in masks.items()})
    (folder / "labelsTr").mkdir()
    for name, mask in masks.items():
        Image.fromarray(mask).save(folder / "labelsTr" / f"{Path(name).stem}.png")
    labels = {"background": 0} | {name: number for number, name in enumerate(NAMES, start=1)}
    channels = {"0": "R", "1": "G", "2": "B"}
    content = {"channel_names": channels, "labels": labels, "numTraining": len(masks), "file_ending": ".png"}
    _json(folder / "dataset.json", content)
    return folder


def write_cvat_masks(folder: Path, masks: MASKS) -> Path:
    """A "Segmentation mask 1.1" with images; the label of colour 0,0,0 is the background."""
    save_images(folder / "JPEGImages", masks)
    triples = [tuple(int(colour[k : k + 2], 16) for k in (1, 3, 5)) for colour in COLOURS]
    rows = ["# label:color_rgb:parts:actions", "background:0,0,0::"]
    rows += [f"{name}:{','.join(map(str, colour))}::" for name, colour in zip(NAMES, triples, strict=True)]
    (folder / "labelmap.txt").write_text("\n".join(rows) + "\n", encoding="utf-8")
    (folder / "SegmentationClass").mkdir()
    (folder / "SegmentationObject").mkdir()
    table = np.array([(0, 0, 0), *triples], np.uint8)
    for name, mask in masks.items():
        for kind in ("Class", "Object"):
            Image.fromarray(table[mask]).save(folder / f"Segmentation{kind}" / f"{Path(name).stem}.png")
    listed = folder / "ImageSets" / "Segmentation" / "default.txt"
    listed.parent.mkdir(parents=True)
    listed.write_text("\n".join(Path(name).stem for name in masks) + "\n", encoding="utf-8")
    return folder


def write_cvat_xml(folder: Path, masks: MASKS) -> Path:
    save_images(folder / "images", masks)
    root = ElementTree.Element("annotations")
    ElementTree.SubElement(root, "version").text = "1.1"
    labels = ElementTree.SubElement(ElementTree.SubElement(ElementTree.SubElement(root, "meta"), "job"), "labels")
    for name, colour in zip(NAMES, COLOURS, strict=True):
        label = ElementTree.SubElement(labels, "label")
        ElementTree.SubElement(label, "name").text = name
        ElementTree.SubElement(label, "color").text = colour
    for number, (name, mask) in enumerate(masks.items()):
        height, width = mask.shape
        entry = ElementTree.SubElement(root, "image", id=str(number), name=name, width=str(width), height=str(height))
        for label, (left, top, right, bottom), piece in _labelled(mask):
            runs, value = [], False
            flat = piece[top:bottom, left:right].ravel().tolist()
            while flat:
                length = next((k for k, one in enumerate(flat) if one != value), len(flat))
                runs.append(length)
                flat, value = flat[length:], not value
            place = {"left": left, "top": top, "width": right - left, "height": bottom - top, "z_order": 0}
            attributes = {"label": label, "rle": ", ".join(map(str, runs))} | {k: str(v) for k, v in place.items()}
            ElementTree.SubElement(entry, "mask", attributes)
    ElementTree.ElementTree(root).write(folder / "annotations.xml", encoding="utf-8", xml_declaration=True)
    return folder


def write_labelme(folder: Path, masks: MASKS) -> Path:
    save_images(folder, masks)
    for name, mask in masks.items():
        shapes = []
        for label, (left, top, right, bottom), piece in _labelled(mask):
            file = io.BytesIO()
            Image.fromarray(piece[top:bottom, left:right].astype(np.uint8)).save(file, format="PNG")
            data = base64.b64encode(file.getvalue()).decode()
            corners = [[left, top], [right - 1, bottom - 1]]
            shapes.append(labelme_shape(label, corners, "mask") | {"mask": data})
        write_labelme_file(folder / f"{Path(name).stem}.json", name, mask.shape, shapes)
    return folder


def labelme_shape(label: str, points: list[Any], kind: str = "polygon") -> dict[str, Any]:
    return {"label": label, "points": points, "group_id": None, "shape_type": kind, "flags": {}, "mask": None}


def write_labelme_file(path: Path, image: str, size: tuple[int, ...], shapes: list[Any], **more: Any) -> None:
    content = {"version": "5.5.0", "flags": {}, "shapes": shapes, "imagePath": image, "imageData": None}
    _json(path, content | {"imageHeight": size[0], "imageWidth": size[1]} | more)


def write_coco(folder: Path, masks: MASKS, *, compressed: bool = True) -> Path:
    """Runs of pycocotools, compressed, or the lengths themselves."""
    from pycocotools import mask as runs

    save_images(folder / "images", masks)
    images, annotations = [], []
    for number, (name, mask) in enumerate(masks.items(), start=1):
        images.append({"id": number, "file_name": name, "height": mask.shape[0], "width": mask.shape[1]})
        for label, _, piece in _labelled(mask):
            encoded: Any = runs.encode(np.asfortranarray(piece.astype(np.uint8)))
            counts: Any = encoded["counts"].decode()
            if not compressed:
                flat = np.concatenate(([False], piece.T.ravel(), [False]))
                edges = np.flatnonzero(flat[1:] != flat[:-1])
                counts = [int(n) for n in np.diff(np.concatenate(([0], edges, [piece.size])))]
            segmentation = {"size": list(mask.shape), "counts": counts}
            row = {"id": len(annotations), "image_id": number, "category_id": 10 * (NAMES.index(label) + 1)}
            annotations.append(row | {"iscrowd": 0, "segmentation": segmentation, "area": int(piece.sum())})
    categories = [{"id": 10 * k, "name": name, "supercategory": ""} for k, name in enumerate(NAMES, start=1)]
    _json(folder / "instances.json", {"images": images, "categories": categories, "annotations": annotations})
    return folder


def write_coco_uncompressed(folder: Path, masks: MASKS) -> Path:
    return write_coco(folder, masks, compressed=False)


def write_qupath(folder: Path, masks: MASKS) -> Path:
    """A feature for each label: a MultiPolygon of shapely, holes and all."""
    import shapely

    save_images(folder, masks)
    for name, mask in masks.items():
        features = []
        for label, _, piece in _labelled(mask):
            rows, columns = np.nonzero(piece)
            union = shapely.union_all(shapely.box(columns, rows, columns + 1, rows + 1))
            colour = [int(COLOURS[NAMES.index(label)][k : k + 2], 16) for k in (1, 3, 5)]
            properties = {"objectType": "annotation", "classification": {"name": label, "color": colour}}
            geometry = json.loads(shapely.to_geojson(union))
            features.append({"type": "Feature", "id": "x", "geometry": geometry, "properties": properties})
        _json(folder / f"{Path(name).stem}.geojson", {"type": "FeatureCollection", "features": features})
    return folder


WRITERS: dict[str, tuple[str, Callable[[Path, MASKS], Path]]] = {
    "supervisely": ("supervisely", write_supervisely),
    "label studio": ("labelstudio", write_label_studio),
    "via, JSON": ("via", write_via_json),
    "via, CSV": ("via", write_via_csv),
    "nnU-Net": ("nnunet", write_nnunet),
    "CVAT, masks": ("cvat", write_cvat_masks),
    "CVAT, XML": ("cvat", write_cvat_xml),
    "LabelMe": ("labelme", write_labelme),
    "COCO": ("coco", write_coco),
    "COCO, uncompressed": ("coco", write_coco_uncompressed),
    "QuPath": ("geojson", write_qupath),
}


def _labelled(mask: np.ndarray) -> Iterator[tuple[str, Box, np.ndarray]]:
    """Yield the name, the box and the pixels of each class that a mask shows."""
    for number, name in enumerate(NAMES, start=1):
        piece = mask == number
        if piece.any():
            rows, columns = np.nonzero(piece)
            box = int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1
            yield name, box, piece


def _runs(mask: np.ndarray) -> Iterator[tuple[str, list[int], list[int]]]:
    """Yield each pixel of a class as a square."""
    for row, column in np.argwhere(mask > 0).tolist():
        left, right, top, bottom = column, column + 1, row, row + 1
        yield NAMES[mask[row, column] - 1], [left, right, right, left], [top, top, bottom, bottom]


def _json(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
