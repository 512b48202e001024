from __future__ import annotations

import csv
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ocuseg.classes import default_classes, parse_classes
from ocuseg.errors import ImageError, ModelError, OutputError, UsageError
from ocuseg.geometry import Preprocessing
from ocuseg.images import HeldImage, write_image, write_mask
from ocuseg.metrics import VESSEL_COLUMNS, quantise
from ocuseg.prediction import Predictor
from ocuseg.prediction.naming import output_names
from ocuseg.prediction.results import predict_files

PLAIN = Preprocessing(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0), multiple=4)

HEADER = "image,class_id,class,pixels,share_of_image,parent,share_of_parent\n"


def predictor_of(num_classes: int = 2, network=None) -> Predictor:
    def colours(images: np.ndarray) -> np.ndarray:
        return 8 * (images[:, : 1 if num_classes == 2 else num_classes] - np.float32(0.5))

    return Predictor(network or colours, classes=default_classes(num_classes), preprocessing=PLAIN)


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def written(folder: Path, name: str, seed: int = 0, size: tuple[int, int] = (12, 20)) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path, picture(*size, seed))
    return path


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["x/eye.png", "x/other.tif"], ["eye", "other"]),
        (["a/1.png", "b/1.png", "b/2.png"], ["a_1", "b_1", "2"]),
        (["a/1.png", "a/1.jpg"], ["1_png", "1_jpg"]),
        (["a/x/1.png", "b/x/1.png"], ["a_x_1", "b_x_1"]),
        (["a/1.png", "b/1.png", "b/1.jpg"], ["a_1_png", "b_1_png", "b_1_jpg"]),
        (["a/1.png", "b/1.png", "b/a_1.png"], ["a_1", "b_1", "a_1_2"]),
        (["a/Eye.png", "b/eye.png"], ["a_Eye", "b_eye"]),
        ([], []),
    ],
)
def test_names_are_told_apart(tmp_path, paths, names):
    assert output_names([tmp_path / path for path in paths]) == names


@pytest.mark.parametrize(
    ("paths", "known", "names"),
    [
        (["1.jpg", "1.png"], [None, "1"], ["1_jpg", "1"]),
        (["a/1.png"], ["a_1"], ["a_1"]),
        (["a/1.png", "b/1.png", "1_2.png"], ["1", "1", None], ["1", "b_1", "1_2"]),
        (["a/1.png", "b/Eye.png", "b/1.png"], ["b_1", None, None], ["b_1", "Eye", "b_1_2"]),
        (["a/eye.png", "b/Eye.png"], ["eye", "Eye"], ["eye", "b_Eye"]),
    ],
)
def test_names_that_are_known_stay(tmp_path, paths, known, names):
    assert output_names([tmp_path / path for path in paths], known) == names


def test_a_mask_per_image_is_written_with_a_palette_that_can_be_seen(tmp_path):
    paths = [written(tmp_path / "in", f"{index}.png", index) for index in range(9)]
    predictor = predictor_of()
    outcomes = list(predict_files(predictor, paths, tmp_path / "out"))
    assert [outcome.image for outcome in outcomes] == paths
    for index, outcome in enumerate(outcomes):
        assert (outcome.written, outcome.error) == ((tmp_path / "out" / f"{index}.png",), None)
        with Image.open(outcome.written[0]) as mask:
            assert mask.mode == "P"
            assert mask.getpalette()[:6] == [0, 0, 0, 0x56, 0xB4, 0xE9]
            assert np.array_equal(np.asarray(mask), picture(12, 20, index)[..., 0] > 127)
    assert sorted(path.name for path in (tmp_path / "out").glob("*.png")) == [f"{index}.png" for index in range(9)]


def test_probabilities_and_overlays_on_request(tmp_path):
    path = written(tmp_path, "eye.png")
    (outcome,) = predict_files(predictor_of(), [path], tmp_path / "out", probabilities=True, overlay=True)
    out = tmp_path / "out"
    assert outcome.written == (out / "eye.png", out / "probabilities" / "eye.png", out / "overlays" / "eye.png")
    expected = predictor_of()(path)
    with Image.open(outcome.written[1]) as levels:
        assert np.array_equal(np.asarray(levels), quantise(expected.probabilities[0]))
    with Image.open(outcome.written[2]) as overlay:
        assert np.array_equal(np.asarray(overlay), expected.overlay())


