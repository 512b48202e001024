"""Each format in, to masks, out and in again, and masks to files of tools and back: equal, pixel for pixel."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import ocuseg
from formats.annotation_files import COLOURS, NAMES, WRITERS, save_images
from ocuseg.classes import Classes, parse_classes
from ocuseg.errors import DataError
from ocuseg.formats.outputs import masks_also_as

EXPORTS = ("coco", "cvat", "geojson", "labelme")
CLASSES = parse_classes(
    [{"id": 0, "name": "background"}]
    + [{"id": k, "name": name, "colour": c} for k, (name, c) in enumerate(zip(NAMES, COLOURS, strict=True), start=1)]
)


def drawn_masks() -> dict[str, np.ndarray]:
    """Two masks with a hole, an island in it, pixels that touch at corners, pixels at all borders and all classes."""
    first = np.zeros((23, 31), np.uint8)
    first[2:20, 3:25] = 1
    first[5:15, 8:20] = 2
    first[8:11, 11:16] = 0
    first[9, 13] = 1
    first[np.arange(15, 20), np.arange(24, 29)] = 3
    first[0, :4] = first[-1, -5:] = 2
    first[10:, 0] = first[:3, -1] = 3
    second = np.random.default_rng(3).integers(0, 4, (17, 12)).astype(np.uint8)
    return {"auge äöü.png": first, "b.png": second}


def import_and_read(source: Path, out: Path, **options: object) -> tuple[dict[str, np.ndarray], ocuseg.Classes]:
    imported = ocuseg.import_annotations(source, out=out, **options)  # type: ignore[arg-type]
    assert not imported.has_losses, list(map(str, imported.findings))
    # Where a format lists no classes they are in the order of the alphabet: the names say which is which.
    order = np.array([0, *(1 + NAMES.index(name) for name in imported.classes.names[1:])], np.uint8)
    masks = {path.stem: order[np.array(Image.open(path))] for path in sorted((out / "masks").iterdir())}
    return masks, imported.classes


def export(masks: dict[str, np.ndarray], images: Path, out: Path, kind: str, classes: Classes) -> None:
    """Write masks as `predict --format` does."""
    with masks_also_as([kind], out, classes) as put:
        for name, mask in masks.items():
            image = next(path for path in images.iterdir() if path.stem == name)
            put(name, image, mask)


@pytest.mark.parametrize("writer", WRITERS)
def test_in_to_masks_out_and_in_again(writer: str, tmp_path: Path) -> None:
    kind, write = WRITERS[writer]
    masks = drawn_masks()
    source = write(tmp_path / "source", masks)
    first, _ = import_and_read(source, tmp_path / "first")
    assert len(first) == 2
    stems = {name: next(stem for stem in first if stem.endswith(Path(name).stem)) for name in masks}
    for name, mask in masks.items():
        np.testing.assert_array_equal(first[stems[name]], mask, err_msg=name)
    again = write(tmp_path / "again", {name: first[stems[name]] for name in masks})
    second, _ = import_and_read(again, tmp_path / "second", format=kind)
    for stem, mask in first.items():
        np.testing.assert_array_equal(second[stem], mask)
    out_again = "geojson" if kind == "coco" else "coco"
    export(first, tmp_path / "first" / "images", tmp_path / "exported", out_again, CLASSES)
    third, _ = import_and_read(tmp_path / "exported", tmp_path / "third", images=tmp_path / "first" / "images")
    for stem, mask in first.items():
        np.testing.assert_array_equal(third[stem], mask)


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("kind", ["labelme", "geojson"])
def test_predicted_classes_keep_their_ids_whatever_their_names_are(kind: str, deep: bool, tmp_path: Path) -> None:
    names = ("background", "zonule", "iris", "pupil", "cornea")
    rows = [{"id": number, "name": name} for number, name in enumerate(names)]
    rows[3]["parent"] = "iris"
    classes = parse_classes(rows)
    mask = np.zeros((20, 30), np.uint8)
    mask[2:9, 3:9], mask[10:15, 4:20] = 1, 3  # of iris and cornea there is nothing
    images = tmp_path / "images"
    images.mkdir()
    Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(images / "eye.png")
    export({"eye": mask}, images, tmp_path / "out", kind, classes)
    source = tmp_path / "out" / (kind if deep else "")
    imported = ocuseg.import_annotations(source, out=tmp_path / "data", images=images)
    assert imported.classes.to_list() == classes.to_list()
    np.testing.assert_array_equal(np.array(Image.open(tmp_path / "data" / "masks" / "eye.png")), mask)
    # A label that somebody adds comes after them.
    (path,) = (tmp_path / "out" / kind).glob("eye*")
    path.write_text(path.read_text().replace("zonule", "bleeding"))
    added = ocuseg.import_annotations(source, out=tmp_path / "added", images=images)
    assert added.classes.names == (*names, "bleeding")
    mask[mask == 1] = 5
    np.testing.assert_array_equal(np.array(Image.open(tmp_path / "added" / "masks" / "eye.png")), mask)


@pytest.mark.parametrize("kind", EXPORTS)
def test_images_of_one_name_in_several_folders_get_their_own_masks(kind: str, tmp_path: Path) -> None:
    images, masks = tmp_path / "images", {}
    with masks_also_as([kind], tmp_path / "out", CLASSES) as put:
        # As `predict` names results; the third has the name that the first result got.
        for number, (place, name) in enumerate([("p/1.png", "p_1"), ("q/1.png", "q_1"), ("p_1.png", "p_1_2")]):
            masks[number] = np.zeros((12, 9), np.uint8)
            masks[number][: 3 + number, 2:7] = 1 + number
            (images / place).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((12, 9, 3), number, np.uint8)).save(images / place)
            put(name, images / place, masks[number])
    if kind == "geojson":  # QuPath writes the whole file anew, with nothing in it that it does not know
        for path in (tmp_path / "out" / "geojson").glob("*.geojson"):
            path.write_text(json.dumps(json.loads(path.read_text())["features"]))
    imported = ocuseg.import_annotations(tmp_path / "out", out=tmp_path / "data", images=images)
    assert not imported.has_losses, list(map(str, imported.findings))
    found = {path.stem: np.array(Image.open(path)) for path in (tmp_path / "data" / "images").iterdir()}
    read = {path.stem: np.array(Image.open(path)) for path in (tmp_path / "data" / "masks").iterdir()}
    assert sorted(image.max() for image in found.values()) == [0, 1, 2]
    for name, image in found.items():
        np.testing.assert_array_equal(read[name] > 0, masks[image.max()] > 0)


@pytest.mark.parametrize("kind", EXPORTS)
@pytest.mark.parametrize("deep", [False, True])
def test_the_masks_beside_predicted_annotations_are_not_taken_for_their_images(
    kind: str, deep: bool, tmp_path: Path
) -> None:
    images, out = tmp_path / "photographs", tmp_path / "out"
    images.mkdir()
    mask = drawn_masks()["b.png"]
    Image.fromarray(np.full((*mask.shape, 3), 200, np.uint8)).save(images / "eye.png")
    export({"eye": mask}, images, out, kind, CLASSES)
    (out / "overlays").mkdir()
    for place in (out, out / "overlays"):
        Image.fromarray(mask).save(place / "eye.png")
    source = next(path for path in sorted(out.rglob("*")) if path.suffix in (".json", ".xml", ".geojson"))
    imported = ocuseg.import_annotations(source if deep else out, out=tmp_path / "data", images=images)
    assert not imported.has_losses
    (copied,) = (tmp_path / "data" / "images").iterdir()
    np.testing.assert_array_equal(np.array(Image.open(copied)), 200)
    if kind in ("coco", "cvat"):  # which give no more than the name
        with pytest.raises(DataError, match=r"eye\.png: expected its image, .* say where it is with --images"):
            ocuseg.import_annotations(out, out=tmp_path / "none")


def test_a_folder_of_images_that_is_given_comes_first(tmp_path: Path) -> None:
    mask = drawn_masks()["b.png"]
    source = WRITERS["COCO"][1](tmp_path / "source", {"b.png": mask})
    images = tmp_path / "photographs"
    images.mkdir()
    Image.fromarray(np.full((*mask.shape, 3), 200, np.uint8)).save(images / "b.png")
    ocuseg.import_annotations(source, out=tmp_path / "data", images=images)
    (copied,) = (tmp_path / "data" / "images").iterdir()
    np.testing.assert_array_equal(np.array(Image.open(copied)), 200)


@pytest.mark.parametrize("writer", ["supervisely", "CVAT, masks", "CVAT, XML", "QuPath"])
def test_colours_and_ids_are_kept(writer: str, tmp_path: Path) -> None:
    source = WRITERS[writer][1](tmp_path / "source", drawn_masks())
    _, classes = import_and_read(source, tmp_path / "data")
    colours = {item.name: item.colour for item in classes.items[1:]}
    assert colours == dict(zip(NAMES, COLOURS, strict=True))
    order = sorted(NAMES) if writer == "QuPath" else list(NAMES)
    assert list(classes.names[1:]) == order
    rows = yaml.safe_load((tmp_path / "data" / "classes.yaml").read_text())
    assert [row["name"] for row in rows] == ["background", *order]


@pytest.mark.parametrize("writer", WRITERS)
def test_what_is_imported_passes_the_check(writer: str, tmp_path: Path) -> None:
    masks = {f"{number}{name}": mask for number in (1, 2, 3, 4) for name, mask in drawn_masks().items()}
    source = WRITERS[writer][1](tmp_path / "source", masks)
    ocuseg.import_annotations(source, out=tmp_path / "data")
    found = [f for f in ocuseg.check(tmp_path / "data").findings.of_level("error") if "in-two-splits" not in f.code]
    assert found == []


@pytest.mark.parametrize("kind", EXPORTS)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_mask_comes_back_from_a_file_of_a_tool(kind: str, data: st.DataObject) -> None:
    height, width = data.draw(st.integers(1, 9), "height"), data.draw(st.integers(1, 9), "width")
    cells = st.lists(st.integers(0, 3), min_size=height * width, max_size=height * width)
    mask = np.array(data.draw(cells, "mask"), np.uint8).reshape(height, width)
    if not mask.any():
        mask[0, 0] = 1
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        save_images(folder / "images", {"eye.png": mask})
        export({"eye": mask}, folder / "images", folder / "out", kind, CLASSES)
        (folder / "classes.yaml").write_text(yaml.safe_dump(CLASSES.to_list()))
        options = {"images": folder / "images", "classes": folder / "classes.yaml"}
        back, _ = import_and_read(folder / "out", folder / "data", **options)
    np.testing.assert_array_equal(back["eye"], mask)


@pytest.mark.parametrize("kind", EXPORTS)
def test_an_image_of_nothing_but_background_comes_back(kind: str, tmp_path: Path) -> None:
    masks = {"eye.png": np.zeros((6, 7), np.uint8), "other.png": np.ones((6, 7), np.uint8)}
    save_images(tmp_path / "images", masks)
    export({Path(k).stem: v for k, v in masks.items()}, tmp_path / "images", tmp_path / "out", kind, CLASSES)
    back, _ = import_and_read(tmp_path / "out", tmp_path / "data", images=tmp_path / "images")
    assert not back["eye"].any()
    assert back["other"].all()
