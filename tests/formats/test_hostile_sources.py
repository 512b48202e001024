"""What no tool writes but a source may hold: it never ends in a traceback, fills the memory or reaches the terminal."""

from __future__ import annotations

import json
import random
import re
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ocuseg
from formats.annotation_files import (
    WRITERS,
    write_coco,
    write_cvat_masks,
    write_label_studio,
    write_labelme,
    write_nnunet,
    write_supervisely,
)  # fmt: skip
from ocuseg.errors import DataError, OcusegError
from ocuseg.formats.regions import Outline, cover, ring
from ocuseg.formats.runs import unpack_words

MASKS = {"eye.png": np.array([[0, 1, 1], [2, 1, 0]], np.uint8).repeat(4, axis=0).repeat(4, axis=1)}
UNSHOWN = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


def changed(path: Path, *steps: Any) -> None:
    """Give a JSON file another value at a place: keys and indices, then the value."""
    content = json.loads(path.read_text())
    *way, last, value = steps
    place = content
    for step in way:
        place = place[step]
    place[last] = value
    path.write_text(json.dumps(content))


def imported(source: Path) -> Any:
    return ocuseg.import_annotations(source, out=source.parent / "data")


def lines(found: Any) -> str:
    return "\n".join(map(str, found.findings))


# --- numbers ----------------------------------------------------------------------------------------------------------


def test_sizes_without_end_are_said(tmp_path: Path) -> None:
    infinite = float("inf")
    for name, write, file, *place in (
        ("coco", write_coco, "instances.json", "images", 0, "height"),
        ("supervisely", write_supervisely, "ds1/ann/eye.png.json", "size", "height"),
        ("studio", write_label_studio, "project-1.json", 0, "annotations", 0, "result", 0, "original_height"),
        ("nnunet", write_nnunet, "dataset.json", "labels", "iris"),
    ):
        source = write(tmp_path / name, MASKS)
        changed(source / file, *place, infinite)
        with pytest.raises(DataError, match=r"without a size|no annotation|no sound 'labels'"):
            imported(source)


def test_a_brush_that_is_a_number_takes_no_memory() -> None:
    with pytest.raises(ValueError, match="no list"):
        unpack_words(1 << 40, 16)  # type: ignore[arg-type]


def test_many_long_edges_take_little_memory() -> None:
    zigzag = ring([(k % 7, 0 if k % 2 else 3000) for k in range(1000)])
    for through in (False, True):
        tracemalloc.start()
        cover(Outline(((zigzag,),), through), (3000, 10))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 48_000_000  # three million steps of eight bytes are half of that, for each of eight arrays


# --- names and texts --------------------------------------------------------------------------------------------------


def test_a_name_longer_than_any_file_is_a_missing_image(tmp_path: Path) -> None:
    source = write_labelme(tmp_path / "source", MASKS | {"b.png": MASKS["eye.png"]})
    changed(source / "b.json", "imagePath", "b" * 5000)
    assert "no such file" in lines(imported(source))


def test_control_characters_and_halves_of_letters_reach_nothing(tmp_path: Path) -> None:
    source = write_labelme(tmp_path / "source", MASKS | {"b.png": MASKS["eye.png"]})
    changed(source / "eye.json", "shapes", 0, "label", "\x1b[31mi\ud800ris")
    changed(source / "b.json", "imagePath", "\x1b]0;title\x07\ud800.png")
    found = imported(source)
    assert "\N{REPLACEMENT CHARACTER}[31mi\N{REPLACEMENT CHARACTER}ris" in found.classes.names
    for text in (lines(found), (found.folder / "classes.yaml").read_text(), (found.folder / "import.json").read_text()):
        assert not UNSHOWN.search(text)