def test_probabilities_of_several_classes(tmp_path):
    path = written(tmp_path, "eye.png")
    out = tmp_path / "out"
    (outcome,) = predict_files(predictor_of(3), [path], out, probabilities="png")
    names = ["0_background", "1_class_1", "2_class_2"]
    assert outcome.written == (out / "eye.png", *(out / "probabilities" / name / "eye.png" for name in names))
    (outcome,) = predict_files(predictor_of(3), [path], out, probabilities="npz")
    with np.load(outcome.written[1], allow_pickle=False) as content:
        assert np.array_equal(content["probabilities"], predictor_of(3)(path).probabilities)


@pytest.mark.parametrize("position", [0, 1, 3])
def test_a_bad_image_is_an_outcome_and_the_rest_is_done(tmp_path, position):
    paths = [written(tmp_path / "in", f"{index}.png", index) for index in range(4)]
    paths[position].write_bytes(paths[position].read_bytes()[:60])
    outcomes = list(predict_files(predictor_of(), paths, tmp_path / "out"))
    assert [bool(outcome.error) for outcome in outcomes] == [index == position for index in range(4)]
    assert isinstance(outcomes[position].error, ImageError)
    assert f"{position}.png" in str(outcomes[position].error)
    assert sorted(path.stem for path in (tmp_path / "out").glob("*.png")) == sorted({*"0123"} - {str(position)})


def test_one_image_too_large_for_the_memory_is_an_outcome(tmp_path):
    paths = [written(tmp_path / "in", "0.png"), written(tmp_path / "in", "1.png", size=(1200, 1200))]

    def network(images: np.ndarray) -> np.ndarray:
        if images.shape[2] > 500:
            raise MemoryError
        return images[:, :1]

    outcomes = list(predict_files(predictor_of(network=network), paths, tmp_path / "out"))
    assert outcomes[0].error is None
    assert "more memory" in str(outcomes[1].error)


def test_a_network_that_fails_ends_it(tmp_path):
    def network(images: np.ndarray) -> np.ndarray:
        raise ModelError("the network fails")

    with pytest.raises(ModelError, match="the network fails"):
        list(predict_files(predictor_of(network=network), [written(tmp_path, "0.png")], tmp_path / "out"))


def test_images_of_one_name_do_not_overwrite_each_other(tmp_path):
    paths = [written(tmp_path / "a", "1.png", 1), written(tmp_path / "b", "1.png", 2)]
    outcomes = list(predict_files(predictor_of(), [*paths, str(paths[0])], tmp_path / "out"))
    assert [outcome.written[0].name for outcome in outcomes] == ["a_1.png", "b_1.png"]
    for seed, outcome in zip((1, 2), outcomes, strict=True):
        with Image.open(outcome.written[0]) as mask:
            assert np.array_equal(np.asarray(mask), picture(12, 20, seed)[..., 0] > 127)


@pytest.mark.parametrize("through_a_link", [False, True])
def test_an_input_is_never_written_over(tmp_path, through_a_link):
    path = written(tmp_path / "in", "eye.png")
    out = tmp_path / "in"
    if through_a_link:
        out = tmp_path / "link"
        try:
            out.symlink_to(tmp_path / "in", target_is_directory=True)
        except OSError:
            pytest.skip("links are not permitted here")
    before = path.read_bytes()
    with pytest.raises(UsageError, match="would be written over the image"):
        predict_files(predictor_of(), [path], out)
    # The mask of one image may not take the place of another one either.
    other = written(tmp_path / "in" / "sub", "eye.jpg")
    with pytest.raises(UsageError, match="would be written over the image"):
        predict_files(predictor_of(), [other, written(tmp_path / "in", "sub_eye.png"), path], out)
    assert path.read_bytes() == before
    assert sorted(one.name for one in (tmp_path / "in").iterdir()) == ["eye.png", "sub", "sub_eye.png"]


def test_an_earlier_run_is_replaced(tmp_path):
    path = written(tmp_path, "eye.png", 1)
    list(predict_files(predictor_of(), [path], tmp_path / "out"))
    written(tmp_path, "eye.png", 2)
    list(predict_files(predictor_of(), [path], tmp_path / "out"))
    with Image.open(tmp_path / "out" / "eye.png") as mask:
        assert np.array_equal(np.asarray(mask), picture(12, 20, 2)[..., 0] > 127)


