"""The second job: many classes with HRNet, from the cataract layout to areas; weights from elsewhere for it."""

from __future__ import annotations

import csv
import json
import logging
import shutil
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pytorch_lightning.callbacks import LambdaCallback
from safetensors.torch import load_file

import ocuseg
from ocuseg.bundle import load_bundle
from ocuseg.errors import DeadNetworkError, ModelError, UsageError
from ocuseg.files import hash_file
from ocuseg.networks import build_network
from ocuseg.phantom import write_eye_set
from ocuseg.training.recipe import load_recipe, save_recipe
from ocuseg.training.run import Run, find_run
from ocuseg.training.tuning import tuning_recipe

SMALL = (
    "preprocessing.size=[96, 96]",
    "network={name: hrnet, variant: small-v1, attention: ocr, ocr_channels: [32, 16]}",
    "auxiliary_weights=[0.4]",
    "batch_size=4",
    "precision=fp32",
)


@pytest.fixture(scope="module")
def eyes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cataract layout of drawn eyes without a test split."""
    return write_eye_set(tmp_path_factory.mktemp("eyes") / "set", {"train": 8, "val": 4}, seed=2, size=96)


@pytest.fixture(scope="module")
def trained(eyes: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    enough = ("epochs=12", "steps_per_epoch=6", "learning_rate=0.005")
    folder = tmp_path_factory.mktemp("run") / "run"
    with suppress(DeadNetworkError):  # iris and pupil are learnt in these seconds, the rare classes are not
        ocuseg.train(eyes, "cataract-hrnet", out=folder, overrides=[*SMALL, *enough])
    return find_run(folder)


def test_classes_are_learnt_and_scored_on_val_which_is_said(trained: Run, eyes: Path) -> None:
    evaluation = ocuseg.evaluate(trained, eyes)
    metrics = evaluation.metrics
    assert metrics["split"] == "val"
    assert metrics["threshold"] is None
    assert [row["name"] for row in metrics["classes"]] == ["iris", "pupil", "cataract", "instrument"]
    iris, pupil = metrics["classes"][:2]
    for row in (iris, pupil):
        share = row["area"]["reference_share"]
        # Better than marking every pixel as this class, which gives 2p / (1 + p).
        assert row["dice"]["pooled"] > 1.3 * 2 * share / (1 + share)
    rows = np.array(evaluation.confusion)
    assert rows.shape == (5, 5)
    assert rows.sum() == 4 * 96 * 96
    folder = trained.folder / "evaluation" / "val"
    assert {"confusion.png", "report.html", "per_image.csv"} <= {path.name for path in folder.iterdir()}


def test_prediction_writes_masks_of_ids_and_the_area_of_each_class(trained: Run, eyes: Path, tmp_path: Path) -> None:
    outcomes = ocuseg.predict(trained, eyes / "val" / "images", out=tmp_path / "masks", overlay=True)
    assert [outcome.error for outcome in outcomes] == [None] * 4
    with (tmp_path / "masks" / "areas.csv").open(newline="") as file:
        areas = list(csv.DictReader(file))
    assert len(areas) == 4 * 5
    mask = np.array(Image.open(outcomes[0].written[0]))
    assert mask.shape == (96, 96)
    of_first = [row for row in areas if row["image"] in (outcomes[0].image.name, outcomes[0].image.stem)]
    assert [int(row["pixels"]) for row in of_first] == [int(np.sum(mask == class_id)) for class_id in range(5)]


def test_logits_are_adjusted_within_the_bundle_as_the_recipe_says(trained: Run, eyes: Path, tmp_path: Path) -> None:
    copied = tmp_path / "run"
    shutil.copytree(trained.folder, copied)
    recipe = load_recipe(trained.recipe, ["logit_adjustment={pupil: 2.5, 1: -0.5}"])
    save_recipe(recipe, copied / "recipe.yaml")
    with suppress(DeadNetworkError):
        ocuseg.export(copied, out=tmp_path / "adjusted", data=eyes)
    image = next((eyes / "val" / "images").iterdir())
    before, after = (
        np.log(ocuseg.load(model, runtime="onnxruntime")(image).probabilities)
        for model in (trained, tmp_path / "adjusted")
    )
    change = (after - after[:1]) - (before - before[:1])
    assert np.allclose(np.median(change, axis=(1, 2)), [0, -0.5, 2.5, 0, 0], atol=1e-3)
    said = json.loads((tmp_path / "adjusted" / "bundle.json").read_text())["trained_on"]
    assert said["logit_adjustment"] == {"pupil": 2.5, "iris": -0.5}
    assert "logit_adjustment" not in tuning_recipe(load_bundle(tmp_path / "adjusted"))  # the weights have it already


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("{pupils: 1}", r"^logit_adjustment: 'pupils' is no class; did you mean 'pupil'\?"),
        ("{5: 1}", r"^logit_adjustment: '5' is no class; give some of background, iris, "),
        ("{pupil: 1, 2: 1}", "^logit_adjustment: pupil is given twice"),
    ],
)
def test_an_adjustment_of_no_class_leaves_no_run(eyes: Path, tmp_path: Path, given: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        ocuseg.train(eyes, "cataract-hrnet", out=tmp_path / "run", overrides=[*SMALL, f"logit_adjustment={given}"])
    assert not (tmp_path / "run").exists()


class TestEncoderWeights:
    @pytest.fixture
    def published(self, tmp_path: Path) -> Path:
        """An ImageNet checkpoint by its names, its weights random."""
        torch.manual_seed(9)
        weights = build_network({"name": "hrnet", "variant": "small-v1"}).encoder.state_dict()
        torch.save(dict(weights) | {"classifier.weight": torch.zeros(10, 4)}, tmp_path / "imagenet.pth")
        return tmp_path / "imagenet.pth"

    still = ("epochs=1", "steps_per_epoch=1", "learning_rate=1e-12", "weight_averaging=0", "weight_decay=0")

    def test_a_run_starts_from_them_and_says_what_was_dropped(
        self, eyes: Path, published: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO, "ocuseg")
        overrides = [*SMALL, *self.still, f"encoder_weights={published}"]
        with suppress(DeadNetworkError):  # it learns nothing, as it should
            ocuseg.train(eyes, "cataract-hrnet", out=tmp_path / "run", overrides=overrides)
        found = load_file(tmp_path / "run" / "bundle" / "model.safetensors")
        expected = torch.load(published, weights_only=True)
        torch.testing.assert_close(found["encoder.conv1.weight"], expected["conv1.weight"], atol=1e-6, rtol=0)
        last = "stage4.0.fuse_layers.3.0.2.0.weight"
        torch.testing.assert_close(found[f"encoder.{last}"], expected[last], atol=1e-6, rtol=0)
        assert "imagenet.pth taken for the encoder; dropped, as no part of it: classifier.weight (1)" in caplog.text
        trained_on = json.loads((tmp_path / "run" / "bundle" / "bundle.json").read_text())["trained_on"]
        assert trained_on["recipe"]["encoder_weights"] == "imagenet.pth"
        assert trained_on["started_from"] == {
            "name": "imagenet.pth",
            "digest": hash_file(published),
            "dropped": ["classifier.weight"],
        }
        for path in (tmp_path / "run" / "bundle").iterdir():  # what is given away names no folder of this machine
            assert str(tmp_path).encode() not in path.read_bytes(), path

    def test_a_killed_run_needs_the_file_no_more(self, eyes: Path, published: Path, tmp_path: Path) -> None:
        def stop(*_: object) -> None:
            raise RuntimeError("stopped")

        expected = torch.load(published, weights_only=True)["conv1.weight"]
        overrides = [*SMALL, *self.still, f"encoder_weights={published}"]
        with pytest.raises(RuntimeError, match="stopped"):
            ocuseg.train(
                eyes, "cataract-hrnet", out=tmp_path / "run", overrides=overrides,
                callbacks=[LambdaCallback(on_train_start=stop)],
            )  # fmt: skip
        published.unlink()
        with suppress(DeadNetworkError):
            ocuseg.train(resume=tmp_path / "run")
        found = load_file(tmp_path / "run" / "bundle" / "model.safetensors")["encoder.conv1.weight"]
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)

    def test_another_variant_is_refused_before_a_folder_is_made(
        self, eyes: Path, published: Path, tmp_path: Path
    ) -> None:
        overrides = [*SMALL, "network.variant=w18", f"encoder_weights={published}"]
        with pytest.raises(ModelError, match=r"imagenet\.pth: does not fit the encoder: .* missing .*of another shape"):
            ocuseg.train(eyes, "cataract-hrnet", out=tmp_path / "run", overrides=overrides)
        assert not (tmp_path / "run").exists()

    def test_two_starts_are_refused(self, eyes: Path, published: Path, trained: Run, tmp_path: Path) -> None:
        overrides = [*SMALL, f"encoder_weights={published}"]
        with pytest.raises(UsageError, match="both 'encoder_weights' and"):
            ocuseg.train(eyes, "cataract-hrnet", out=tmp_path / "run", overrides=overrides, start_from=trained)