def test_lists_of_labels_with_empty_names_are_one_line(tmp_path: Path) -> None:
    source = write_cvat_masks(tmp_path / "cvat", MASKS)
    (source / "labelmap.txt").write_text(" :1,2,3::\n")
    with pytest.raises(DataError, match="is no list of 'label:r,g,b::' lines"):
        imported(source)
    source = write_nnunet(tmp_path / "nnunet", MASKS)
    changed(source / "dataset.json", "labels", {"0": "background", "1": " ", "2": "pupil"})
    with pytest.raises(DataError, match="no sound 'labels'"):
        imported(source)
    source = write_supervisely(tmp_path / "supervisely", MASKS)
    changed(source / "meta.json", "classes", 2, "title", 1.5)
    assert imported(source).classes.names == ("background", "iris", "pupil")


def test_texts_that_are_not_utf_8_are_one_line(tmp_path: Path) -> None:
    source = write_labelme(tmp_path / "labelme", MASKS)
    (source / "labels.txt").write_bytes("Früh\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"labels\.txt: cannot be read as a text in UTF-8"):
        imported(source)
    source = write_cvat_masks(tmp_path / "cvat", MASKS)
    (source / "ImageSets" / "Segmentation" / "train.txt").write_bytes(b"\xff\n")
    with pytest.raises(DataError, match=r"train\.txt: cannot be read as a text in UTF-8"):
        imported(source)


def test_xml_in_an_encoding_that_nobody_knows_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "annotations.xml"
    path.write_text("<?xml version='1.0' encoding='klingon'?><annotations/>")
    with pytest.raises(DataError, match="cannot be read as XML"):
        imported(path)


# --- entries ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("key", "other"), [("images", {}), ("categories", {"name": "lid"})])
def test_two_entries_of_one_id_are_refused_as_shapes_could_be_of_either(
    tmp_path: Path, key: str, other: dict[str, str]
) -> None:
    source = write_coco(tmp_path / "source", MASKS)
    path = source / "instances.json"
    entries = json.loads(path.read_text())[key]
    changed(path, key, [*entries, entries[0] | other])
    with pytest.raises(DataError, match=f"two {key} of one id"):
        imported(source)


def test_a_shape_without_a_label_leaves_the_others_of_its_image(tmp_path: Path) -> None:
    source = write_label_studio(tmp_path / "source", MASKS)
    changed(source / "project-1.json", 0, "annotations", 0, "result", 0, "value", "brushlabels", [""])
    found = imported(source)
    assert "a shape without a label" in lines(found)
    assert found.classes.names == ("background", "pupil")


def test_a_torn_file_beside_a_sound_one_is_counted(tmp_path: Path) -> None:
    for name, write in (("coco", write_coco), ("studio", write_label_studio)):
        source = write(tmp_path / name / "source", MASKS)
        (source / "torn.json").write_text('{"images": [')
        found = imported(source)
        assert "torn.json: expected an annotation file, found cannot be read as JSON" in lines(found)
        assert found.images == 1


# --- anything ---------------------------------------------------------------------------------------------------------

VALUES: tuple[Any, ...] = (
    None, [], {}, "", "x", -1, 0, 1.5, float("inf"), float("nan"), 10**30, "\ud800", "\x1b[31m", "a\nb", True, [[]],
    [1], [None], {"a": 1}, "a" * 400,
)  # fmt: skip


def places(content: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if way:
        yield way
    inner = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in inner:
        yield from places(value, (*way, key))


@pytest.mark.parametrize("writer", [name for name in WRITERS if name not in ("via, CSV", "CVAT, masks", "CVAT, XML")])
def test_whatever_stands_in_place_of_a_value_is_a_data_set_or_one_line(writer: str, tmp_path: Path) -> None:
    kind, write = WRITERS[writer]
    source = write(tmp_path / "source", {"eye.png": MASKS["eye.png"][::4, ::4]})
    files = [path for path in sorted(source.rglob("*")) if path.suffix in (".json", ".geojson")]
    rng = random.Random(writer)
    for number in range(60):
        path = rng.choice(files)
        before = path.read_text()
        changed(path, *rng.choice(list(places(json.loads(before)))), rng.choice(VALUES))
        try:
            found = ocuseg.import_annotations(source, out=tmp_path / f"data{number}", format=kind)
            said = lines(found)
        except OcusegError as error:
            said = str(error)
            assert "\n" not in said
        assert not UNSHOWN.search(said)
        path.write_text(before)