def test_a_mask_that_was_not_predicted_is_never_lost(tmp_path):
    paths = [written(tmp_path / "in", f"{index}.png", index) for index in range(2)]
    out = tmp_path / "out"
    list(predict_files(predictor_of(), paths, out))
    by_hand = write_mask(out / "1.png", np.ones((12, 20), np.uint8), default_classes(2)).read_bytes()
    (out / "0.png").unlink()
    with pytest.raises(
        OutputError, match=r"1\.png: was not written by 'ocuseg predict' and would be lost; give another"
    ):
        predict_files(predictor_of(), paths, out)
    (out / "1.png").rename(out / "1.bak")
    (out / "1.png").write_text("no mask at all")
    with pytest.raises(OutputError, match=r"1\.png: was not written"):
        predict_files(predictor_of(), paths, out)
    assert sorted(path.name for path in out.iterdir()) == ["1.bak", "1.png", "areas.csv", "predicted.jsonl"]
    assert (out / "1.bak").read_bytes() == by_hand


class TestAreas:
    """What `areas.csv` says of each mask, and that it is true whatever was predicted before."""

    LENS = parse_classes(
        [
            {"id": 0, "name": "background"},
            {"id": 1, "name": "clear lens"},
            {"id": 2, "name": "cataract", "parent": "clear lens"},
        ]
    )

    @staticmethod
    def table(out: Path) -> dict[str, list[str]]:
        """The pixels of all classes by image; other columns are as `Result.areas` says."""
        with (out / "areas.csv").open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        assert [row["image"] for row in rows] == sorted(row["image"] for row in rows)
        return {row["image"]: [r["pixels"] for r in rows if r["image"] == row["image"]] for row in rows}

    def lens(self) -> Predictor:
        """One that calls a pixel what its brightest colour says: red background, green clear lens, blue cataract."""
        return Predictor(lambda images: 8 * images, classes=self.LENS, preprocessing=PLAIN)

    def eye(self, folder: Path, name: str, cataract_px: int) -> Path:
        """10 x 10 px: 60 background, 40 lens, of which `cataract_px` are cloudy."""
        image = np.zeros((100, 3), np.uint8)
        image[:60, 0] = image[60 : 100 - cataract_px, 1] = image[100 - cataract_px :, 2] = 255
        folder.mkdir(exist_ok=True)
        return write_image(folder / name, image.reshape(10, 10, 3))

    def test_cataract_is_a_share_of_the_whole_lens(self, tmp_path):
        (outcome,) = predict_files(self.lens(), [self.eye(tmp_path, "eye.png", 10)], tmp_path / "out")
        assert (tmp_path / "out" / "areas.csv").read_text(encoding="utf-8") == (
            "image,class_id,class,pixels,share_of_image,parent,share_of_parent\n"
            "eye,0,background,60,0.6,,\n"
            "eye,1,clear lens,30,0.3,,\n"
            "eye,2,cataract,10,0.1,clear lens,0.25\n"
        )
        assert list(outcome.areas) == self.lens()(tmp_path / "eye.png").areas()

    def test_without_a_lens_the_share_is_undefined(self, tmp_path):
        image = np.zeros((4, 4, 3), np.uint8)
        image[..., 0] = 255
        assert self.lens()(image).areas()[2] == {
            "image": "image", "class_id": 2, "class": "cataract", "pixels": 0, "share_of_image": 0.0,
            "parent": "clear lens", "share_of_parent": None,
        }  # fmt: skip

    def test_two_classes_have_one_row(self):
        (row,) = predictor_of()(picture(12, 20)).areas("left")
        assert (row["image"], row["class_id"]) == ("left", 1)
        assert row["pixels"] == (picture(12, 20)[..., 0] > 127).sum()

    def test_a_second_run_replaces_its_own_images_alone(self, tmp_path):
        out = tmp_path / "out"
        first = [self.eye(tmp_path, "b.png", 4), self.eye(tmp_path, "c.png", 8)]
        list(predict_files(self.lens(), first, out))
        assert self.table(out) == {"b": ["60", "36", "4"], "c": ["60", "32", "8"]}
        list(predict_files(self.lens(), [self.eye(tmp_path, "a.png", 0), self.eye(tmp_path, "c.png", 40)], out))
        assert self.table(out) == {"a": ["60", "40", "0"], "b": ["60", "36", "4"], "c": ["60", "0", "40"]}

    def test_the_rows_of_a_mask_that_stays_because_its_image_is_bad_stay(self, tmp_path):
        out, path = tmp_path / "out", self.eye(tmp_path, "a.png", 4)
        list(predict_files(self.lens(), [path], out))
        path.write_bytes(b"no image")
        list(predict_files(self.lens(), [path, self.eye(tmp_path, "b.png", 8)], out))
        assert self.table(out) == {"a": ["60", "36", "4"], "b": ["60", "32", "8"]}

    def test_where_no_mask_could_be_written_there_is_no_table(self, tmp_path):
        (tmp_path / "a.png").write_bytes(b"no image")
        list(predict_files(self.lens(), [tmp_path / "a.png"], tmp_path / "out"))
        assert not (tmp_path / "out" / "areas.csv").exists()

    def test_an_interrupted_run_leaves_no_row_of_a_mask_that_it_may_have_replaced(self, tmp_path):
        out = tmp_path / "out"
        paths = [self.eye(tmp_path, f"{name}.png", 4) for name in "abcdefgh"]
        list(predict_files(self.lens(), paths, out))
        for path in paths:
            self.eye(tmp_path, path.name, 8)
        outcomes = predict_files(self.lens(), paths, out)
        next(outcomes)
        assert self.table(out) == {}  # and so it is after a power cut
        outcomes.close()
        assert self.table(out) == {"a": ["60", "32", "8"]}

    @pytest.mark.parametrize("content", ["image,dice\neye,0.9\n", "", "\0", HEADER + "eye,1,lens\n"])
    def test_a_table_of_somebody_else_is_never_lost(self, tmp_path, content):
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "areas.csv").write_text(content)
        with pytest.raises(
            OutputError, match=r"areas\.csv: was not written by 'ocuseg predict' and would be lost; give"
        ):
            predict_files(self.lens(), [self.eye(tmp_path, "eye.png", 4)], tmp_path / "out")
        assert (tmp_path / "out" / "areas.csv").read_text() == content
        assert not (tmp_path / "out" / "eye.png").exists()


