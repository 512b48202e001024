"""What is written for other tools, read as their specifications and libraries say and not by our own readers."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image, ImageDraw

from formats.annotation_files import NAMES, save_images
from formats.test_round_trips import CLASSES, drawn_masks, export


@pytest.fixture
def masks(tmp_path: Path) -> dict[str, np.ndarray]:
    save_images(tmp_path / "images", drawn_masks())
    return {Path(name).stem: mask for name, mask in drawn_masks().items()}


def labelled(size: tuple[int, ...], pieces: list[tuple[str, np.ndarray]]) -> np.ndarray:
    """Return class ids (H, W) of pieces (H, W), none of which may lie on another."""
    found = np.zeros(size, np.uint8)
    for name, pixels in pieces:
        assert not found[pixels].any()
        found[pixels] = 1 + NAMES.index(name)
    return found


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_coco_by_its_own_api(masks: dict[str, np.ndarray], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from pycocotools.coco import COCO

    export(masks, tmp_path / "images", tmp_path / "out", "coco", CLASSES)
    api = COCO(str(tmp_path / "out" / "coco.json"))
    api.info()
    assert "description: Predicted by ocuseg" in capsys.readouterr().out
    assert api.dataset["licenses"] == []
    for image in api.dataset["images"]:
        pieces = []
        for annotation in api.imgToAnns[image["id"]]:
            pixels = api.annToMask(annotation).astype(bool)
            rows, columns = np.nonzero(pixels)
            left, top = int(columns.min()), int(rows.min())
            assert annotation["bbox"] == [left, top, int(columns.max()) + 1 - left, int(rows.max()) + 1 - top]
            assert (annotation["area"], annotation["iscrowd"]) == (pixels.sum(), 0)
            pieces.append((api.cats[annotation["category_id"]]["name"], pixels))
        mask = masks[Path(image["file_name"]).stem]
        np.testing.assert_array_equal(labelled(mask.shape, pieces), mask)


def test_cvat_as_its_format_says(masks: dict[str, np.ndarray], tmp_path: Path) -> None:
    export(masks, tmp_path / "images", tmp_path / "out", "cvat", CLASSES)
    root = ElementTree.parse(tmp_path / "out" / "annotations.xml").getroot()
    assert [label.findtext("name") for label in root.iterfind("meta/task/labels/label")] == list(NAMES)
    for image in root.iterfind("image"):
        size = int(image.attrib["height"]), int(image.attrib["width"])
        pieces = []
        for shape in image:
            assert {"label", "source", "occluded", "z_order"} <= set(shape.attrib)
            pixels = np.zeros(size, bool)
            if shape.tag == "mask":  # runs row by row of the box, the first of pixels that are not set
                left, top, width, height = (int(shape.attrib[key]) for key in ("left", "top", "width", "height"))
                values = [k % 2 for k, run in enumerate(shape.attrib["rle"].split(",")) for _ in range(int(run))]
                pixels[top : top + height, left : left + width] = np.reshape(values, (height, width))
            else:
                points = [tuple(map(float, point.split(","))) for point in shape.attrib["points"].split(";")]
                assert len(points) >= 4
                pixels = filled(points, size)
            pieces.append((shape.attrib["label"], pixels))
        mask = masks[Path(image.attrib["name"]).stem]
        np.testing.assert_array_equal(labelled(size, pieces), mask)


def test_labelme_as_its_format_says(masks: dict[str, np.ndarray], tmp_path: Path) -> None:
    export(masks, tmp_path / "images", tmp_path / "out", "labelme", CLASSES)
    for name, mask in masks.items():
        content = json.loads((tmp_path / "out" / "labelme" / f"{name}.json").read_text(encoding="utf-8"))
        size = content["imageHeight"], content["imageWidth"]
        assert (tmp_path / "out" / "labelme" / content["imagePath"]).is_file()
        pieces = []
        for shape in content["shapes"]:
            pixels = np.zeros(size, bool)
            if shape["shape_type"] == "mask":  # from corner to corner, both of them in it
                (left, top), (right, bottom) = shape["points"]
                picture = np.array(Image.open(io.BytesIO(base64.b64decode(shape["mask"]))))
                pixels[top : bottom + 1, left : right + 1] = picture.astype(bool)
            else:
                pixels = filled(shape["points"], size)
            pieces.append((shape["label"], pixels))
        np.testing.assert_array_equal(labelled(mask.shape, pieces), mask)


def test_geojson_by_shapely(masks: dict[str, np.ndarray], tmp_path: Path) -> None:
    import shapely

    export(masks, tmp_path / "images", tmp_path / "out", "geojson", CLASSES)
    for name, mask in masks.items():
        content = json.loads((tmp_path / "out" / "geojson" / f"{name}.geojson").read_text(encoding="utf-8"))
        rows, columns = np.indices(mask.shape) + 0.5
        pieces = []
        for feature in content["features"]:
            shape = shapely.from_geojson(json.dumps(feature["geometry"]))
            assert shape.is_valid
            assert feature["properties"]["objectType"] == "annotation"
            assert len(feature["properties"]["classification"]["color"]) == 3
            pieces.append((feature["properties"]["classification"]["name"], shapely.contains_xy(shape, columns, rows)))
        np.testing.assert_array_equal(labelled(mask.shape, pieces), mask)


def filled(corners: list[tuple[float, float]], size: tuple[int, int]) -> np.ndarray:
    """Return the pixels in a polygon along their edges: drawn tenfold, and looked at in their middle."""
    picture = Image.new("1", (10 * size[1], 10 * size[0]))
    ImageDraw.Draw(picture).polygon([(10 * x, 10 * y) for x, y in corners], fill=1)
    return np.array(picture)[5::10, 5::10]
