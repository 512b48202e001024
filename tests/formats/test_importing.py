"""What an import makes of each source, what it leaves out and says, and that nothing of a source can escape or harm."""

from __future__ import annotations

import base64
import csv
import io
import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

import ocuseg
from formats.annotation_files import labelme_shape, write_labelme_file, write_nnunet, write_supervisely
from ocuseg.errors import DataError, OutputError, UsageError
from ocuseg.formats.losses import CODES

SQUARE = [[2, 2], [8, 2], [8, 8], [2, 8]]
INNER = [[4, 4], [6, 4], [6, 6], [4, 6]]
FAR = [[50, 50], [60, 50], [60, 60]]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    return folder


def picture(path: Path, size: tuple[int, int] = (20, 30), **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    shade = np.add.outer(np.arange(size[0]), 3 * np.arange(size[1])).astype(np.uint8)
    Image.fromarray(shade).convert("RGB").save(path, **options)
    return path


def labelme(folder: Path, shapes: list[Any], name: str = "eye", **more: Any) -> Path:
    picture(folder / f"{name}.png")
    path = folder / f"{name}.json"
    write_labelme_file(path, f"{name}.png", (20, 30), shapes, **more)
    return path


def codes(imported: Any) -> dict[str, str]:
    return {finding.code: str(finding) for finding in imported.findings}


def mask_of(folder: Path, name: str = "eye") -> np.ndarray:
    return np.array(Image.open(folder / "masks" / f"{name}.png"))


def run(source: Path, **options: Any) -> Any:
    base = source if source.is_dir() else source.parent
    return ocuseg.import_annotations(source, out=base.parent / "data", **options)


# --- shapes that cannot become pixels ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "code", "word"),
    [
        (labelme_shape("iris", [[1, 1], [9, 9]], "line"), "shape-without-area", "a line of 'iris'"),
        (labelme_shape("iris", [[1, 1]], "point"), "shape-without-area", "a point of 'iris'"),
        (labelme_shape("iris", [[1, 1], [9, 9]]), "shape-degenerate", "'iris' with no area"),
        (labelme_shape("iris", [[1, 1], [5, 5], [9, 9]]), "shape-degenerate", "'iris' with no area"),
        (labelme_shape("iris", [[1.6, 1.6], [1.9, 1.6], [1.9, 1.9]]), "shape-tiny", "'iris' without one"),
        (labelme_shape("iris", FAR), "shape-outside", "'iris' wholly outside"),
        (labelme_shape("", SQUARE), "label-missing", "a shape without a label"),
        (labelme_shape("iris", [["a", 1], [2, 3], [4, 5]]), "shape-damaged", "a shape with could not convert"),
        (labelme_shape("iris", [[1e300, 1], [2, 3], [4, 5]]), "shape-damaged", "far outside"),
        ({"points": SQUARE}, "shape-damaged", "no 'label'"),
        ("text", "shape-damaged", "a shape with"),
        (labelme_shape("iris", SQUARE[:2], "mask") | {"mask": "AAAA"}, "shape-damaged", "cannot be read"),
    ],
)
def test_a_shape_that_is_left_out_is_said_once_with_a_count(source: Path, shape: Any, code: str, word: str) -> None:
    for name in ("a", "b"):
        labelme(source, [labelme_shape("pupil", SQUARE), shape, shape], name)
    imported = run(source)
    assert imported.has_losses
    lines = [str(finding) for finding in imported.findings if finding.code == code]
    assert len(lines) == 1
    assert word in lines[0]
    assert "4 times in 2 files" in lines[0]
    assert (mask_of(source.parent / "data", "a") > 0).sum() == 36


def test_every_finding_is_in_the_document() -> None:
    text = (Path(__file__).parents[2] / "docs" / "annotations.md").read_text(encoding="utf-8")
    text = text[text.index("## Findings") : text.index("## Masks as")]
    rows = [line.split("|")[1:3] for line in text.splitlines() if line.startswith("| `") and line.count("|") == 4]
    found = {code.strip().strip("`"): level.strip() for code, level in rows}
    assert found == {code: level for code, (level, _, _) in CODES.items()}


# --- which shape lies on top ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("order", "inner"), [("source", "outer"), ("classes", "small"), ("size", "small")])
def test_the_order_of_overlapping_shapes(source: Path, order: str, inner: str) -> None:
    labelme(source, [labelme_shape("small", INNER), labelme_shape("outer", SQUARE)])
    imported = run(source, order=order)
    names = imported.classes.names
    assert names == ("background", "outer", "small")
    assert names[mask_of(imported.folder)[5, 5]] == inner
    assert ("shape-hidden" in codes(imported)) == (order == "source")
    assert not imported.has_losses


