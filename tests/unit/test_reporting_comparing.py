import csv
import json
import re

import numpy as np
import pytest
from PIL import Image

import ocuseg
from contracts.evaluations import LENS, VESSEL, drawn_records, written_evaluation
from ocuseg.errors import DataError, OutputError

NAMES = [f"eye {index} <&>" for index in range(4)]


@pytest.fixture
def pair(tmp_path):
    """A function that writes two evaluations of one set of images, the second one worse."""

    def make(classes=VESSEL):
        records = drawn_records(tmp_path / "data", NAMES, len(classes))
        first = written_evaluation(records, tmp_path / "a", classes, model="first")
        if len(classes) > 2:  # a most probable class knows no threshold
            for record in records:
                pixels = np.roll(np.asarray(Image.open(record.image)), 6, axis=0)
                Image.fromarray(pixels).save(record.image)
        return first, written_evaluation(records, tmp_path / "b", classes, threshold=0.9, model="second <b>")

    return make


def page_of(folder):
    return (folder / "report.html").read_text(encoding="utf-8")


def test_it_writes_numbers_a_table_and_a_page(pair, tmp_path):
    a, b = pair()
    out = tmp_path / "compared"
    found = ocuseg.compare(a, b, out=out)
    assert {path.name for path in out.iterdir()} == {"comparison.json", "per_image.csv", "report.html"}
    assert json.loads((out / "comparison.json").read_text(encoding="utf-8")) == found.to_json()
    with (out / "per_image.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    with (a / "per_image.csv").open(newline="", encoding="utf-8") as file:
        scores = {row["image"]: float(row["dice"]) for row in csv.DictReader(file)}
    assert {row["image"]: float(row["dice_a"]) for row in rows} == scores
    differences = [float(row["dice_difference"]) for row in rows]
    assert differences == sorted(differences)
    assert np.mean(differences) == pytest.approx(found.rows[0].difference, abs=1e-5)
    page = page_of(out)
    dice = found.rows[0]
    for wanted in (
        f"{dice.difference:+.4f}", f"{dice.ci95[0]:+.4f} to {dice.ci95[1]:+.4f}", "second &lt;b&gt;", dice.verdict,
        "ocuseg compare", "Wilcoxon", "only 2 independent",
    ):  # fmt: skip
        assert wanted in page
    assert "<b>second" not in page
    assert page.count("<script") == 1


def test_each_image_shows_both_predictions_the_largest_difference_first(pair, tmp_path):
    a, b = pair()
    ocuseg.compare(a, b, out=tmp_path / "out")
    page = page_of(tmp_path / "out")
    shown = [float(text) for text in re.findall(r"<b>a − b ([+-][\d.]+)</b>", page)]
    assert len(shown) == 4
    assert shown == sorted(shown, key=lambda value: -abs(value))
    for name in ("overlay_a", "overlay_b", "mask_a", "mask_b", "change"):
        assert page.count(f"--{name}:url(data:image/") == 4
    assert re.findall(r'style="background: rgb\(([\d, ]*)\)"></span>(vessel|only a)', page) == [
        ("86, 180, 233", "vessel"), ("0, 130, 255", "only a"),
    ]  # fmt: skip


def test_several_classes_are_told_apart_and_their_mean_is_the_headline(pair, tmp_path):
    a, b = pair(LENS)
    found = ocuseg.compare(a, b, out=tmp_path / "out")
    page = page_of(tmp_path / "out")
    (mean,) = (row for row in found.rows if row.class_id is None)
    assert f"the mean Dice of a is {mean.mean_a:.4f}" in page
    assert "<option>iris</option><option>lens</option>" in page
    assert page.count("<tr data-name=") == 8
    assert "other class" in page


def test_without_pictures_there_are_still_the_tables(pair, tmp_path):
    a, b = pair()
    for path in (*(b / "overlays").iterdir(), b / "masks" / f"{NAMES[0]}.png"):
        path.unlink()
    ocuseg.compare(a, b, out=tmp_path / "out")
    page = page_of(tmp_path / "out")
    assert "data:image/" not in page
    assert 'class="gallery"' not in page
    assert page.count("<tr data-name=") == 4


def test_a_name_that_leads_elsewhere_shows_nothing(pair, tmp_path):
    a, b = pair()
    for folder in (a, b):
        text = (folder / "per_image.csv").read_text(encoding="utf-8").replace(NAMES[0], "../masks/away")
        (folder / "per_image.csv").write_text(text, encoding="utf-8")
        (folder / "masks" / f"{NAMES[0]}.png").rename(folder / "masks" / "away.png")
        (folder / "overlays" / f"{NAMES[0]}.jpg").rename(folder / "overlays" / "away.jpg")
    ocuseg.compare(a, b, out=tmp_path / "out")
    assert "data:image/" not in page_of(tmp_path / "out")


def test_what_does_not_fit_is_said_in_a_line(pair, tmp_path):
    a, b = pair()
    with Image.open(b / "masks" / f"{NAMES[1]}.png") as mask:
        small = mask.crop((0, 0, 20, 20))
    small.save(b / "masks" / f"{NAMES[1]}.png")
    with pytest.raises(DataError, match=r"the pictures of eye 1 <&> differ in size; run 'ocuseg evaluate' again"):
        ocuseg.compare(a, b, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
    Image.new("RGB", (160, 120)).save(b / "masks" / f"{NAMES[1]}.png")
    with pytest.raises(DataError, match=r"eye 1 <&>.png: is no mask with a palette"):
        ocuseg.compare(a, b, out=tmp_path / "out")
    with pytest.raises(OutputError, match=r"holds \S+, which no comparison wrote"):
        ocuseg.compare(a, b, out=a)