class TestMeasures:
    """What `measures.csv` says of each image, of a model that measures vessels and knows what it was made for."""

    @staticmethod
    def red(*, measures: tuple[str, ...] = ("vessels",), made_for: list | None = None) -> Predictor:
        """One that calls vessel what is red, and was made for pictures that are not blue."""
        predictor = predictor_of()
        predictor.measures, predictor.made_for = measures, [{"blue": 0.0}] if made_for is None else made_for
        return predictor

    def table(self, out: Path) -> list[dict[str, str]]:
        with (out / "measures.csv").open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    @pytest.fixture
    def paths(self, tmp_path) -> list[Path]:
        """A red line of 20 x 2 px on black, and a picture that is all blue."""
        line, sky = np.zeros((40, 50, 3), np.uint8), np.zeros((30, 30, 3), np.uint8)
        line[10:12, 5:25, 0] = 255
        sky[..., 2] = 200
        return [write_image(tmp_path / "line.png", line), write_image(tmp_path / "sky.png", sky)]

    def test_a_row_for_each_image(self, tmp_path, paths):
        line, sky = predict_files(self.red(), paths, tmp_path / "out")
        assert line.measures["vessel_density"] == 40 / 2000
        assert line.measures["field_of_view_diameter_px"] == 50
        assert line.flags == ()
        assert sky.flags == ("bluer",)
        first, second = self.table(tmp_path / "out")
        assert list(first) == ["image", "flags", *VESSEL_COLUMNS]
        assert (first["image"], first["flags"], first["vessel_density"]) == ("line", "", "0.02")
        assert (second["image"], second["flags"], second["mean_width_px"]) == ("sky", "bluer", "")
        assert (tmp_path / "out" / "sky.png").is_file()

    def test_they_are_those_of_the_result(self, tmp_path, paths):
        outcomes = list(predict_files(self.red(), paths, tmp_path / "out"))
        for outcome, result in zip(outcomes, self.red()(paths), strict=True):
            assert (outcome.measures, outcome.flags) == (result.measures(), result.flags)

    @pytest.mark.parametrize("large", [False, True])
    def test_a_field_of_view_that_the_network_needed_is_not_looked_for_again(self, tmp_path, paths, large, monkeypatch):
        if large:
            monkeypatch.setattr("ocuseg.prediction.results._LARGE_PX", 0)
        predictor = self.red()
        predictor.preprocessing = replace(predictor.preprocessing, crop="field_of_view")
        wanted = [outcome.measures for outcome in predict_files(predictor, paths, tmp_path / "first")]
        monkeypatch.setattr("ocuseg.prediction.single.find_field_of_view", None)
        assert [one.measures for one in predict_files(predictor, paths, tmp_path / "second")] == wanted

    def test_without_measures_there_are_flags_alone_and_without_both_there_is_no_table(self, tmp_path, paths):
        list(predict_files(self.red(measures=()), paths, tmp_path / "flags"))
        assert (tmp_path / "flags" / "measures.csv").read_text() == "image,flags\nline,\nsky,bluer\n"
        (outcome, _) = predict_files(predictor_of(), paths, tmp_path / "out")
        assert (outcome.measures, outcome.flags) == ({}, ())
        assert not (tmp_path / "out" / "measures.csv").exists()
        assert (predictor_of()(paths[1]).measures(), predictor_of()(paths[1]).flags) == ({}, ())

    def test_a_second_run_has_the_rows_of_both(self, tmp_path, paths):
        list(predict_files(self.red(), paths, tmp_path / "whole"))
        list(predict_files(self.red(), paths[:1], tmp_path / "out"))
        list(predict_files(self.red(), paths[1:], tmp_path / "out"))
        table = (tmp_path / "out" / "measures.csv").read_bytes()
        assert table == (tmp_path / "whole" / "measures.csv").read_bytes()
        (tmp_path / "out" / "predicted.jsonl").unlink()
        list(predict_files(self.red(), paths[:1], tmp_path / "out"))  # the row of the other one from the table alone
        assert (tmp_path / "out" / "measures.csv").read_bytes() == table

    def test_what_was_done_before_has_them_too(self, tmp_path, paths):
        first = list(predict_files(self.red(), paths, tmp_path / "out", model="one"))
        table = (tmp_path / "out" / "measures.csv").read_bytes()
        second = list(predict_files(self.red(), paths, tmp_path / "out", model="one"))
        assert all(outcome.done_before for outcome in second)
        assert [(one.measures, one.flags) for one in second] == [(one.measures, one.flags) for one in first]
        assert (tmp_path / "out" / "measures.csv").read_bytes() == table

    @pytest.mark.parametrize("content", ["image,dice\neye,0.9\n", "", "image,flags,tortuosity\n", "image,flags\neye\n"])
    def test_a_table_of_somebody_else_is_never_lost(self, tmp_path, paths, content):
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "measures.csv").write_text(content)
        with pytest.raises(OutputError, match=r"measures\.csv: was not written by 'ocuseg predict' and would be lost"):
            predict_files(self.red(), paths, tmp_path / "out")
        assert (tmp_path / "out" / "measures.csv").read_text() == content


