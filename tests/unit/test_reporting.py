import base64
import csv
import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ocuseg.classes import Classes, ClassInfo, default_classes
from ocuseg.encoding import MaskEncoding
from ocuseg.errors import DataError, OutputError
from ocuseg.evaluation import evaluate_records
from ocuseg.evaluation.curves import calibration_bins, precision_recall
from ocuseg.index.records import Record
from ocuseg.metrics import LEVELS, calibration_error
from ocuseg.reporting import require_replaceable, scores_table, write_evaluation, writing

IDS = MaskEncoding("ids", ((0, 0), (1, 1), (2, 2)))


class Red:
    """The red of an image is the probability of class 1; for three classes green is that of class 2."""

    def __init__(self, classes, name="red", threshold=0.5):
        self.classes, self.name = classes, name
        self.threshold = threshold if len(classes) == 2 else None

    def probabilities(self, image):
        levels = image.astype(np.float32).transpose(2, 0, 1) / 255
        return levels[:1] if len(self.classes) == 2 else np.stack([1 - levels[0] - levels[1], levels[0], levels[1]])


@pytest.fixture
def records(tmp_path):
    """Images whose masks are predicted the worse the higher their number is."""

    def make(count, num_classes=2, second=True):
        made = []
        for index in range(count):
            rng = np.random.default_rng(index)
            rows, columns = np.mgrid[:48, :64]
            mask = ((rows - 24) ** 2 + (columns - 20) ** 2 < 150).astype(np.uint8)
            if num_classes == 3:
                mask[(rows - 24) ** 2 + (columns - 20) ** 2 < 30] = 2
            image = np.zeros((48, 64, 3), dtype=np.uint8)
            found = np.roll(mask, index, axis=1)
            image[..., 0], image[..., 1] = 180 * (found == 1), 180 * (found == 2)
            image[..., :2] += rng.integers(0, 60, size=(48, 64, 1)).astype(np.uint8)
            paths = {}
            for name, array in (("image", image), ("mask", mask), ("second_mask", np.roll(mask, 1, axis=0))):
                paths[name] = tmp_path / f"{index}_{name}.png"
                Image.fromarray(array).save(paths[name])
            if not second:
                del paths["second_mask"]
            made.append(Record(f"eye {index:02d} <&>", group=f"p{index // 2}", **paths))
        return made

    return make


@pytest.fixture
def written(records, tmp_path):
    evaluation = evaluate_records(
        Red(default_classes(2)), records(4), IDS, split="test",
        provenance={"model": "<b>red</b>", "data_hash": "ab" * 32, "threshold_chosen_on": "val"},
    )  # fmt: skip
    return evaluation, write_evaluation(evaluation, tmp_path / "out")


class Outline(HTMLParser):
    """Collects what a page refers to, and checks that its tags close in order."""

    def __init__(self, text):
        super().__init__()
        self.stack, self.sources, self.words = [], [], []
        self.feed(text)
        assert not self.stack

    def handle_starttag(self, tag, attributes):
        if tag not in ("meta", "br", "input"):
            self.stack.append(tag)
        self.sources += [value for key, value in attributes if key in ("src", "href")]
        for _, value in attributes:
            self.sources += re.findall(r"url\((.*?)\)", value or "")

    def handle_startendtag(self, tag, attributes):
        """A shape of a drawing, which has no content."""

    def handle_endtag(self, tag):
        assert self.stack.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def test_everything_of_the_contract_is_there(written):
    evaluation, folder = written
    assert {path.name for path in folder.iterdir()} == {
        "metrics.json", "per_image.csv", "thresholds.csv", "thresholds.png", "confusion.csv", "masks", "overlays",
        "report.html",
    }  # fmt: skip
    names = {record.name for record in evaluation.records}
    assert {path.stem for path in (folder / "masks").iterdir()} == names
    assert {path.stem for path in (folder / "overlays").iterdir()} == names
    assert json.loads((folder / "metrics.json").read_text(encoding="utf-8")) == evaluation.to_json()
    with Image.open(folder / "masks" / f"{evaluation.records[1].name}.png") as picture:
        assert picture.mode == "P"
        assert np.array_equal(np.asarray(picture), evaluation.mask(1))


