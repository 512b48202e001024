"""A cross-validation from a folder to out-of-fold scores and one ensemble, stopped and gone on with."""

from __future__ import annotations

import contextlib
import csv
import json
import logging
import re
import shutil
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import pytorch_lightning as pl
from PIL import Image
from pytorch_lightning.callbacks import Callback

import ocuseg
from ocuseg.bundle import load_bundle
from ocuseg.commands import folding
from ocuseg.errors import DeadNetworkError, ModelError, OcusegError, OutputError, ResumeError, UsageError
from ocuseg.images import read_field_of_view, read_image, read_mask
from ocuseg.phantom import write_eye_set, write_fundus_set
from ocuseg.prediction import open_predictor
from ocuseg.training.run import Run

Differences = Callable[[Path, Path], list[str]]

FOLDS = 3
SETTINGS = (
    "preprocessing.size=[64, 64]",
    "network={name: unet-small, width: 4, depth: 2}",
    "batch_size=2",
    "steps_per_epoch=2",
    "epochs=2",
    "precision=fp32",
    "prediction.flips=false",
)


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nine drawn photographs of five people, with splits that a cross-validation does not mind."""
    data = write_fundus_set(tmp_path_factory.mktemp("people") / "data", {"train": 5, "val": 2, "test": 2}, 4, 64)
    rows = []
    for number, image in enumerate(sorted(data.glob("*/images/*.png"))):
        place = image.parent.parent
        files = (image, place / "masks" / f"{image.stem}_mask.png", place / "field_of_view" / image.name)
        split = {"training": "train", "validation": "val"}.get(place.name, place.name)
        rows.append([*(path.relative_to(data).as_posix() for path in files), split, f"person{number // 2}"])
    rows[-1][3], rows[-2][3] = rows[0][3], rows[0][3]
    with (data / "split.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["image", "mask", "field_of_view", "split", "group"], *rows])
    return data


def _train(data: Path | None, out: Path, **arguments: Any) -> Run:
    """Train folds; that networks as small as these learn nothing is not the matter here."""
    with contextlib.suppress(DeadNetworkError):
        ocuseg.train(data, "retina-unet256", out=out, overrides=SETTINGS, folds=FOLDS, **arguments)
    return Run(out)


def _resume(run: Path, **arguments: Any) -> None:
    with contextlib.suppress(DeadNetworkError):
        ocuseg.train(resume=run, **arguments)


@pytest.fixture(scope="module")
def whole(people: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A cross-validation that nobody disturbed; not to be changed."""
    return _train(people, tmp_path_factory.mktemp("whole") / "run")


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
class TestACrossValidation:
    def test_has_an_ordinary_run_for_each_fold_with_whole_groups(self, whole: Run, people: Path) -> None:
        fold_of = {row["image"]: int(row["fold"]) for row in _rows(whole.folder / "folds.csv")}
        assert len(fold_of) == 9
        assert len(whole.folds) == FOLDS
        groups: dict[str, set[int]] = defaultdict(set)
        for number, fold in enumerate(whole.folds, start=1):
            rows = _rows(fold.folder / "split.csv")
            assert {row["image"] for row in rows if row["split"] == "test"} == {
                image for image, of_image in fold_of.items() if of_image == number
            }
            of_split = {split: {row["group"] for row in rows if row["split"] == split} for split in
                        ("train", "val", "test")}  # fmt: skip
            assert all(of_split.values())
            assert sum(map(len, of_split.values())) == 5
            assert len(rows) == 9
            for group in of_split["test"]:
                groups[group].add(number)
            assert fold.fold == (number, FOLDS)
            assert [row["epoch"] for row in fold.history] == [1, 2]
            assert load_bundle(fold.bundle).info.trained_on["images"]["train"] >= 2
        assert set(map(len, groups.values())) == {1}
        with pytest.raises(ModelError, match="is a cross-validation; look at the history of each of its folds"):
            _ = whole.history

    def test_scores_each_image_once_by_the_model_that_did_not_see_it(self, whole: Run, people: Path) -> None:
        metrics = whole.scores
        assert metrics["split"] == "out_of_fold"
        assert (metrics["folds"], metrics["folds_made"], metrics["images"]) == (3, "by group, seed 0", 9)
        assert (metrics["intervals"]["over"], metrics["intervals"]["units"]) == ("groups", 5)
        assert (metrics["threshold"], metrics["threshold_chosen_on"]) == (None, "val")
        assert metrics["command"] == f"ocuseg train {people} --recipe {whole.folder / 'recipe.yaml'} --folds 3"
        assert metrics["versions"]["ocuseg"]
        assert (metrics["runtime"], metrics["flips"]) == ("onnxruntime fp32", whole.recipe.prediction.flips)
        rows = _rows(whole.folder / "evaluation" / "out_of_fold" / "per_image.csv")
        assert sorted(row["image"] for row in rows) == [f"img_000{number}" for number in range(1, 10)]
        counts = np.zeros(3, np.int64)  # true positives, predicted, in the reference
        for fold, threshold in zip(whole.folds, metrics["thresholds"], strict=True):
            predictor = open_predictor(fold.bundle)
            assert predictor.threshold == threshold
            for row in _rows(fold.folder / "split.csv"):
                if row["split"] != "test":
                    continue
                inside = read_field_of_view(people / row["field_of_view"])
                found = (predictor(read_image(people / row["image"])).mask == 1) & inside
                true = (read_mask(people / row["mask"]).values == 1) & inside
                mine = np.array([(found & true).sum(), found.sum(), true.sum()])
                (written,) = (other for other in rows if other["image"] == Path(row["image"]).stem)
                assert [int(written["prediction_px"]), int(written["reference_px"])] == mine[1:].tolist()
                counts += mine
        assert metrics["classes"][0]["dice"]["pooled"] == pytest.approx(2 * counts[0] / counts[1:].sum(), abs=1e-6)
        for name in ("report.html", "thresholds.png", "masks/img_0001.png", "overlays/img_0009.jpg"):
            assert (whole.folder / "evaluation" / "out_of_fold" / name).is_file()

    @pytest.mark.parametrize("runtime", ["pytorch", "onnxruntime"])
    def test_its_bundle_averages_the_probabilities_of_the_folds(self, whole: Run, people: Path, runtime: str) -> None:
        ensemble = open_predictor(whole.bundle, runtime)
        members = [open_predictor(fold.bundle, runtime) for fold in whole.folds]
        means = {member.preprocessing.mean for member in members}
        assert len(means) == FOLDS  # or nothing would have to be absorbed
        for path in sorted(people.glob("*/images/*.png"))[::4]:
            image = read_image(path)
            expected = np.mean([member.probabilities(image) for member in members], axis=0)
            assert np.abs(ensemble.probabilities(image) - expected).max() < 1e-5

    def test_its_bundle_says_what_its_scores_are(self, whole: Run) -> None:
        info = load_bundle(whole.bundle).info
        assert [member["name"] for member in info.network["members"]] == ["unet-small"] * FOLDS
        assert info.scores["out_of_fold"]["classes"][0]["dice"] == whole.scores["classes"][0]["dice"]
        assert info.threshold_chosen_on == "the out-of-fold predictions of its members"
        rows = _rows(whole.folder / "evaluation" / "out_of_fold" / "thresholds.csv")
        best = max(float(row["dice"]) for row in rows)
        assert info.threshold in [float(row["threshold"]) for row in rows if float(row["dice"]) == best]
        card = (whole.bundle / "README.md").read_text(encoding="utf-8")
        assert "the ensemble itself has seen all of them, and has no test of its own" in card

    def test_evaluating_it_on_its_own_images_warns(
        self, whole: Run, people: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        evaluation = ocuseg.evaluate(whole, people, split="test", out=tmp_path / "out")
        assert evaluation.metrics["seen_in_training"] == evaluation.metrics["images"]
        assert any("of these images took part in training" in line for line in caplog.messages)

    def test_a_start_that_has_seen_the_images_makes_its_scores_no_test(
        self, whole: Run, people: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        start = load_bundle(whole.folds[0].bundle)
        seen = len(start.info.trained_on["image_hashes"])
        assert 0 < seen < 9
        run = _train(people, tmp_path / "run", start_from=whole.folds[0])
        assert f"{seen} of the 9 images that are to test it took part in making this model" in caplog.text
        assert run.scores["seen_in_training"] == seen
        assert any(f"{seen} of these images took part" in line for line in run.scores["warnings"])
        assert whole.scores["seen_in_training"] == 0
        for bundle in (run.bundle, run.folds[0].bundle):
            trained_on = load_bundle(bundle).info.trained_on
            assert trained_on["started_from"] == {"name": start.info.name, "digest": start.digest}
            assert set(trained_on["image_hashes"]) >= set(start.info.trained_on["image_hashes"])

    def test_a_recipe_that_was_edited_is_refused(self, whole: Run, people: Path, tmp_path: Path) -> None:
        run = Run(Path(shutil.copytree(whole.folder, tmp_path / "run")))
        shutil.rmtree(run.folds[1].bundle)
        path = run.folder / "recipe.yaml"
        path.write_text(path.read_text(encoding="utf-8").replace("epochs: 2\n", "epochs: 20\n"), encoding="utf-8")
        with pytest.raises(ResumeError, match=r"run.recipe\.yaml: was changed since the run started \(epochs\)"):
            ocuseg.train(resume=run)

    def test_its_folds_file_makes_the_same_folds_again(self, whole: Run, people: Path, tmp_path: Path) -> None:
        shutil.copytree(people, tmp_path / "data")
        table = shutil.copy(whole.folder / "folds.csv", tmp_path / "data" / "folds.csv")
        from ocuseg.index import build_index
        from ocuseg.training.folds import plan_folds

        plan = plan_folds(build_index(table), FOLDS, seed=99)
        assert {f"{name}.png": fold for name, fold in plan.fold_of.items()} == {
            Path(row["image"]).name: int(row["fold"]) for row in _rows(whole.folder / "folds.csv")
        }

    def test_one_fold_is_exported_as_any_run_and_the_ensemble_is_not(self, whole: Run, tmp_path: Path) -> None:
        fold = whole.folds[1]
        exported = ocuseg.export(fold, out=tmp_path / "bundle")
        assert (exported.folder / "bundle.json").read_bytes() == (fold.bundle / "bundle.json").read_bytes()
        with pytest.raises(UsageError, match=r"is a cross-validation, whose ensemble is .*; copy it, or export a fold"):
            ocuseg.export(whole, out=tmp_path / "other")

    def test_the_export_of_one_that_has_not_ended_says_so(self, whole: Run, tmp_path: Path) -> None:
        begun = tmp_path / "run"
        shutil.copytree(whole.folder, begun, ignore=shutil.ignore_patterns("bundle"))
        with pytest.raises(UsageError, match=r"run: has not ended; go on with 'ocuseg train --resume .*run'"):
            ocuseg.export(begun, out=tmp_path / "other")

    def test_an_ensemble_cannot_be_started_from(self, whole: Run, people: Path, tmp_path: Path) -> None:
        with pytest.raises(ModelError, match="is an ensemble of several networks; start from one fold"):
            ocuseg.train(people, out=tmp_path / "run", overrides=SETTINGS, start_from=whole)


class Stop(Callback):
    """Presses Ctrl-C once so many steps were made by all folds together; every fold has a copy of it."""

    made: ClassVar[int] = 0
    at: ClassVar[int | None] = None

    def on_train_batch_end(self, trainer: pl.Trainer, module: Any, *_: Any) -> None:
        Stop.made += 1
        if Stop.made == Stop.at:
            raise KeyboardInterrupt


@pytest.fixture
def stop() -> Iterator[Stop]:
    Stop.made = 0
    yield Stop()
    Stop.at = None


@pytest.mark.slow
def test_a_cross_validation_that_was_stopped_ends_as_one_that_was_not(
    whole: Run, people: Path, tmp_path: Path, differences: Differences, stop: Stop, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    caplog.set_level(logging.INFO)
    out = tmp_path / "run"
    Stop.at = 7  # the third step of fold 2, in its second epoch
    with pytest.raises(KeyboardInterrupt):
        _train(people, out, callbacks=[stop])
    assert caplog.messages[-1] == f"go on with: ocuseg train --resume {out}"
    assert (out / "fold_1" / "bundle" / "bundle.json").is_file()
    assert [row["epoch"] for row in Run(out / "fold_2").history] == [1]
    assert not (out / "fold_3").exists()
    first = (out / "fold_1" / "checkpoints" / "last.ckpt").stat().st_mtime_ns

    train_fold = folding._train_fold

    def stopped_before_the_third(run: Run, fold: Run, number: int, *rest: Any) -> Any:
        if number == 3:
            raise KeyboardInterrupt
        return train_fold(run, fold, number, *rest)

    Stop.at, Stop.made = None, 0
    monkeypatch.setattr(folding, "_train_fold", stopped_before_the_third)
    with pytest.raises(KeyboardInterrupt):
        _resume(out, callbacks=[stop])
    assert Stop.made == 2  # the second epoch of fold 2, and nothing again
    assert [row["epoch"] for row in Run(out / "fold_2").history] == [1, 2]
    monkeypatch.setattr(folding, "_train_fold", train_fold)
    _resume(out)
    assert (out / "fold_1" / "checkpoints" / "last.ckpt").stat().st_mtime_ns == first
    for number in range(1, FOLDS + 1):
        assert differences(whole.folder / f"fold_{number}", out / f"fold_{number}") == []
    for name in ("model.safetensors", "model.onnx", "bundle.json", "README.md"):
        assert (whole.bundle / name).read_bytes() == (out / "bundle" / name).read_bytes()
    for name in ("metrics.json", "per_image.csv"):
        place = Path("evaluation") / "out_of_fold" / name
        # The command names the recipe, which lies in the folder of the run.
        assert (out / place).read_text().replace(str(out), str(whole.folder)) == (whole.folder / place).read_text()
    assert [path.name for path in out.rglob(".*")] == []


@pytest.mark.slow
def test_changed_data_are_refused_and_nothing_is_lost(whole: Run, people: Path, tmp_path: Path) -> None:
    run, data = tmp_path / "run", tmp_path / "data"
    shutil.copytree(whole.folder, run)
    shutil.copytree(people, data)
    shutil.rmtree(run / "fold_2" / "bundle")
    mask = next(iter(sorted(data.glob("test/masks/*.png"))))
    with Image.open(mask) as picture:
        pixels, palette = np.array(picture), picture.getpalette()
    pixels[30, 30] = 1 - pixels[30, 30]
    changed = Image.fromarray(pixels)
    changed.putpalette(palette or [])
    changed.save(mask)
    with pytest.raises(ResumeError, match=r"was trained on other data, .* \(hash \w{12}, now \w{12}\); restore"):
        ocuseg.train(data, resume=run)
    with pytest.raises(ResumeError, match="was trained on other data"):
        ocuseg.train(data, resume=run / "fold_2")
    recipe = run / "recipe.yaml"
    recipe.write_text(recipe.read_text(encoding="utf-8").replace("split_seed: 0", "split_seed: 5"), encoding="utf-8")
    with pytest.raises(ResumeError, match=r"divided otherwise .* recipe\.yaml that divide them"):
        ocuseg.train(people, resume=run)
    assert not (run / "fold_2" / "bundle").exists()
    for arguments, message in (
        ({"folds": 3}, "keeps its folds; leave out --folds"),
        ({"out": tmp_path / "new"}, "keeps its recipe and folder"),
    ):
        with pytest.raises(UsageError, match=message):
            ocuseg.train(resume=run, **arguments)
    with pytest.raises(OutputError, match="is not empty; give another --out, or go on with --resume"):
        _train(people, run)


def test_data_that_prove_unfit_leave_nothing_behind(people: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(people, data)
    for path in data.glob("*/*/*1*.png"):
        with Image.open(path) as picture:
            larger = picture.resize((72, 72), Image.Resampling.NEAREST)
        larger.save(path)
    overrides = (*SETTINGS, "preprocessing.size=null", "preprocessing.crop=none")
    with pytest.raises(OcusegError, match=r"different sizes; set 'crop_px' or 'preprocessing.size'"):
        ocuseg.train(data, "retina-unet256", out=tmp_path / "run", overrides=overrides, folds=4)
    assert not (tmp_path / "run").exists()


def test_a_picture_in_two_folds_is_refused(people: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(people, data)
    shutil.copy(data / "training/images/img_0001.png", data / "test/images/img_0008.png")
    with pytest.raises(
        OcusegError, match=r"picture-in-two-splits: .*expected a picture of fold \d alone.*give both one"
    ):
        ocuseg.train(data, "retina-unet256", out=tmp_path / "run", overrides=SETTINGS, folds=FOLDS)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_many_classes_and_dead_folds(
    tmp_path: Path, program: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    data = write_eye_set(tmp_path / "eyes", {"train": 6, "val": 2}, seed=2, size=64)
    options = [part for setting in (*SETTINGS, "loss=ce_dice", "epochs=1") for part in ("--set", setting)]
    ended = program("train", data, "--folds", 2, "--out", tmp_path / "run", *options)
    # One epoch teaches nothing: all of it is written nevertheless, what is dead is said, and the status is 1.
    assert ended.returncode == 1
    assert "no groups are known: images of one person, eye or video may lie in several folds" in ended.stderr
    assert "the network of fold 2 is dead: " in ended.stderr
    assert ended.stderr.splitlines()[-1].startswith(f"ocuseg: {tmp_path / 'run'}: networks are dead: fold 1: ")
    run = Run(tmp_path / "run")
    with pytest.raises(DeadNetworkError) as again:  # finished folds are kept, and their deaths remembered
        ocuseg.train(resume=run)
    # The last digits depend on what computes, which the program chooses for itself.
    last, remembered = (re.sub(r"\d\.\d+", "#", text) for text in (ended.stderr.splitlines()[-1], str(again.value)))
    assert last == f"ocuseg: {remembered}"
    assert sum(line.startswith("fold ") and line.endswith(" 4 test) is done") for line in caplog.messages) == 2
    metrics = json.loads((run.folder / "evaluation/out_of_fold/metrics.json").read_text(encoding="utf-8"))
    assert (metrics["images"], metrics["decision"]) == (8, "most probable class")
    assert "thresholds" not in metrics
    assert load_bundle(run.bundle).info.threshold is None
    image = read_image(next(iter(sorted((data / "val" / "images").iterdir()))))
    expected = np.mean([open_predictor(fold.bundle).probabilities(image) for fold in run.folds], axis=0)
    found = open_predictor(run.bundle).probabilities(image)
    assert found.shape[0] == len(load_bundle(run.bundle).classes) > 2
    assert np.abs(found - expected).max() < 1e-5


def test_a_callback_that_cannot_be_copied_for_each_fold_is_refused(people: Path, tmp_path: Path) -> None:
    class Locked(Callback):
        def __init__(self) -> None:
            self.lock = threading.Lock()

    with pytest.raises(UsageError, match=r"Locked: cannot be copied for each fold .*; open files .* in its 'setup'"):
        _train(people, tmp_path / "run", callbacks=[Locked()])