def test_wrong_requests(tmp_path):
    path = written(tmp_path, "eye.png")
    with pytest.raises(UsageError, match="'png' or 'npz'"):
        predict_files(predictor_of(), [path], tmp_path / "out", probabilities="tiff")
    (tmp_path / "file").touch()
    with pytest.raises(OutputError):
        predict_files(predictor_of(), [path], tmp_path / "file")
    assert list(predict_files(predictor_of(), [], tmp_path / "out")) == []


def test_an_output_that_cannot_be_written_ends_it(tmp_path):
    paths = [written(tmp_path / "in", f"{index}.png") for index in range(3)]
    (tmp_path / "out" / "1.png").mkdir(parents=True)
    outcomes = predict_files(predictor_of(), paths, tmp_path / "out")
    assert next(outcomes).error is None
    with pytest.raises(OutputError, match=r"1\.png"):
        next(outcomes)


def test_few_images_are_decoded_ahead_and_none_after_the_end(tmp_path, monkeypatch):
    paths = [tmp_path / f"{index}.png" for index in range(12)]
    read: list[Path] = []

    def counted(path: Path, folder: Path) -> HeldImage:
        read.append(path)
        return HeldImage(picture(12, 20))

    monkeypatch.setattr("ocuseg.prediction.results.open_rows", counted)
    monkeypatch.setattr("ocuseg.prediction.results._SMALL_PX", 1)
    outcomes = predict_files(predictor_of(), paths, tmp_path / "out")
    next(outcomes)
    assert len(read) <= 1 + 2 + 4
    outcomes.close()
    count = len(read)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("ocuseg-files")]
    assert len(read) == count


