"""From a folder to a tested model, and what the settings of a run do."""

from __future__ import annotations

import csv
import json
import logging
import math
import shutil
import struct
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from PIL import Image
from pytorch_lightning.callbacks import Callback
from safetensors.torch import load_file
from tensorboardX.proto.event_pb2 import Event

import ocuseg
from ocuseg.bundle import load_bundle
from ocuseg.errors import DeadNetworkError, ModelError, UsageError
from ocuseg.evaluation.judgement import guess_dice
from ocuseg.index import build_index
from ocuseg.metrics import confusion_matrix, counts_of, dice
from ocuseg.phantom import write_fundus_set
from ocuseg.training.callbacks import read_checkpoint
from ocuseg.training.recipe import load_recipe, save_recipe
from ocuseg.training.run import Run
from ocuseg.training.start import Origin, read_origin

Train = Callable[..., Run]
Differences = Callable[[Path, Path], list[str]]
Program = Callable[..., Any]


class Seen(Callback):
    """Keeps what a run did that it does not write down."""

    def __init__(self) -> None:
        self.vessel_share: list[float] = []
        self.confusion: list[np.ndarray] = []

    def on_train_batch_start(self, trainer: pl.Trainer, module: Any, batch: Any, index: int) -> None:
        self.vessel_share.append(float(batch["target"][batch["counted"]].float().mean()))

    def on_validation_epoch_end(self, trainer: pl.Trainer, module: Any) -> None:
        self.confusion.append(module._confusion.numpy().copy())


def _last(run: Run, name: str = "last.ckpt") -> dict[str, Any]:
    return read_checkpoint(run.folder / "checkpoints" / name)


def _vessel_share(data: Path, split: str) -> float:
    """The share of vessels in the fields of view, read from the files without any code of the program."""
    masks = sorted((data / split / "masks").iterdir())
    views = sorted((data / split / "field_of_view").iterdir())
    vessels = np.concatenate(
        [np.array(Image.open(m))[np.array(Image.open(v)) > 0] for m, v in zip(masks, views, strict=True)]
    )
    return float((vessels == 1).mean())


def _events(content: bytes) -> Iterator[Event]:
    """The events of a TensorBoard file: each is its length, the length's checksum, itself, its checksum."""
    while content:
        (length,) = struct.unpack("<Q", content[:8])
        yield Event.FromString(content[12 : 12 + length])
        content = content[16 + length :]


