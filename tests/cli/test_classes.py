"""Many classes on the command line: what evaluate and predict say and write of each, and whose classes hold."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

NAMES = ["background", "iris", "pupil", "cataract", "instrument"]


def rows_of(path: str) -> list[dict[str, str]]:
    with Path(path).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_without_a_test_split_val_is_scored_and_called_no_test(ocuseg, world: Path) -> None:
    answer = ocuseg("evaluate eye-bundle eyes --out new")
    assert "eyes has no test split: the scores are on 'val', which is not a test" in answer.err
    metrics = json.loads(Path("new/metrics.json").read_text(encoding="utf-8"))
    assert (metrics["split"], metrics["images"]) == ("val", 2)
    (line,) = (line for line in metrics["warnings"] if "this is not a test" in line)
    assert f"warning: {line}" in answer.out.splitlines()
    assert line in Path("new/report.html").read_text(encoding="utf-8")
    assert {path.stem for path in Path("new/masks").iterdir()} == {"image5", "image6"}


def test_val_does_not_stand_in_for_test_images_that_are_lost(ocuseg, world: Path) -> None:
    pairs = [(path, "val") for path in sorted(Path("eyes/val/images").iterdir())]
    rows = [f"{image},{str(image).replace('images/image', 'masks/mask')},{split}" for image, split in pairs]
    Path("lost.csv").write_text("\n".join(["image,mask,split", *rows, "eyes/gone.png,eyes/gone_mask.png,test", ""]))
    answer = ocuseg("evaluate eye-bundle lost.csv --out new")
    assert answer.status == 1
    assert "lost.csv: no image of test is there; restore the files, or give --split val" in answer.err
    assert not Path("new").exists()


def test_a_cross_validation_without_its_ensemble_says_how_to_go_on(ocuseg, world: Path) -> None:
    Path("unfinished").mkdir()
    Path("unfinished/folds.csv").write_text("image,group,fold\n")
    answer = ocuseg("predict unfinished eyes/val/images --out masks")
    assert answer.status == 1
    assert "has not ended; go on with 'ocuseg train --resume unfinished'" in answer.err


def test_dead_classes_are_said_once(ocuseg, world: Path) -> None:
    answer = ocuseg("evaluate eye-bundle eyes --out new")
    assert answer.status == 1
    dead = json.loads(Path("new/metrics.json").read_text(encoding="utf-8"))["dead"]
    assert dead
    for sentence in dead:
        assert (answer.out + answer.err).count(sentence) == 1
    assert "docs/" not in answer.out + answer.err


def test_the_confusion_is_a_table_of_all_pixels(ocuseg, world: Path) -> None:
    ocuseg("evaluate eye-bundle eyes --out new")
    rows = rows_of("new/confusion.csv")
    assert list(rows[0]) == ["reference", *NAMES]
    counts = np.array([[int(row[name]) for name in NAMES] for row in rows])
    metrics = json.loads(Path("new/metrics.json").read_text(encoding="utf-8"))
    assert counts.tolist() == metrics["confusion"]["counts"]
    masks = [np.array(Image.open(path)) for path in Path("eyes/val/masks").iterdir()]
    assert counts.sum(axis=1).tolist() == sum(np.bincount(mask.ravel(), minlength=5) for mask in masks).tolist()
    assert Path("new/confusion.png").is_file()


def test_predict_and_evaluate_measure_the_same_areas(ocuseg, world: Path) -> None:
    ocuseg("evaluate eye-bundle eyes --out new")
    assert ocuseg("predict eye-bundle eyes/val/images --out masks").out == "wrote 2 masks, areas.csv to masks\n"
    scored = {(row["image"], row["class_id"]): row for row in rows_of("new/per_image.csv")}
    areas = rows_of("masks/areas.csv")
    assert len(areas) == len(scored) == 10
    for row in areas:
        other = scored[row["image"], row["class_id"]]
        assert row["pixels"] == other["prediction_px"]
        assert row["share_of_image"] == other["prediction_share"]
        assert row["share_of_parent"] == other["prediction_share_of_parent"]
        assert row["parent"] == ("pupil" if row["class"] == "cataract" else "")


def test_a_folder_predicted_in_two_runs_has_one_table(ocuseg, world: Path) -> None:
    ocuseg("predict eye-bundle eyes/val/images --out whole")
    ocuseg("predict eye-bundle eyes/val/images/image6.png --out parts")
    ocuseg("predict eye-bundle eyes/val/images/image5.png --out parts")
    ocuseg("predict eye-bundle eyes/val/images/image6.png --out parts")
    assert Path("parts/areas.csv").read_bytes() == Path("whole/areas.csv").read_bytes()


def test_the_classes_of_the_recipe_take_the_place_of_those_of_the_data(ocuseg, world: Path) -> None:
    given = yaml.safe_load(Path("eyes/classes.yaml").read_text(encoding="utf-8"))
    for row, name in zip(given, ("ground", "iris", "clear lens", "cataract", "tool"), strict=True):
        row["name"] = name
    given[3]["parent"] = "clear lens"
    Path("mine/recipe.yaml").write_text(yaml.safe_dump({"classes": given}), encoding="utf-8")
    plain, answer = ocuseg("check eyes"), ocuseg("check eyes --recipe mine/recipe.yaml")
    assert "the classes: 0 background, 1 iris, 2 pupil, 3 cataract, 4 instrument;" in plain.out
    assert "the classes: 0 ground, 1 iris, 2 clear lens, 3 cataract, 4 tool;" in answer.out
    assert answer.status == 0
    Path("eyes/classes.yaml").unlink()
    assert "the classes: 0 ground, 1 iris, 2 clear lens," in ocuseg("check eyes --recipe mine/recipe.yaml").out


@pytest.mark.parametrize("is_swapped", [False, True])
def test_an_evaluation_has_the_classes_of_the_model(ocuseg, world: Path, is_swapped: bool) -> None:
    rows = yaml.safe_load(Path("eyes/classes.yaml").read_text(encoding="utf-8"))
    if is_swapped:
        rows[1]["name"], rows[2]["name"] = rows[2]["name"], rows[1]["name"]
        Path("eyes/classes.yaml").write_text(yaml.safe_dump(rows), encoding="utf-8")
    ocuseg("evaluate eye-bundle eyes --out new")
    metrics = json.loads(Path("new/metrics.json").read_text(encoding="utf-8"))
    assert [row["name"] for row in metrics["classes"]] == NAMES[1:]
    assert metrics["classes"][2]["area"]["parent"] == "pupil"
    said = "classes.yaml names other classes than the model (1 is pupil, not iris, 2 is iris, not pupil): the names of"
    assert any(line.startswith(said) for line in metrics["warnings"]) is is_swapped


def test_masks_as_ids_palette_and_colours_have_the_same_scores(ocuseg, world: Path) -> None:
    from ocuseg.phantom import eye_classes

    def scores() -> list[object]:
        shutil.rmtree("new", ignore_errors=True)
        ocuseg("evaluate eye-bundle eyes --out new")
        return json.loads(Path("new/metrics.json").read_text(encoding="utf-8"))["confusion"]["counts"]

    as_palette = scores()
    ids = {path: np.array(Image.open(path)) for path in Path("eyes").glob("*/masks/*.png")}
    for path, mask in ids.items():
        Image.fromarray(mask).save(path)
    assert scores() == as_palette
    for path, mask in ids.items():
        Image.fromarray(eye_classes().colours[mask]).save(path)
    assert scores() == as_palette