class TestLargeImages:
    """What goes by bands of rows is in the files what goes whole."""

    @pytest.fixture(params=["memory", "disk"])
    def bands(self, request, monkeypatch):
        """A function after which every image is large."""

        def set_limits() -> None:
            monkeypatch.setattr("ocuseg.prediction.results._LARGE_PX", 0)
            monkeypatch.setattr("ocuseg.images.rows._HELD_PX", 0 if request.param == "disk" else 1 << 24)
            monkeypatch.setattr("ocuseg.prediction.banding._BAND_PX", 3000)
            monkeypatch.setattr("ocuseg.drawing._BAND_PX", 3000)

        return set_limits

    @pytest.mark.parametrize("num_classes", [2, 3])
    @pytest.mark.parametrize("kind", ["png", "npz"])
    @pytest.mark.parametrize("size", [None, (50, 30)])
    def test_all_files_are_the_same(self, tmp_path, num_classes, kind, size, bands):
        paths = [written(tmp_path / "in", "a.png", 1, (230, 190)), written(tmp_path / "in", "b.jpg", 2, (40, 300))]
        predictor = predictor_of(num_classes)
        predictor.preprocessing = Preprocessing(size=size, multiple=4)
        predictor.measures, predictor.made_for = ("vessels",), [{"fineness": -9.0, "foreground": 3.0}]
        whole = list(predict_files(predictor, paths, tmp_path / "whole", probabilities=kind, overlay=True))
        bands()
        parts = list(predict_files(predictor, paths, tmp_path / "parts", probabilities=kind, overlay=True))
        assert [outcome.areas for outcome in parts] == [outcome.areas for outcome in whole]
        for one, other in zip(whole, parts, strict=True):
            for first, second in zip(one.written, other.written, strict=True):
                assert first.name == second.name
                if first.suffix == ".npz":
                    with np.load(first) as left, np.load(second) as right:
                        assert np.array_equal(left["probabilities"], right["probabilities"])
                else:
                    assert_same_picture(first, second)
        assert all(outcome.flags for outcome in whole)
        for table in ("areas.csv", "measures.csv"):
            assert (tmp_path / "whole" / table).read_bytes() == (tmp_path / "parts" / table).read_bytes()
        assert sorted(path.name for path in (tmp_path / "parts").iterdir()) == sorted(
            path.name for path in (tmp_path / "whole").iterdir()
        )

    def test_a_bad_image_and_a_failing_network(self, tmp_path, bands):
        paths = [written(tmp_path / "in", f"{index}.png", index, (60, 70)) for index in range(3)]
        paths[1].write_bytes(paths[1].read_bytes()[:600])
        bands()
        outcomes = list(predict_files(predictor_of(), paths, tmp_path / "out"))
        assert [bool(outcome.error) for outcome in outcomes] == [False, True, False]

        def network(images: np.ndarray) -> np.ndarray:
            raise ModelError("the network fails")

        with pytest.raises(ModelError, match="the network fails"):
            list(predict_files(predictor_of(network=network), paths, tmp_path / "new"))
        assert not list((tmp_path / "new").glob("*.png"))
        assert not list((tmp_path / "new").glob(".*"))


def assert_same_picture(first: Path, second: Path) -> None:
    with Image.open(first) as left, Image.open(second) as right:
        assert (left.mode, left.size, left.info.get("Software")) == (right.mode, right.size, right.info.get("Software"))
        assert left.getpalette() == right.getpalette()
        assert np.array_equal(np.asarray(left), np.asarray(right))


MEMORY = """
import resource, sys
import numpy as np
import scipy.ndimage
from PIL import Image, JpegImagePlugin, PngImagePlugin
from ocuseg.classes import default_classes
from ocuseg.geometry import Preprocessing
from ocuseg.prediction import Predictor
from ocuseg.prediction.results import predict_files

size = None if sys.argv[3] == "tiles" else (256, 256)
predictor = Predictor(
    lambda images: images[:, :1], classes=default_classes(2),
    preprocessing=Preprocessing(size=size, crop="field_of_view" if size else "none"), tile_px=512,
)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
extra = {"overlay": True, "probabilities": True} if sys.argv[4] == "all" else {}
outcome, = predict_files(predictor, [sys.argv[1]], sys.argv[2], **extra)
assert outcome.error is None
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the unit of ru_maxrss is that of Linux")
@pytest.mark.parametrize(("seen", "files"), [("tiles", "mask"), ("whole", "mask"), ("tiles", "all")])
def test_the_peak_memory_of_a_large_image(tmp_path, seen, files):
    tile = np.zeros((500, 1000, 3), np.uint8)
    tile[100:400, 100:900] = picture(300, 800)
    Image.fromarray(np.tile(tile, (10, 5, 1))).save(tmp_path / "eye.jpg", quality=60)
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, tmp_path / "eye.jpg", tmp_path / "out", seen, files],
        capture_output=True, text=True, check=True, timeout=300,
    )  # fmt: skip
    # 25 million pixels: 75 MB of colours, 100 MB of probabilities, and 100 MB in Pillow.
    assert int(done.stdout) < 90_000