class TestFromFolderToMasks:
    def test_something_was_learnt(self, trained: Run, drawn: Path) -> None:
        guessed = guess_dice(_vessel_share(drawn, "validation"))
        assert 0.1 < guessed < 0.35
        assert max(row["val_dice"] for row in trained.history) > guessed + 0.25
        bundle = json.loads((trained.bundle / "bundle.json").read_text())
        (vessel,) = (item for item in bundle["scores"]["val"]["classes"] if item["id"] == 1)
        assert vessel["dice"]["pooled"] > guessed + 0.25
        assert vessel["auc"]["pooled"] > 0.85

    def test_the_score_that_is_printed_is_the_score_that_a_user_gets(
        self, trained: Run, drawn: Path, tmp_path: Path
    ) -> None:
        evaluation = ocuseg.evaluate(trained, drawn, out=tmp_path / "evaluation")
        outcomes = ocuseg.predict(trained, drawn / "test" / "images", out=tmp_path / "masks")
        assert [outcome.error for outcome in outcomes] == [None] * 3
        total = np.zeros((2, 2), np.int64)
        for path in sorted((drawn / "test" / "images").iterdir()):
            mask = np.array(Image.open(tmp_path / "masks" / path.name))
            reference = np.array(Image.open(drawn / "test" / "masks" / f"{path.stem}_mask.png"))
            region = np.array(Image.open(drawn / "test" / "field_of_view" / path.name)) > 0
            total += confusion_matrix(reference, mask, 2, region)
        (vessel,) = (item for item in evaluation.metrics["classes"] if item["id"] == 1)
        assert vessel["dice"]["pooled"] == pytest.approx(float(dice(counts_of(total))[1]), abs=1e-6)
        assert vessel["dice"]["pooled"] > guess_dice(_vessel_share(drawn, "test")) + 0.25

    def test_in_int8_it_predicts_nearly_the_same(self, trained: Run, drawn: Path, tmp_path: Path) -> None:
        small = ocuseg.export(trained, out=tmp_path / "int8", int8=True)
        assert small.info.precision == "int8"
        assert small.info.quantisation is not None
        assert small.info.quantisation["calibration_images"] == 8
        assert small.onnx_path.stat().st_size < 0.6 * (trained.bundle / "model.onnx").stat().st_size
        image = next((drawn / "test" / "images").iterdir())
        before, after = (ocuseg.load(model, runtime="onnxruntime")(image) for model in (trained, small))
        assert before.mask.any()
        assert np.mean(before.mask != after.mask) < 0.01
        assert 0 < np.abs(before.probabilities - after.probabilities).max() < 0.2

    def test_calibrated_its_probabilities_are_true_on_average(self, trained: Run, drawn: Path, tmp_path: Path) -> None:
        copied = tmp_path / "run"
        shutil.copytree(trained.folder, copied)
        save_recipe(load_recipe(trained.recipe, ["calibrate=true"]), copied / "recipe.yaml")
        mended = ocuseg.export(copied, out=tmp_path / "calibrated", data=drawn)
        errors = [
            ocuseg.evaluate(model, drawn, split="val", out=tmp_path / name).metrics["calibration"]["ece"]
            for name, model in (("before", trained.bundle), ("after", mended.folder))
        ]
        assert errors[1] < 0.7 * errors[0]
        said = mended.info.trained_on["calibration"]
        assert said["chosen_on"] == "val"
        assert said["error_before"] == pytest.approx(errors[0], abs=0.002)

    def test_the_history_is_complete(self, trained: Run) -> None:
        with (trained.folder / "history.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert list(rows[0]) == [
            "epoch", "learning_rate", "train_loss", "val_loss", "val_dice", "val_iou", "val_foreground_share", "time_s",
        ]  # fmt: skip
        assert [int(row["epoch"]) for row in rows] == list(range(1, 61))
        assert all(math.isfinite(float(value)) for row in rows for value in row.values())
        assert float(rows[-1]["train_loss"]) < 0.7 * float(rows[0]["train_loss"])
        for row in rows:  # of one class, either follows from the other
            overlap = float(row["val_iou"])
            assert float(row["val_dice"]) == pytest.approx(2 * overlap / (1 + overlap), abs=2e-6)
        rates = [float(row["learning_rate"]) for row in rows]
        assert max(rates) == pytest.approx(0.01, rel=0.05)
        assert rates[-1] < 1e-4

    def test_the_run_folder_holds_what_is_promised(self, trained: Run, drawn: Path, tmp_path: Path) -> None:
        found = {
            path.relative_to(trained.folder).as_posix()
            for path in trained.folder.rglob("*")
            if path.is_file() and "tensorboard" not in path.parts
        }
        assert found == {
            "recipe.yaml", "split.csv", "environment.json", "findings.json", "history.csv", "curves.png",
            "checkpoints/last.ckpt", "checkpoints/best.ckpt",
            "bundle/bundle.json", "bundle/model.onnx", "bundle/model.safetensors", "bundle/README.md",
        }  # fmt: skip
        best = max(trained.history, key=lambda row: row["val_dice"])
        assert _last(trained, "best.ckpt")["epoch"] + 1 == int(best["epoch"])
        with (trained.folder / "split.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert [row["split"] for row in rows].count("train") == 8
        assert all((drawn / row["image"]).is_file() and len(row["image_sha256"]) == 64 for row in rows)

    def test_tensorboard_is_shown_the_history(self, trained: Run) -> None:
        (path,) = (trained.folder / "tensorboard").iterdir()
        assert "tfevents" in path.name  # by which TensorBoard knows it
        events = list(_events(path.read_bytes()))
        assert events[0].file_version == "brain.Event:2"
        for key in ("train_loss", "val_loss", "val_dice", "learning_rate"):
            shown = [value.simple_value for event in events for value in event.summary.value if value.tag == key]
            assert shown == pytest.approx([row[key] for row in trained.history], rel=1e-4, abs=1e-5)
        assert {event.step for event in events if event.summary.value} >= {2, 120}

    def test_what_is_given_away_names_no_folder_of_this_machine(self, trained: Run, drawn: Path) -> None:
        given = [*trained.bundle.iterdir(), trained.folder / "recipe.yaml", trained.folder / "environment.json"]
        for path in given:
            for folder in (Path(ocuseg.__file__).parent, sys.prefix, drawn.parent, trained.folder.parent):
                assert str(folder).encode() not in path.read_bytes(), path

    def test_an_evaluation_of_a_run_lies_in_the_run(self, trained: Run, drawn: Path, tmp_path: Path) -> None:
        run = tmp_path / "run"
        run.mkdir()
        for name in ("recipe.yaml", "bundle"):
            (run / name).symlink_to(trained.folder / name)
        ocuseg.evaluate(run, drawn)
        found = {path.name for path in (run / "evaluation" / "test").iterdir()}
        assert found == {
            "metrics.json", "per_image.csv", "thresholds.csv", "thresholds.png", "confusion.csv", "masks", "overlays",
            "report.html",
        }  # fmt: skip
        assert len(list((run / "evaluation" / "test" / "masks").iterdir())) == 3


def test_one_seed_gives_one_run_and_another_seed_another(
    train_only: Train, differences: Differences, tmp_path: Path
) -> None:
    first, second, other = (
        train_only(tmp_path / name, "epochs=2", f"seed={seed}").folder for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert differences(first, second) == []
    found = differences(first, other)
    assert any(name.startswith("best.ckpt: state_dict") for name in found)
    assert "history.csv" in found


class TestStartingFromAModel:
    # A rate at which nothing moves: what is validated is the start.
    STILL = ("epochs=1", "learning_rate=1e-12", "weight_averaging=0")

    def test_its_weights_come_first(self, drawn: Path, trained: Run, train_only: Train, tmp_path: Path) -> None:
        same = ("preprocessing.size=[96, 96]", "network.width=8", "network.norm=instance", *self.STILL)
        with pytest.raises(ModelError, match=r"norm 'batch', the recipe 'instance'; set network\.norm=batch"):
            train_only(tmp_path / "other", *same, start_from=trained)
        assert not (tmp_path / "other").exists()
        same = (*same[:2], *self.STILL)
        fresh = train_only(tmp_path / "fresh", *same)
        started = train_only(tmp_path / "started", *same, start_from=trained)
        assert started.history[0]["val_dice"] > fresh.history[0]["val_dice"] + 0.2
        weights = load_file(trained.bundle / "model.safetensors")
        for name, value in _last(started)["state_dict"].items():
            if not name.endswith(("running_mean", "running_var", "num_batches_tracked")):
                torch.testing.assert_close(value, weights[name.removeprefix("network.")], rtol=0, atol=1e-6)

    def test_a_recipe_may_name_it_for_networks_that_it_fits(
        self, trained: Run, train_only: Train, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        same = ("preprocessing.size=[96, 96]", "network.width=8", f"start_from={trained.folder}", *self.STILL)
        caplog.set_level("INFO", "ocuseg")
        named = train_only(tmp_path / "named", *same)
        origin, name = read_origin(named.folder), load_bundle(trained.bundle).info.name
        assert origin is not None
        assert origin.model == name
        assert named.history[0]["val_dice"] > 0.5
        assert "starting from nothing" not in caplog.text
        other = train_only(tmp_path / "other", *same, "network.norm=instance")
        assert f"starting from nothing: {name} is of another network (its norm)" in caplog.text
        assert read_origin(other.folder) is None

    def test_the_one_that_a_user_names_goes_before_that_of_the_recipe(
        self, trained: Run, train_only: Train, tmp_path: Path
    ) -> None:
        same = ("preprocessing.size=[96, 96]", "network.width=8", "start_from=vessels", *self.STILL)
        run = train_only(tmp_path / "run", *same, start_from=trained)
        assert run.history[0]["val_dice"] > 0.5
        weights = trained.bundle / "model.safetensors"
        fresh = train_only(tmp_path / "fresh", *same[:3], f"encoder_weights={weights}", *self.STILL)
        origin = read_origin(fresh.folder)
        assert origin is not None
        assert origin.model == "model.safetensors"

    def test_a_recipe_that_names_none_that_there_is_is_refused(self, train_only: Train, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match=r"'start_from' of the recipe: vesels: .*; null starts from nothing"):
            train_only(tmp_path / "run", "start_from=vesels")
        assert not (tmp_path / "run").exists()

    def test_without_a_recipe_it_goes_on_gently_by_its_own(self, drawn: Path, trained: Run, tmp_path: Path) -> None:
        run = ocuseg.train(drawn, out=tmp_path / "run", start_from=trained, overrides=["epochs=1"])
        before, after = trained.recipe, run.recipe
        assert after.learning_rate == pytest.approx(before.learning_rate / 4)
        assert (after.loss, after.crop_px, after.network["width"]) == (before.loss, before.crop_px, 8)
        start, made = load_bundle(trained.bundle), load_bundle(run.bundle)
        assert made.preprocessing == start.preprocessing
        assert run.history[0]["val_dice"] > 0.5

    def test_which_images_it_has_seen_is_not_forgotten(
        self, drawn: Path, trained: Run, train_only: Train, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        same = ("preprocessing.size=[96, 96]", "network.width=8", *self.STILL)
        run = train_only(tmp_path / "run", *same, start_from=trained)
        assert "took part in making this model" not in caplog.text
        start = load_bundle(trained.bundle)
        origin = read_origin(run.folder)  # a checkpoint has followed, and it is known nevertheless
        assert origin == Origin(start.info.name, start.digest, tuple(start.info.trained_on["image_hashes"]))

    @pytest.mark.slow
    def test_what_it_has_seen_is_no_test_of_what_starts_from_it(
        self, drawn: Path, trained: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        swapped = tmp_path / "swapped"
        shutil.copytree(drawn, swapped)
        for old, new in (("training", "before"), ("test", "training"), ("before", "test")):
            (swapped / old).rename(swapped / new)
        recipe = trained.recipe.model_copy(update={"epochs": 1})
        with suppress(DeadNetworkError):
            ocuseg.train(swapped, recipe, out=tmp_path / "run", start_from=trained)
        assert "8 of the 8 images that are to test it took part in making this model, such as " in caplog.text
        start, trained_on = load_bundle(trained.bundle), load_bundle(tmp_path / "run" / "bundle").info.trained_on
        assert trained_on["started_from"] == {"name": start.info.name, "digest": start.digest}
        assert len(trained_on["image_hashes"]) == 8 + 3 + 3
        assert ocuseg.evaluate(tmp_path / "run", swapped).metrics["seen_in_training"] == 8


def test_how_the_data_were_understood_and_what_is_wrong_with_them_is_said(
    drawn: Path, tiny: tuple[str, ...], train_only: Train, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "ocuseg")
    data = shutil.copytree(drawn, tmp_path / "data")
    (data / "classes.yaml").unlink()
    for path in (data / "test" / "masks").iterdir():
        with Image.open(path) as mask:
            Image.fromarray(np.zeros_like(np.array(mask))).save(path)
    shutil.rmtree(data / "validation")
    ocuseg.train(data, "retina-unet256", out=tmp_path / "run", overrides=(*tiny, "epochs=1"))
    said = [(record.levelname, record.getMessage()) for record in caplog.records]
    starts = {level: [line for found, line in said if found == level] for level in ("INFO", "WARNING")}
    assert any(line.startswith("layout: retina; image and mask: ") for line in starts["INFO"])
    assert any(line.startswith("note: classes: ") for line in starts["INFO"])
    assert any(line.startswith("validation-from-training: ") for line in starts["WARNING"])
    assert any(line.startswith("class-absent: ") and " in test, " in line for line in starts["WARNING"])


class TestSettings:
    # Instance norm has no running statistics: with this rate every epoch scores the same.
    STILL = ("network.norm=instance", "learning_rate=1e-12", "weight_averaging=0")

    def test_early_stopping_waits_as_long_as_it_is_told(self, train_only: Train, tmp_path: Path) -> None:
        run = train_only(tmp_path / "run", *self.STILL, "epochs=9", "early_stopping=2")
        assert [row["epoch"] for row in run.history] == [1, 2, 3]
        before = (run.folder / "checkpoints" / "last.ckpt").read_bytes()
        train_only(run.folder, resume=run)
        assert len(run.history) == 3
        assert (run.folder / "checkpoints" / "last.ckpt").read_bytes() == before

    def test_a_plateau_lowers_the_rate(self, train_only: Train, tmp_path: Path) -> None:
        run = train_only(
            tmp_path / "run", *self.STILL, "epochs=6", "schedule=plateau", "warmup_share=0",
            "plateau_patience=2", "plateau_factor=0.1",
        )  # fmt: skip
        rates = [row["learning_rate"] for row in run.history]
        assert rates == pytest.approx([1e-12, 1e-12, 1e-12, 1e-13, 1e-13, 1e-14], rel=1e-3)

    @pytest.mark.parametrize("schedule", ["one_cycle", "cosine"])
    def test_a_schedule_reaches_its_end_with_the_last_step_also_when_gradients_are_accumulated(
        self, train_only: Train, tmp_path: Path, schedule: str
    ) -> None:
        run = train_only(tmp_path / "run", "epochs=4", "steps_per_epoch=3", "accumulate=2", f"schedule={schedule}")
        rates = [row["learning_rate"] for row in run.history]
        assert _last(run)["global_step"] == 8  # two steps of an epoch's three batches
        assert rates[-2] > 0.004 / 10
        assert rates[-1] == pytest.approx(0.004 / 1000, rel=1e-3)

    def test_weights_of_epochs_are_kept_on_request(self, train_only: Train, tmp_path: Path) -> None:
        run = train_only(tmp_path / "run", "epochs=4", "keep_every=2")
        kept = {path.name: load_file(path) for path in (run.folder / "checkpoints").glob("*.safetensors")}
        assert sorted(kept) == ["unet-small_epoch02.safetensors", "unet-small_epoch04.safetensors"]
        validated = {key.removeprefix("network."): value for key, value in _last(run)["state_dict"].items()}
        assert kept["unet-small_epoch04.safetensors"].keys() == validated.keys()
        assert all(torch.equal(kept["unet-small_epoch04.safetensors"][key], validated[key]) for key in validated)
        assert any(not torch.equal(kept["unet-small_epoch02.safetensors"][key], validated[key]) for key in validated)

    def test_the_balanced_sampler_shows_the_rare_class_more_often(self, train_only: Train, tmp_path: Path) -> None:
        shares = {}
        for sampler in ("uniform", "balanced"):
            seen = Seen()
            train_only(
                tmp_path / sampler, f"sampler={sampler}", "crop_px=16", "steps_per_epoch=20", "epochs=1",
                callbacks=[seen],
            )  # fmt: skip
            shares[sampler] = float(np.mean(seen.vessel_share))
        assert shares["balanced"] > 1.2 * shares["uniform"]

    def test_averaged_weights_are_kept_beside_the_current_ones_unless_switched_off(
        self, train_only: Train, tmp_path: Path
    ) -> None:
        averaged = _last(train_only(tmp_path / "averaged", "epochs=2"))
        plain = _last(train_only(tmp_path / "plain", "epochs=2", "weight_averaging=0"))
        assert "current_model_state" not in plain
        # Both took the same steps; what differs is which weights were validated and kept, with their statistics.
        for name, value in plain["state_dict"].items():
            assert "running" in name or torch.equal(averaged["current_model_state"][name], value)
        assert any(not torch.equal(averaged["state_dict"][name], value) for name, value in plain["state_dict"].items())

    @pytest.mark.parametrize(
        ("network", "layers"),
        [
            ("{name: unet-small, width: 4, depth: 2, deep_supervision: true, norm: instance}", "auxiliary_heads"),
            ("{name: unet-256, width: 4, depth: 6}", "encoder.blocks.5"),
        ],
    )
    @pytest.mark.slow
    def test_other_networks_go_all_the_way(
        self, drawn: Path, tiny: tuple[str, ...], tmp_path: Path, network: str, layers: str
    ) -> None:
        overrides = [*tiny, f"network={network}", "epochs=1"]
        with suppress(DeadNetworkError):  # one epoch of two steps
            ocuseg.train(drawn, "retina-unet256", out=tmp_path / "run", overrides=overrides)
        weights = load_file(tmp_path / "run" / "bundle" / "model.safetensors")
        assert any(name.startswith(layers) for name in weights)
        result = ocuseg.load(tmp_path / "run")(next((drawn / "test" / "images").iterdir()))
        assert result.mask.shape == (96, 96)
        assert result.probabilities.std() > 0


@pytest.mark.slow
def test_validation_sees_images_as_prediction_does(tmp_path: Path, tiny: tuple[str, ...]) -> None:
    # 90 x 94 is no multiple of what the network halves: both have to pad, and alike.
    data = write_fundus_set(tmp_path / "set", {"train": 3, "val": 1}, seed=9, size=(90, 94))
    seen = Seen()
    as_it_is = ("preprocessing.crop=none", "preprocessing.size=null", "precision=fp32", "epochs=1")
    with suppress(DeadNetworkError):
        ocuseg.train(data, "retina-unet256", out=tmp_path / "run", overrides=(*tiny, *as_it_is), callbacks=[seen])
    (record,) = build_index(data).of_split("val")
    predictor = ocuseg.load(tmp_path / "run", runtime="pytorch")
    predictor.threshold = 0.5
    predicted = predictor(record.image).mask
    region = np.array(Image.open(record.field_of_view)) > 0
    confusion = confusion_matrix(np.array(Image.open(record.mask)), predicted, 2, region)
    assert confusion.min() > 0  # nothing is shown by a network that predicts one class
    np.testing.assert_array_equal(seen.confusion[-1], confusion)


@pytest.mark.slow
def test_a_dead_network_is_called_dead_wherever_its_scores_are_shown(
    drawn: Path, tiny: tuple[str, ...], tmp_path: Path, program: Program
) -> None:
    run = tmp_path / "run"
    options = [part for setting in (*tiny, "epochs=1", "learning_rate=1e-12") for part in ("--set", setting)]
    trained = program("train", drawn, "--out", run, *options)
    assert trained.returncode == 1
    assert "Traceback" not in trained.stderr
    last = trained.stderr.splitlines()[-1]
    assert last.startswith(f"ocuseg: {run}: the network is dead: vessel ")
    assert {path.name for path in run.iterdir()} >= {"bundle", "checkpoints", "history.csv", "curves.png"}
    assert len(Run(run).history) == 1

    evaluated = program("evaluate", run, drawn, "--split", "val")
    assert evaluated.returncode == 1
    assert "vessel" in evaluated.stderr.splitlines()[-1]
    folder = run / "evaluation" / "val"
    assert "dead" in (folder / "report.html").read_text(encoding="utf-8").lower()
    assert json.loads((folder / "metrics.json").read_text())["dead"]

    exported = program("export", run, "--out", tmp_path / "bundle")
    assert exported.returncode == 0
    assert "the network is dead: vessel " in exported.stderr