def test_the_z_order_of_cvat_goes_before_its_sequence(source: Path) -> None:
    picture(source / "eye.png")
    shapes = "".join(
        f'<polygon label="{label}" z_order="{z}" points="{";".join(f"{x},{y}" for x, y in points)}"/>'
        for label, z, points in (("inner", 2, INNER), ("outer", 1, SQUARE))
    )
    cvat(source, shapes)
    imported = run(source)
    assert imported.classes.names[mask_of(imported.folder)[5, 5]] == "inner"


def cvat(source: Path, shapes: str, image: str = 'name="eye.png" width="30" height="20"', head: str = "") -> None:
    text = f"<annotations><version>1.1</version><meta/><image id='0' {image}>{shapes}</image></annotations>"
    (source / "annotations.xml").write_text(f"<?xml version='1.0' encoding='utf-8'?>{head}{text}", encoding="utf-8")


def test_boxes_ellipses_and_others_of_cvat(source: Path) -> None:
    picture(source / "eye.png")
    shapes = (
        '<box label="a" xtl="1" ytl="1" xbr="4" ybr="3" z_order="0"/>'
        '<ellipse label="b" cx="20" cy="10" rx="5" ry="3" z_order="0"/>'
        '<polyline label="c" points="1,1;2,2" z_order="0"/><tag label="d"/>'
    )
    cvat(source, shapes)
    imported = run(source)
    assert set(codes(imported)) == {"box-filled", "shape-without-area"}
    mask = mask_of(imported.folder)
    assert (mask == 1).sum() == 6
    assert abs((mask == 2).sum() - np.pi * 15) < 4


# --- classes ----------------------------------------------------------------------------------------------------------


def test_a_class_table_says_the_ids_and_what_it_lacks_is_a_loss(source: Path, tmp_path: Path) -> None:
    labelme(source, [labelme_shape("Iris", SQUARE), labelme_shape("lid", INNER)])
    table = tmp_path / "classes.yaml"
    rows = [{"id": 0, "name": "background"}, {"id": 1, "name": "pupil"}, {"id": 2, "name": "iris", "colour": "#123456"}]
    table.write_text(yaml.safe_dump(rows))
    imported = run(source, classes=table)
    assert codes(imported)["label-unknown"].startswith("eye.png: expected labels of the class table, found a shape of")
    assert (mask_of(imported.folder) == 2).sum() == 36
    assert imported.classes.items[2].colour == "#123456"


def test_background_is_id_0_and_ignore_is_the_ignored_id(source: Path) -> None:
    shapes = [labelme_shape("iris", SQUARE), labelme_shape("_background_", INNER)]
    labelme(source, [*shapes, labelme_shape("__ignore__", [[20, 2], [24, 2], [24, 4], [20, 4]])])
    imported = run(source)
    mask = mask_of(imported.folder)
    assert (mask[5, 5], mask[3, 3], mask[3, 22]) == (0, 1, 255)
    assert imported.classes.ignore_index == 255
    assert set(codes(imported)) == {"label-ignored"}


def test_a_class_that_nothing_shows_is_said_and_left_out(source: Path) -> None:
    write_supervisely(source, {"eye.png": np.ones((9, 9), np.uint8)})
    imported = run(source)
    assert imported.classes.names == ("background", "iris")
    assert next(str(f) for f in imported.findings if f.code == "label-unused").endswith("to keep it as one")


# --- images -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("orientation", [1, 2, 3, 4, 5, 6, 7, 8])
@pytest.mark.parametrize("annotated", ["shown", "stored"])
def test_a_photograph_turned_by_exif(source: Path, orientation: int, annotated: str) -> None:
    from PIL import ImageOps

    exif = Image.Exif()
    exif[0x0112] = orientation
    photograph = Image.new("RGB", (30, 20), (0, 0, 0))
    photograph.paste((250, 250, 250), (3, 2, 9, 12))
    photograph.save(source / "eye.png", exif=exif)
    turned = ImageOps.exif_transpose(Image.open(source / "eye.png"))
    drawn = photograph if annotated == "stored" and orientation > 4 else turned
    rows, columns = np.nonzero(np.array(drawn.convert("L")))
    left, top, right, bottom = int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1
    points = [[left, top], [right, top], [right, bottom], [left, bottom]]
    write_labelme_file(source / "eye.json", "eye.png", drawn.size[::-1], [labelme_shape("iris", points)])
    imported = run(source)
    np.testing.assert_array_equal(mask_of(imported.folder) > 0, np.array(turned.convert("L")) > 0)
    assert ("orientation-unsure" in codes(imported)) == (orientation in (2, 3, 4))


