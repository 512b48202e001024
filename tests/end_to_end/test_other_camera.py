"""A model that is trained at one width of vessels finds them in photographs of another field of view."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import ocuseg
from ocuseg.bundle import load_bundle
from ocuseg.geometry import Placement
from ocuseg.phantom import draw_fundus, write_fundus_set
from ocuseg.prediction import predictor as predicting
from ocuseg.training.run import Run

SIDE = 128
SETTINGS = (
    "preprocessing.size=null",
    "preprocessing.crop=field_of_view",
    "preprocessing.vessel_width_px=2.5",
    "network={name: unet-small, width: 8, depth: 2}",
    "augmentation.scale=[0.9, 1.1]",
    "batch_size=4",
    "crop_px=96",
    "steps_per_epoch=20",
    "epochs=8",
    "learning_rate=0.005",
    "precision=fp32",
    "calibrate=true",
    "prediction.smallest_piece_px=4",
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_fundus_set(tmp_path_factory.mktemp("one") / "set", {"train": 8, "val": 3}, seed=3, size=SIDE)


@pytest.fixture(scope="module")
def model(narrow: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return ocuseg.train(narrow, "retina-unet256", out=tmp_path_factory.mktemp("run") / "run", overrides=SETTINGS)


def _closer(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A drawn photograph of a third of the field of view, where most vessels are: they are three times as wide."""
    drawn = draw_fundus(seed, SIDE * 3)
    starts = [
        (top, left) for top in range(SIDE // 2, SIDE * 3 // 2, 20) for left in range(SIDE // 2, SIDE * 3 // 2, 20)
    ]
    top, left = max(starts, key=lambda at: drawn.mask[at[0] : at[0] + SIDE, at[1] : at[1] + SIDE].sum())
    part = slice(top, top + SIDE), slice(left, left + SIDE)
    y, x = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    lit = np.hypot(y, x) < 0.47 * SIDE
    return np.where(lit[..., None], drawn.image[part], 0), drawn.mask[part] * lit


def _dice(mask: np.ndarray, reference: np.ndarray) -> float:
    return float(2 * np.sum(mask & reference) / (mask.sum() + reference.sum()))


@pytest.fixture
def scales(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The working heights at which images were in the end predicted."""
    seen: list[int] = []
    undo = Placement.undo

    def watched(self: Placement, probabilities: np.ndarray) -> np.ndarray:
        seen.append(self.working_size[0])
        return undo(self, probabilities)

    monkeypatch.setattr(predicting.Placement, "undo", watched)
    return seen


def test_the_scale_and_the_width_are_measured(model: Run) -> None:
    bundle = load_bundle(model.bundle)
    scale = bundle.preprocessing.field_of_view_diameter_px
    assert scale is not None
    assert 60 < scale < 2 * SIDE
    assert bundle.preprocessing.find_scale
    assert bundle.info.prediction["smallest_piece_px"] == 4
    assert bundle.info.trained_on["recipe"]["preprocessing"]["vessel_width_px"] == 2.5


def test_wider_vessels_are_seen_smaller_and_found_better(model: Run, scales: list[int]) -> None:
    predictor = ocuseg.load(model, runtime="onnxruntime")
    plain = ocuseg.load(model, runtime="onnxruntime")
    plain.preprocessing = replace(plain.preprocessing, find_scale=False)
    better = []
    for seed in range(70, 76):
        image, reference = _closer(seed)
        better.append(_dice(predictor(image).mask, reference) - _dice(plain(image).mask, reference))
    adapted, fixed = scales[::2], scales[1::2]
    assert np.mean(adapted) < 0.75 * np.mean(fixed)
    assert np.mean(better) > 0.02


def test_photographs_of_its_own_camera_keep_their_scale_and_are_found_as_well(model: Run, scales: list[int]) -> None:
    predictor = ocuseg.load(model, runtime="onnxruntime")
    plain = ocuseg.load(model, runtime="onnxruntime")
    plain.preprocessing = replace(plain.preprocessing, find_scale=False)
    better = [
        _dice(predictor(drawn.image).mask, drawn.mask) - _dice(plain(drawn.image).mask, drawn.mask)
        for drawn in (draw_fundus(seed, SIDE) for seed in range(80, 88))
    ]
    kept = [adapted == fixed for adapted, fixed in zip(scales[::2], scales[1::2], strict=True)]
    assert np.mean(kept) > 0.6
    assert np.mean(better) > -0.04


def test_folds_become_one_model_of_their_mean_scale(narrow: Path, tmp_path: Path) -> None:
    quick = ("epochs=2",)
    run = ocuseg.train(narrow, "retina-unet256", out=tmp_path / "run", overrides=(*SETTINGS, *quick), folds=2)
    members = [load_bundle(fold.bundle).preprocessing for fold in run.folds]
    whole = load_bundle(run.bundle).preprocessing
    assert whole.find_scale
    assert whole.field_of_view_diameter_px == pytest.approx(
        np.mean([member.field_of_view_diameter_px for member in members]), abs=1
    )