def test_the_tables_say_what_the_scores_say(written):
    evaluation, folder = written
    with (folder / "per_image.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    counts = [2 * int(row["prediction_px"]) for row in rows]
    assert len(rows) == 4
    assert min(counts) > 0
    mean = np.mean([float(row["dice"]) for row in rows])
    assert mean == pytest.approx(evaluation.to_json()["classes"][0]["dice"]["per_image"], abs=1e-5)
    with (folder / "thresholds.csv").open(newline="", encoding="utf-8") as file:
        swept = list(csv.DictReader(file))
    assert [row["threshold"] for row in swept[:2]] == ["0.01", "0.02"]
    (half,) = (row for row in swept if row["threshold"] == "0.5")
    assert float(half["dice"]) == pytest.approx(evaluation.to_json()["classes"][0]["dice"]["pooled"], abs=1e-6)
    assert {"dice", "iou", "precision", "recall"} <= set(half)


def test_the_page_opens_offline_and_escapes_what_it_is_given(written):
    page = (written[1] / "report.html").read_text(encoding="utf-8")
    outline = Outline(page)
    outside = [source for source in outline.sources if not source.startswith(("data:image/", "overlays/", "#"))]
    assert outside == []
    assert not re.search(r"https?://|@import|url\((?!data:image/)| src=", page)
    assert page.count("<script") == 1
    assert "default-src 'none'" in page
    assert "<b>red</b> on test" in "".join(outline.words)
    for source in outline.sources:
        if source.startswith("overlays/"):
            assert re.fullmatch(r"overlays/[\w.%-]+", source)
        elif source.startswith("#"):
            assert f'id="{source[1:]}"' in page
        else:
            Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))).verify()


def test_a_hostile_name_stays_text(records, tmp_path):
    name = "x\"'><script>alert(1)<&script>"
    (record,) = records(1)
    classes = Classes((ClassInfo(0, "background", "#000000"), ClassInfo(1, "<img src=x onerror=alert(2)>", "#e69f00")))
    hostile = replace(record, name=name, group="<iframe>")
    evaluation = evaluate_records(Red(classes), [hostile], IDS, split="<u>", provenance={"model": "</title><style>"})
    page = (write_evaluation(evaluation, tmp_path / "out") / "report.html").read_text(encoding="utf-8")
    outline = Outline(page)
    assert page.count("<script") == 1
    assert not re.search(r"<(img|iframe|u)\b", page)
    assert {name, "<iframe>", "</title><style> on <u>"} <= set(outline.words)


def test_the_page_shows_scores_intervals_observer_and_protocol(written):
    scores = written[0].to_json()
    text = " ".join(Outline((written[1] / "report.html").read_text(encoding="utf-8")).words)
    dice = scores["classes"][0]["dice"]
    for wanted in (
        f"{dice['pooled']:.4f}", f"{dice['ci95'][0]:.4f} to {dice['ci95'][1]:.4f}", "2nd observer", "ab" * 32,
        scores["rule"], "chosen on val", "persons, eyes or videos", "not a medical device",
    ):  # fmt: skip
        assert wanted in text
    assert "This network is dead" not in text


def test_a_dead_network_and_a_failed_image_stand_on_top(records, tmp_path):
    few = records(3)
    few[2].mask.write_bytes(b"")
    evaluation = evaluate_records(Red(default_classes(2), threshold=1.0), few, IDS)
    folder = write_evaluation(evaluation, tmp_path / "out")
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "This network is dead" in page
    assert page.index('class="box dead"') < page.index('class="box failed"') < page.index('class="tiles"')
    assert "foreground is never predicted" in page
    assert "2_mask.png" in page
    assert scores_table(evaluation.to_json()).startswith("DEAD: foreground is never predicted")
    elsewhere = scores_table(evaluation.to_json(), with_faults=False)
    assert "never predicted" not in elsewhere
    assert "2_mask.png" not in elsewhere
    assert len(list((folder / "masks").iterdir())) == 2