def test_an_image_of_another_size_than_annotated_is_left_out(source: Path) -> None:
    labelme(source, [labelme_shape("iris", SQUARE)])
    labelme(source, [labelme_shape("iris", SQUARE)], "other")
    picture(source / "other.png", (10, 15))
    imported = run(source)
    assert imported.images == 1
    assert "found 10 x 15 px, where 20 x 30 px were annotated" in codes(imported)["image-size"]
    assert sorted(path.name for path in (imported.folder / "images").iterdir()) == ["eye.png"]


def test_same_names_in_several_folders_are_told_apart(source: Path) -> None:
    for folder, label in (("a", "iris"), ("b", "pupil")):
        labelme(source / folder, [labelme_shape(label, SQUARE)])
    imported = run(source)
    assert sorted(path.name for path in (imported.folder / "images").iterdir()) == ["a_eye.png", "b_eye.png"]
    assert mask_of(imported.folder, "a_eye").max() == 1
    assert mask_of(imported.folder, "b_eye").max() == 2


def test_an_image_inside_the_annotation_file_is_taken(source: Path) -> None:
    path = labelme(source, [labelme_shape("iris", SQUARE)])
    content = json.loads(path.read_text())
    content["imageData"] = base64.b64encode((source / "eye.png").read_bytes()).decode()
    content["imagePath"] = "..\\..\\elsewhere\\Auge 1.png"
    path.write_text(json.dumps(content))
    (source / "eye.png").unlink()
    imported = run(source)
    assert [path.name for path in (imported.folder / "images").iterdir()] == ["Auge_1.png"]
    assert mask_of(imported.folder, "Auge_1").sum() == 36


ESCAPES = ["../secret.png", "/{0}/secret.png", "..\\secret.png", "x/../../secret.png", "C:\\secret.png", "a\0.png", ""]


@pytest.mark.parametrize("name", ESCAPES)
@pytest.mark.parametrize("kind", ["labelme", "coco", "cvat", "via", "labelstudio"])
def test_a_path_in_a_source_never_leads_out_of_it(source: Path, kind: str, name: str) -> None:
    picture(source.parent / "secret.png")
    picture(source / "eye.png")
    name = name.format(source.parent.as_posix().lstrip("/"))
    writers: dict[str, Callable[[], object]] = {
        "labelme": lambda: write_labelme_file(source / "e.json", name, (20, 30), [labelme_shape("iris", SQUARE)]),
        "coco": lambda: (source / "e.json").write_text(json.dumps(coco(file_name=name))),
        "cvat": lambda: cvat(source, "", f'name="{name.replace(chr(0), "")}" width="30" height="20"'),
        "via": lambda: (source / "e.json").write_text(json.dumps({"k": {"filename": name, "regions": []}})),
        "labelstudio": lambda: (source / "e.json").write_text(
            json.dumps([{"data": {"image": name}, "annotations": [{"result": []}]}])
        ),
    }
    writers[kind]()
    with pytest.raises(DataError):
        run(source)
    assert not (source.parent / "data").exists()


def coco(**image: Any) -> dict[str, Any]:
    annotation = {"id": 1, "image_id": 1, "category_id": 1, "segmentation": [[2, 2, 8, 2, 8, 8, 2, 8]]}
    entry = {"id": 1, "file_name": "eye.png", "height": 20, "width": 30} | image
    return {"images": [entry], "annotations": [annotation], "categories": [{"id": 1, "name": "iris"}]}


def test_a_missing_and_an_unreadable_image_are_left_out_and_the_rest_is_taken(source: Path) -> None:
    for name in ("eye", "gone", "bad"):
        labelme(source, [labelme_shape("iris", SQUARE)], name)
    (source / "gone.png").unlink()
    (source / "bad.png").write_text("no picture")
    (source / "torn.json").write_text('{"shapes": [')
    imported = run(source)
    assert {"image-missing", "image-unreadable", "file-damaged"} <= set(codes(imported))
    assert imported.images == 1
    assert (imported.folder / "import.json").is_file()


def test_images_may_lie_elsewhere_and_stay_there(source: Path, tmp_path: Path) -> None:
    picture(tmp_path / "camera" / "deep" / "eye.png")
    path = source / "instances.json"
    path.write_text(json.dumps(coco()))
    with pytest.raises(DataError, match="--images"):
        run(path)
    imported = run(path, images=tmp_path / "camera", link=True)
    assert not (imported.folder / "images").exists()
    assert (imported.folder / "split.csv").read_text().splitlines()[1] == "../camera/deep/eye.png,masks/eye.png"
    index = ocuseg.check(imported.folder).index
    assert [record.image.resolve() for record in index.records] == [tmp_path / "camera" / "deep" / "eye.png"]


# --- splits and groups ------------------------------------------------------------------------------------------------


def test_the_name_of_the_whole_folder_makes_no_split_of_coco(tmp_path: Path) -> None:
    source = tmp_path / "slit-lamp-test-2024"
    source.mkdir()
    picture(source / "eye.png")
    (source / "instances.json").write_text(json.dumps(coco()))
    assert not (run(source).folder / "split.csv").exists()
    (source / "instances.json").rename(source / "instances_val.json")
    named = ocuseg.import_annotations(source, out=tmp_path / "named")
    assert ",val" in (named.folder / "split.csv").read_text()


def test_cases_of_supervisely_are_groups_and_its_tags_splits(source: Path) -> None:
    for case in ("case_1", "case_2"):
        write_supervisely(source / case, {"eye.png": np.ones((9, 9), np.uint8)})
    imported = run(source)
    assert (imported.folder / "split.csv").read_text().splitlines() == [
        "image,mask,group",
        "images/case_1_ds1_img_eye.png,masks/case_1_ds1_img_eye.png,case_1/ds1",
        "images/case_2_ds1_img_eye.png,masks/case_2_ds1_img_eye.png,case_2/ds1",
    ]
    path = source / "case_2" / "ds1" / "ann" / "eye.png.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"tags": [{"name": "val"}]}))
    second = ocuseg.import_annotations(source, out=source.parent / "second")
    rows = (second.folder / "split.csv").read_text().splitlines()
    assert rows[0] == "image,mask,split,group"
    assert [row.split(",")[2] for row in rows[1:]] == ["train", "val"]


def test_the_test_set_of_nnunet_is_a_split_and_further_channels_are_a_loss(source: Path) -> None:
    masks = {"a.png": np.ones((9, 9), np.uint8), "b.png": np.ones((9, 9), np.uint8)}
    write_nnunet(source, masks)
    picture(source / "imagesTr" / "b_0001.png", (9, 9))
    picture(source / "imagesTs" / "c_0000.png", (9, 9))
    (source / "labelsTs").mkdir()
    Image.fromarray(masks["a.png"]).save(source / "labelsTs" / "c.png")
    imported = run(source)
    assert "a case of 2 files" in codes(imported)["channels-several"]
    rows = (imported.folder / "split.csv").read_text().splitlines()
    assert [row.split(",")[2] for row in rows[1:]] == ["train", "test"]


def test_subsets_of_cvat_are_splits(source: Path) -> None:
    picture(source / "images" / "Train" / "eye.png")
    shape = '<polygon label="iris" points="2,2;8,2;8,8" z_order="0"/>'
    cvat(source, shape, 'name="eye.png" subset="Train" width="30" height="20"')
    imported = run(source)
    assert (imported.folder / "split.csv").read_text().splitlines()[1] == "images/eye.png,masks/eye.png,train"


# --- several annotators, crowds, attributes, damaged files ------------------------------------------------------------


def test_a_second_annotation_in_label_studio_is_a_loss(source: Path) -> None:
    picture(source / "eye.png")

    def one(label: str, **more: Any) -> dict[str, Any]:
        value = {"points": [[0, 0], [50, 0], [50, 50], [0, 50]], "polygonlabels": [label]}
        common = {"original_width": 30, "original_height": 20, "image_rotation": 0, "type": "polygonlabels"}
        return {"result": [common | {"id": "x", "value": value}]} | more

    annotations = [one("gone", was_cancelled=True), one("first"), one("truth", ground_truth=True)]
    (source / "e.json").write_text(json.dumps([{"data": {"image": "eye.png"}, "annotations": annotations}]))
    imported = run(source)
    assert imported.classes.names == ("background", "truth")
    assert mask_of(imported.folder).sum() == 150
    assert set(codes(imported)) == {"annotation-second"}