def test_of_very_many_images_the_worst_are_shown(records, tmp_path, monkeypatch):
    monkeypatch.setattr("ocuseg.reporting.writing.MOST_SHOWN", 6)
    evaluation = evaluate_records(Red(default_classes(2)), records(9), IDS, borders=False)
    seen = []
    folder = write_evaluation(evaluation, tmp_path / "out", progress=lambda *at: seen.append(at))
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert re.findall(r"<h3><span>eye (\d\d)", page) == ["08", "07", "06", "05", "04", "03"]
    assert "The 6 worst are shown; all 9 are in the folder overlays." in page
    assert len(list((folder / "overlays").iterdir())) == 9
    assert page.count("<tr data-name=") == 9
    assert seen[-1] == (9, 9)


def test_the_curves_of_the_run_and_the_command_are_there_where_they_are_known(records, tmp_path):
    history = tmp_path / "history.csv"
    history.write_text(
        "epoch,learning_rate,train_loss,val_dice,time_s\n1,0.1,0.9,,2\n2,0.1,0.4,0.6,2\n", encoding="utf-8"
    )
    facts = {"epoch": 2, "command": "ocuseg evaluate 'a <model>' data", "versions": {"numpy": "9.9.9", "torch": None}}
    evaluation = evaluate_records(Red(default_classes(2)), records(2), IDS, borders=False, provenance=facts)

    def written(name: str, *histories: Path) -> str:
        folder = write_evaluation(evaluation, tmp_path / name, histories=histories)
        return (folder / "report.html").read_text(encoding="utf-8")

    words = Outline(written("a", history)).words
    assert {"Loss by epoch", "train loss", "val dice", "these weights: epoch 2"} <= set(words)
    assert "learning rate" not in words
    assert "ocuseg evaluate 'a <model>' data" in words
    assert "Made with numpy 9.9.9." in words
    assert "Loss by epoch" not in written("b", tmp_path / "none")
    folds = written("c", history, tmp_path / "none", history)
    assert re.findall(r"<h3>(Fold \d)</h3>", folds) == ["Fold 1", "Fold 3"]
    assert Outline(folds).words.count("Loss by epoch") == 2
    assert "these weights" not in folds


def test_bins_and_curves_say_what_was_counted():
    histogram = np.zeros((2, LEVELS), dtype=np.int64)
    half = (LEVELS - 1) // 2
    histogram[0, 0], histogram[1, half], histogram[0, half], histogram[1, -1] = 5, 1, 2, 2
    bins = calibration_bins(histogram)
    assert [row["pixels"] for row in bins] == [5, *[0] * 6, 3, *[0] * 6, 2]
    assert bins[0] == {"pixels": 5, "probability": 0.0, "share": 0.0}
    assert (bins[7]["probability"], bins[7]["share"]) == pytest.approx((0.5, 1 / 3), abs=1e-5)
    assert bins[1]["share"] is None
    error = sum(row["pixels"] * abs(row["share"] - row["probability"]) for row in bins if row["pixels"]) / 10
    assert error == pytest.approx(float(calibration_error(histogram)), abs=1e-6)
    curve = precision_recall(histogram)
    assert curve.recall.tolist() == pytest.approx([2 / 3, 1.0])
    assert curve.precision.tolist() == pytest.approx([1.0, 3 / 5])
    assert precision_recall(histogram[:, :half]).recall.size == 0