def test_shapes_of_label_studio_without_an_id_share_no_labels(source: Path) -> None:
    picture(source / "eye.png")
    results = []
    for left, label in ((0, "iris"), (50, "pupil")):
        value = {"points": [[left, 0], [left + 40, 0], [left + 40, 50], [left, 50]], "polygonlabels": [label]}
        results.append({"original_width": 30, "original_height": 20, "type": "polygonlabels", "value": value})
    (source / "e.json").write_text(json.dumps([{"data": {"image": "eye.png"}, "annotations": [{"result": results}]}]))
    imported = run(source)
    assert imported.classes.names == ("background", "iris", "pupil")
    assert np.unique(mask_of(imported.folder), return_counts=True)[1].tolist() == [600 - 240, 120, 120]
    assert codes(imported) == {}


def test_boxes_without_outlines_and_crowds_of_coco(source: Path) -> None:
    picture(source / "eye.png")
    content = coco()
    box = {"id": 2, "image_id": 1, "category_id": 1, "bbox": [1, 1, 5, 5], "segmentation": []}
    crowd = {"id": 3, "image_id": 1, "category_id": 1, "iscrowd": 1}
    runs = {"size": [20, 30], "counts": [0, 20, 580]}
    lie = {"size": [20000, 30000], "counts": [0, 600000000]}
    unlisted = {"id": 5, "image_id": 9, "category_id": 1, "segmentation": [[2, 2, 8, 2, 8, 8, 2, 8]]}
    content["annotations"] += [box, crowd | {"segmentation": runs}, crowd | {"segmentation": lie}, unlisted]
    (source / "e.json").write_text(json.dumps(content))
    imported = run(source)
    assert set(codes(imported)) == {"shape-without-area", "crowd-filled", "shape-damaged", "image-missing"}
    assert mask_of(imported.folder).sum() == 36 + 20


def test_the_attribute_of_via_is_asked_for_where_it_is_not_plain(source: Path) -> None:
    picture(source / "eye.png")
    shape = {"name": "circle", "cx": 10, "cy": 10, "r": 4}
    regions = [{"shape_attributes": shape, "region_attributes": {"finding": "drusen", "eye": "left"}}]
    (source / "e.json").write_text(json.dumps({"k": {"filename": "eye.png", "regions": regions}}))
    with pytest.raises(UsageError, match="finding, eye; say with --attribute"):
        run(source)
    assert run(source, attribute="finding").classes.names == ("background", "drusen")