def test_more_classes_get_an_overview_and_a_confusion(records, tmp_path):
    classes = Classes(
        (
            ClassInfo(0, "background", "#000000"),
            ClassInfo(1, "iris", "#e69f00"),
            ClassInfo(2, "pupil", "#56b4e9", parent="iris"),
        )
    )
    evaluation = evaluate_records(Red(classes), records(3, 3, second=False), IDS)
    folder = write_evaluation(evaluation, tmp_path / "out")
    assert (folder / "confusion.png").is_file()
    counts = evaluation.to_json()["confusion"]
    assert counts == {"classes": ["background", "iris", "pupil"], "counts": evaluation.confusion.tolist()}
    with (folder / "confusion.csv").open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    assert header == ["reference", "background", "iris", "pupil"]
    assert [[row[0], *map(int, row[1:])] for row in rows] == [
        [name, *pixels] for name, pixels in zip(counts["classes"], counts["counts"], strict=True)
    ]
    assert sum(sum(pixels) for pixels in counts["counts"]) == sum(
        row["pixels"] for row in evaluation.image_rows() if row["class_id"] == 1
    )
    text = " ".join(Outline((folder / "report.html").read_text(encoding="utf-8")).words)
    assert "mean, with background" in text
    assert "Share of iris" in text
    assert "2nd observer" not in text
    assert "other class" in text
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert re.findall(r'swatch" style="background: rgb\((.*?)\)"></span>(iris|pupil)', page) == [
        ("230, 159, 0", "iris"), ("86, 180, 233", "pupil"),
    ]  # fmt: skip
    row = evaluation.confusion[2]
    assert f"{100 * row[2] / row.sum():.1f} %<small>{row[2]:,}</small>" in page
    table = scores_table(evaluation.to_json())
    assert "IoU, with background (mIoU)" in table
    lines = {line.split("  ")[0]: line.split() for line in table.splitlines()}
    scores = evaluation.to_json()["classes"][1]
    assert lines["pupil"][1] == f"{scores['dice']['pooled']:.4f}"
    assert f"{scores['iou']['pooled']:.4f}" in lines["pupil"]
    assert {"iris", "pupil", "background"} < set(lines)
    assert "best one on these images" not in table


def test_a_name_between_dollar_signs_is_no_formula(records, tmp_path):
    classes = Classes(
        tuple(ClassInfo(id_, name, "#e69f00") for id_, name in enumerate(("$b_$", "$x^$", "$\\nothing$")))
    )
    folder = write_evaluation(evaluate_records(Red(classes), records(2, 3, second=False), IDS), tmp_path / "out")
    assert {"thresholds.png", "confusion.png"} <= {path.name for path in folder.iterdir()}


def test_an_image_too_large_to_be_drawn_has_its_scores_nevertheless(records, tmp_path, monkeypatch, caplog):
    evaluation = evaluate_records(Red(default_classes(2)), records(2, second=False), IDS)
    draw = writing.draw_overlay

    def drawn(image, mask, *rest, **more):
        if (tmp_path / "large").exists():
            raise MemoryError
        (tmp_path / "large").touch()
        return draw(image, mask, *rest, **more)

    monkeypatch.setattr(writing, "draw_overlay", drawn)
    folder = write_evaluation(evaluation, tmp_path / "out")
    assert len(list((folder / "overlays").iterdir())) == 1
    assert json.loads((folder / "metrics.json").read_text())["images"] == 2
    assert "needs more memory to be drawn than there is" in caplog.text


def test_an_overlay_longer_than_jpeg_allows_is_drawn_smaller(records, tmp_path, monkeypatch):
    found = records(1, second=False)
    with Image.open(found[0].image) as image:
        height, width = image.height, image.width
    monkeypatch.setattr(writing, "_MOST_JPEG_PX", max(height, width) // 2)
    folder = write_evaluation(evaluate_records(Red(default_classes(2)), found, IDS), tmp_path / "out")
    (overlay,) = (folder / "overlays").iterdir()
    with Image.open(overlay) as drawn:
        assert max(drawn.size) <= max(height, width) // 2
    (mask,) = (folder / "masks").iterdir()
    with Image.open(mask) as whole:
        assert whole.size == (width, height)


def test_the_mean_is_said_to_be_of_the_classes_that_are_there(records, tmp_path):
    classes = Classes(tuple(ClassInfo(id_, name, "#e69f00") for id_, name in enumerate(("none", "iris", "pupil"))))
    folder = write_evaluation(evaluate_records(Red(classes), records(2, second=False), IDS), tmp_path / "out")
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "Its mean over the 1 classes that are in the images or the masks is" in page


def test_an_earlier_evaluation_is_replaced_and_nothing_else_is(written, tmp_path):
    evaluation, folder = written
    (folder / "masks" / "old.png").write_bytes(b"")
    write_evaluation(evaluation, folder)
    assert not (folder / "masks" / "old.png").exists()
    (folder / "notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(OutputError, match=r"holds notes.txt, which no evaluation wrote"):
        write_evaluation(evaluation, folder)
    assert (folder / "notes.txt").read_text(encoding="utf-8") == "mine"
    data = tmp_path / "data"
    (data / "masks").mkdir(parents=True)
    with pytest.raises(OutputError, match="holds masks"):
        require_replaceable(data)
    with pytest.raises(OutputError, match="is a file"):
        require_replaceable(folder / "metrics.json")
    require_replaceable(tmp_path / "new" / "folder")
    assert not (tmp_path / "new" / "folder").exists()


def test_a_failure_half_way_leaves_what_was_there(written):
    evaluation, folder = written
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    evaluation.records[2].image.unlink()
    with pytest.raises(DataError, match=r"2_image.png"):
        write_evaluation(evaluation, folder)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    assert [path.name for path in folder.parent.iterdir() if path.is_dir()] == [folder.name]


def test_the_smallest_image_and_an_empty_region_are_reported_too(tmp_path):
    paths = {}
    for name, value in (("image", (255, 0, 0)), ("mask", 1), ("field_of_view", 0)):
        paths[name] = tmp_path / f"{name}.png"
        Image.fromarray(np.full((1, 1, 3) if name == "image" else (1, 1), value, dtype=np.uint8)).save(paths[name])
    bounded = Record("bounded", **paths)
    whole = Record("whole", paths["image"], paths["mask"])
    evaluation = evaluate_records(Red(default_classes(2)), [whole, bounded], IDS, threads=True)
    assert evaluation.to_json()["classes"][0]["dice"] == {
        "pooled": 1.0,
        "per_image": 1.0,
        "ci95": [1.0, 1.0],
        "images": 1,
    }
    assert evaluation.best_first() == [0, 1]
    folder = write_evaluation(evaluation, tmp_path / "out")
    assert len(list((folder / "overlays").iterdir())) == 2
    only = evaluate_records(Red(default_classes(2)), [bounded], IDS, threads=True)
    assert only.to_json()["classes"][0]["dice"]["pooled"] is None
    write_evaluation(only, tmp_path / "nothing")


def test_the_text_table_lines_up(written):
    lines = scores_table(written[0].to_json()).splitlines()
    start = next(index for index, line in enumerate(lines) if line.startswith("foreground"))
    assert lines[start].split()[:2] == ["foreground", "pooled"]
    assert lines[start + 1].startswith("Dice")
    assert len({len(line) for line in lines[start : start + 5]}) == 1
    assert "threshold 0.5, chosen on val" in lines[-2]


def test_what_made_the_scores_stands_below_them(written):
    metrics = written[0].to_json() | {"model_hash": "cd" * 32, "runtime": "onnxruntime fp32", "flips": True}
    assert scores_table(metrics).splitlines()[-1] == (
        "ocuseg metric rule 1; test, 4 images, whole image; model <b>red</b> cdcdcdcdcdcd; data abababababab; "
        "onnxruntime fp32, average of four flips"
    )