def test_an_outline_of_via_may_have_as_many_points_as_it_likes(source: Path) -> None:
    picture(source / "eye.png")
    xs, ys = [2, *np.linspace(2, 8, 20_000), 8], [2, *[8] * 20_000, 2]
    shape = {"name": "polygon", "all_points_x": xs, "all_points_y": ys}
    with (source / "via.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["filename", "region_shape_attributes", "region_attributes"])
        table.writerow(["eye.png", json.dumps(shape), json.dumps({"label": "iris"})])
    limit = csv.field_size_limit()
    assert mask_of(run(source).folder).sum() == 36
    assert csv.field_size_limit() == limit


@pytest.mark.parametrize("ticked", [{"iris": True, "pupil": True, "lens": False}, {"iris": False, "pupil": True}])
def test_the_further_boxes_that_were_ticked_in_via_are_a_loss(source: Path, ticked: dict[str, bool]) -> None:
    picture(source / "eye.png")
    shape = {"name": "circle", "cx": 10, "cy": 10, "r": 4}
    regions = [{"shape_attributes": shape, "region_attributes": {"kind": ticked}}]
    (source / "e.json").write_text(json.dumps({"k": {"filename": "eye.png", "regions": regions}}))
    imported = run(source)
    on = [label for label, box in ticked.items() if box]
    assert imported.classes.names == ("background", on[0])
    assert list(codes(imported)) == ["label-second"] * (len(on) - 1)
    assert all("'pupil' of a shape that is 'iris'" in said for said in codes(imported).values())


@pytest.mark.parametrize("apart", [False, True], ids=["one result", "a result for the labels"])
def test_the_further_labels_of_a_shape_in_label_studio_are_a_loss(source: Path, apart: bool) -> None:
    picture(source / "eye.png")
    value = {"points": [[0, 0], [50, 0], [50, 50], [0, 50]]}
    labels = ["iris", "pupil"]
    common = {"id": "x", "original_width": 30, "original_height": 20, "image_rotation": 0}
    results = [common | {"type": "polygonlabels", "value": value | {"polygonlabels": labels}}]
    if apart:
        results = [
            common | {"type": "polygon", "value": value},
            common | {"type": "labels", "value": value | {"labels": labels}},
        ]
    (source / "e.json").write_text(json.dumps([{"data": {"image": "eye.png"}, "annotations": [{"result": results}]}]))
    imported = run(source)
    assert imported.classes.names == ("background", "iris")
    assert mask_of(imported.folder).sum() == 150
    assert list(codes(imported)) == ["label-second"]
    assert "'pupil' of a shape that is 'iris'" in codes(imported)["label-second"]


@pytest.mark.parametrize(
    "head", ['<!DOCTYPE a [<!ENTITY x "y">]>', '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/hostname">]>']
)
def test_xml_with_entities_is_refused(source: Path, head: str) -> None:
    picture(source / "eye.png")
    cvat(source, '<polygon label="&x;" points="2,2;8,2;8,8"/>', head=head)
    with pytest.raises(DataError, match="document type"):
        run(source)


def test_a_bitmap_that_would_unpack_without_end_is_left_out(source: Path) -> None:
    write_supervisely(source, {"eye.png": np.ones((9, 9), np.uint8)})
    path = source / "ds1" / "ann" / "eye.png.json"
    content = json.loads(path.read_text())
    bomb = base64.b64encode(zlib.compress(bytes(200_000_000), 9)).decode()
    picture_file = io.BytesIO()
    Image.new("1", (1, 1), 1).save(picture_file, format="PNG")
    giant = bytearray(picture_file.getvalue())
    giant[16:24] = (60_000).to_bytes(4, "big") * 2
    for data in (bomb, base64.b64encode(zlib.compress(bytes(giant))).decode(), "%%%", ""):
        shape = {"classTitle": "iris", "geometryType": "bitmap", "bitmap": {"data": data, "origin": [0, 0]}}
        content["objects"].append(shape)
    path.write_text(json.dumps(content))
    imported = run(source)
    damaged = [finding for finding in imported.findings if finding.code == "shape-damaged"]
    assert len(damaged) >= 2
    assert mask_of(imported.folder).all()


def test_json_nested_without_end_is_no_format(source: Path) -> None:
    (source / "e.json").write_text("[" * 100_000)
    with pytest.raises(DataError, match="is in no format that is known"):
        run(source)


def test_many_polygons_are_drawn_in_reasonable_time(source: Path) -> None:
    import time

    shapes = [
        labelme_shape("iris", [[x, y], [x + 1, y], [x + 1, y + 1], [x, y + 1]])
        for x in range(0, 30, 2)
        for y in range(0, 20, 2)
    ]
    labelme(source, shapes * 100)
    started_s = time.perf_counter()
    imported = run(source)
    assert time.perf_counter() - started_s < 60
    assert imported.shapes == 15_000
    assert mask_of(imported.folder).sum() == 150


# --- the folder that is written ---------------------------------------------------------------------------------------


def test_nothing_is_replaced_and_nothing_is_left_behind(source: Path) -> None:
    labelme(source, [labelme_shape("iris", SQUARE)])
    data = source.parent / "data"
    data.mkdir()
    (data / "notes.txt").write_text("years of work")
    with pytest.raises(OutputError, match=r"holds notes\.txt"):
        run(source)
    (data / "notes.txt").unlink()
    run(source)
    with pytest.raises(OutputError, match="never replaced"):
        run(source)
    assert sorted(path.name for path in source.parent.iterdir()) == ["data", "source"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"format": "labelmee"}, "did you mean 'labelme'"),
        ({"order": "random"}, "is no order"),
        ({"attribute": "x"}, "is for VIA"),
        ({"images": "nowhere"}, "is no folder"),
    ],
)
def test_wrong_use(source: Path, options: dict[str, Any], message: str) -> None:
    labelme(source, [labelme_shape("iris", SQUARE)])
    with pytest.raises(UsageError, match=message):
        run(source, **options)
    with pytest.raises(UsageError, match="does not exist"):
        run(source / "nothing")


def test_an_archive_is_not_unpacked(source: Path) -> None:
    path = source / "export.zip"
    path.write_bytes(b"PK")
    with pytest.raises(DataError, match="unpack it"):
        run(path)
